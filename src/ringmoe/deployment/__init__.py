"""Models at work: maps of scenes of any size, and files that run without this package."""

from ringmoe.deployment.export import Experts, ExportResult, export_model
from ringmoe.deployment.export_metadata import read_metadata
from ringmoe.deployment.graph import ImageInput, backbone_input, task_inputs
from ringmoe.deployment.mapping import MapResult, Predictor, predict_scene

__all__ = [
    "Experts",
    "ExportResult",
    "ImageInput",
    "MapResult",
    "Predictor",
    "backbone_input",
    "export_model",
    "predict_scene",
    "read_metadata",
    "task_inputs",
]
