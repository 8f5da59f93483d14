"""Change detection: which pixels differ between two dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import nn

from ringmoe.tasks.heads.bit import BITHead
from ringmoe.tasks.heads.difference import DifferenceHead
from ringmoe.tasks.segmentation import PixelClasses
from ringmoe.tasks.task import expect, register

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

HEADS = 8  # of the attention


@register
@dataclass(frozen=True, kw_only=True)
class Change(PixelClasses):
    """A head on the maps of two dates, and cross-entropy; the order of the dates has no effect.

    Attributes:
        classes: Of unchanged and of changed pixels, in this order.
        method: "difference": of the maps of the two dates; "bit": the bitemporal transformer.
        channels: Of the head; for "bit" a multiple of 8.
        tokens: Semantic tokens a date, for "bit".
        layers: Of the decoder of "bit".
    """

    name: ClassVar[str] = "change"
    dates: ClassVar[int] = 2
    best: ClassVar[str] = "f1"

    classes: tuple[str, ...] = ("unchanged", "changed")
    method: Literal["difference", "bit"] = "difference"
    channels: int = 64
    tokens: int = 4
    layers: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(self, "classes", len(self.classes) == 2, "two: unchanged, changed")
        expect(self, "method", self.method in ("bit", "difference"), "difference or bit")
        fits = self.channels > 0 and not (self.method == "bit" and self.channels % HEADS)
        expect(self, "channels", fits, f"positive, and for bit a multiple of {HEADS}")
        expect(self, "tokens", self.tokens > 0, "positive")
        expect(self, "layers", self.layers > 0, "positive")

    def head(self, widths: Sequence[int]) -> nn.Module:
        """A `BITHead` or a `DifferenceHead`."""
        if self.method == "bit":
            return BITHead(widths, self.outputs, self.channels, self.tokens, self.layers, HEADS)
        return DifferenceHead(widths, self.outputs, self.channels)

    def metrics(self) -> MetricCollection:
        """Of the changed class: F1, IoU, precision and recall; overall accuracy, the confusion."""
        from ringmoe.tasks.class_metrics import change_metrics

        return change_metrics()
