"""Classification: one class an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from ringmoe.tasks.heads.linear import LinearHead, Pooling
from ringmoe.tasks.scores import cross_entropy_count, cross_entropy_sum
from ringmoe.tasks.task import Task, check_classes, expect, register, share
from ringmoe.training import Terms

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


@register
@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """Pooled features, a linear layer, cross-entropy.

    Attributes:
        pooling: "last": the last map's mean; "all": mean and deviation of every map.
        class_weights: One a class, in the order of `classes`; none for 1 each.
        label_smoothing: Share of the truth that is spread evenly over all classes.
    """

    name: ClassVar[str] = "classification"
    label_kind = "class"
    best: ClassVar[str] = "overall_accuracy"

    pooling: Pooling = "last"
    class_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_classes(self, self.class_weights)
        expect(self, "pooling", self.pooling in ("last", "all"), "last or all")
        expect(self, "label_smoothing", 0 <= self.label_smoothing < 1, "at least 0, below 1")

    def head(self, widths: Sequence[int]) -> nn.Module:
        """A `LinearHead`."""
        return LinearHead(widths, self.outputs, self.pooling)

    def counts(self, labels: Tensor) -> Terms:
        """Labelled images, weighted by class."""
        return {"labels": cross_entropy_count(labels, self.class_weights)}

    def sums(self, output: Tensor, labels: Tensor) -> Terms:
        """Cross-entropy."""
        weights, smoothing = self.class_weights, self.label_smoothing
        return {"cross_entropy": cross_entropy_sum(output, labels, weights, smoothing)}

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """The weighted mean cross-entropy."""
        return {"loss": share(sums["cross_entropy"], counts["labels"])}

    def metrics(self) -> MetricCollection:
        """Overall accuracy, mean accuracy over classes, mean F1, the confusion matrix."""
        from ringmoe.tasks.class_metrics import class_metrics

        return class_metrics(len(self.classes), "overall_accuracy", "mean_accuracy", "mf1")

    def decode(self, output: Tensor) -> Tensor:
        """Class indices `(B,)` int64."""
        return output.argmax(dim=1)
