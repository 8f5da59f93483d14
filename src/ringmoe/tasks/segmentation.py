"""Segmentation: one class a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from ringmoe.tasks.heads.upernet import UPerNet
from ringmoe.tasks.scores import (
    cross_entropy_count,
    cross_entropy_sum,
    dice_count,
    dice_sum,
)
from ringmoe.tasks.task import Task, check_classes, expect, register, share
from ringmoe.training import Terms

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


@dataclass(frozen=True, kw_only=True)
class PixelClasses(Task):
    """What tasks with one class a pixel share: loss and decoding.

    Attributes:
        class_weights: Of the cross-entropy, one a class; none for 1 each.
        label_smoothing: Share of the truth that is spread evenly over all classes.
        dice: Weight of the Dice loss beside the cross-entropy.
    """

    label_kind = "mask"

    class_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    dice: float = 0.0

    def __post_init__(self) -> None:
        check_classes(self, self.class_weights)
        expect(self, "label_smoothing", 0 <= self.label_smoothing < 1, "at least 0, below 1")
        expect(self, "dice", self.dice >= 0, "not negative")

    def counts(self, labels: Tensor) -> Terms:
        """Labelled pixels, weighted by class; pairs of an image and a class that it has."""
        counts = {"labels": cross_entropy_count(labels, self.class_weights)}
        if self.dice:
            counts["present"] = dice_count(labels, len(self.classes))
        return counts

    def sums(self, output: Tensor, labels: Tensor) -> Terms:
        """Cross-entropy over pixels, Dice loss over images and their classes."""
        weights, smoothing = self.class_weights, self.label_smoothing
        sums = {"cross_entropy": cross_entropy_sum(output, labels, weights, smoothing)}
        if self.dice:
            sums["dice"] = dice_sum(output, labels)
        return sums

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """The weighted mean cross-entropy, plus `dice` times the mean Dice loss."""
        cross_entropy = share(sums["cross_entropy"], counts["labels"])
        if not self.dice:
            return {"loss": cross_entropy}
        dice = share(sums["dice"], counts["present"])
        return {
            "loss": cross_entropy + self.dice * dice,
            "cross_entropy": cross_entropy.detach(),
            "dice": dice.detach(),
        }

    def decode(self, output: Tensor) -> Tensor:
        """Class indices `(B, H, W)` int64."""
        return output.argmax(dim=1)


@register
@dataclass(frozen=True, kw_only=True)
class Segmentation(PixelClasses):
    """UPerNet and cross-entropy.

    Attributes:
        channels: Of UPerNet's decoder: 512 in Swin's experiments, 256 in
            segmentation-models-pytorch; fewer do for small backbones.
    """

    name: ClassVar[str] = "segmentation"
    best: ClassVar[str] = "miou"

    channels: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(self, "channels", self.channels > 0, "positive")

    def head(self, widths: Sequence[int]) -> nn.Module:
        """A `UPerNet`."""
        return UPerNet(widths, self.outputs, self.channels)

    def metrics(self) -> MetricCollection:
        """Mean IoU, mean F1, overall and mean accuracy, the confusion matrix."""
        from ringmoe.tasks.class_metrics import class_metrics

        names = ("miou", "mf1", "overall_accuracy", "mean_accuracy")
        return class_metrics(len(self.classes), *names)
