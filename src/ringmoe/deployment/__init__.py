"""Models at work: maps, objects and tracks of any size; files that run without this package."""

from ringmoe.deployment.detector import ObjectPredictor
from ringmoe.deployment.export import Experts, ExportResult, export_model
from ringmoe.deployment.export_metadata import read_metadata
from ringmoe.deployment.frames import Frames, find_frames
from ringmoe.deployment.graph import ImageInput, backbone_input, task_inputs
from ringmoe.deployment.mapper import Predictor
from ringmoe.deployment.mapping import MapResult, predict_scene
from ringmoe.deployment.objects import ObjectsResult, detect, predict_objects
from ringmoe.deployment.pipeline import forward_threads
from ringmoe.deployment.tracks import write_lines, write_mot
from ringmoe.deployment.video import VideoResult, track_video

__all__ = [
    "Experts",
    "ExportResult",
    "Frames",
    "ImageInput",
    "MapResult",
    "ObjectPredictor",
    "ObjectsResult",
    "Predictor",
    "VideoResult",
    "backbone_input",
    "detect",
    "export_model",
    "find_frames",
    "forward_threads",
    "predict_objects",
    "predict_scene",
    "read_metadata",
    "task_inputs",
    "track_video",
    "write_lines",
    "write_mot",
]
