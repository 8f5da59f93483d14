"""Models at work: maps and objects of scenes of any size; files that run without this package."""

from ringmoe.deployment.export import Experts, ExportResult, export_model
from ringmoe.deployment.export_metadata import read_metadata
from ringmoe.deployment.graph import ImageInput, backbone_input, task_inputs
from ringmoe.deployment.mapping import MapResult, Predictor, predict_scene
from ringmoe.deployment.objects import ObjectPredictor, ObjectsResult, detect, predict_objects

__all__ = [
    "Experts",
    "ExportResult",
    "ImageInput",
    "MapResult",
    "ObjectPredictor",
    "ObjectsResult",
    "Predictor",
    "backbone_input",
    "detect",
    "export_model",
    "predict_objects",
    "predict_scene",
    "read_metadata",
    "task_inputs",
]
