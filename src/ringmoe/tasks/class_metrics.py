"""Metrics of classes, torchmetrics' own; import late: it takes longer to load than torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryConfusionMatrix,
    BinaryF1Score,
    BinaryJaccardIndex,
    BinaryPrecision,
    BinaryRecall,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassJaccardIndex,
)

from ringmoe.datasets import IGNORED


class ClassMetrics(MetricCollection):
    """Metrics of classes: an update decides once for all of them.

    Args:
        metrics: By name; they take class indices.
    """

    def __init__(self, metrics: dict[str, Metric | MetricCollection]) -> None:
        super().__init__(metrics)

    def update(self, output: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        """Add a batch.

        Args:
            output: Scores `(B, K)` or `(B, K, H, W)`.
            labels: `(B,)` or `(B, H, W)` class indices; pixels at `IGNORED` do not count.
        """
        super().update(output.argmax(dim=1), labels)


def class_metrics(classes: int, *names: str) -> MetricCollection:
    """Those of so many classes that are named, and the confusion matrix.

    "Mean" leaves out classes that neither truth nor prediction has; a class that is predicted but
    never true counts with 0.
    """

    def of(kind: Callable[..., Metric], **options: Any) -> Metric:
        # Labels were checked where they were read: a look at the values makes a GPU wait.
        return kind(num_classes=classes, ignore_index=IGNORED, validate_args=False, **options)

    known = {
        "overall_accuracy": of(MulticlassAccuracy, average="micro"),
        "mean_accuracy": of(MulticlassAccuracy, average="macro"),
        "mf1": of(MulticlassF1Score, average="macro"),
        "miou": of(MulticlassJaccardIndex, average="macro"),
        "confusion_matrix": of(MulticlassConfusionMatrix),
    }
    return ClassMetrics({name: known[name] for name in (*names, "confusion_matrix")})


def change_metrics() -> MetricCollection:
    """Those of the changed class, index 1, with overall accuracy and the confusion matrix."""

    def of(kind: Callable[..., Metric]) -> Metric:
        return kind(ignore_index=IGNORED, validate_args=False)

    return ClassMetrics(
        {
            "f1": of(BinaryF1Score),
            "iou": of(BinaryJaccardIndex),
            "precision": of(BinaryPrecision),
            "recall": of(BinaryRecall),
            "overall_accuracy": of(BinaryAccuracy),
            "confusion_matrix": of(BinaryConfusionMatrix),
        }
    )
