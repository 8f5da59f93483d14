"""A model over scenes of any size: maps, their probabilities and polygons."""

from ringmoe.deployment.mapping import MapResult, Predictor, predict_scene

__all__ = ["MapResult", "Predictor", "predict_scene"]
