"""Metrics of objects on what a detector's head gives; import late, as the metrics themselves."""

from __future__ import annotations

from ringmoe.boxes import ObjectBatch
from ringmoe.tasks.heads.detections import Detections
from ringmoe.tasks.metrics import DetectionMetrics


class OutputMetrics(DetectionMetrics):
    """`DetectionMetrics` that take a head's output, as every task's metrics do."""

    def update(self, output: Detections, labels: ObjectBatch) -> None:  # type: ignore[override]
        """Add a batch."""
        super().update(output.objects(), labels)
