"""Metrics of objects: average precision of detections, and agreement of tracks.

Import late: faster-coco-eval brings OpenCV along. Each metric has torchmetrics' surface: `update`,
`compute`, `reset` and `to`. `docs/object-metrics.md` says what each figure is.
"""

from ringmoe.tasks.metrics.detection import DetectionMetrics
from ringmoe.tasks.metrics.matching import Pairs
from ringmoe.tasks.metrics.tracking import TrackingMetrics

__all__ = ["DetectionMetrics", "Pairs", "TrackingMetrics"]
