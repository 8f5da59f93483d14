"""Oriented detection: objects as rotated boxes with a class each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from ringmoe.tasks.detection import ObjectTask, check_anchors
from ringmoe.tasks.heads.detections import BoxLoss
from ringmoe.tasks.task import expect, register


@register
@dataclass(frozen=True, kw_only=True)
class OrientedDetection(ObjectTask):
    """Rotated boxes, without anchors or in two stages.

    Attributes:
        method: "fcos": every cell says what is centred on it; "rcnn": Oriented R-CNN.
        depth: Convolutions of a tower, for "fcos".
        cells: For "fcos": an object belongs to the finest level on which the root of its area is
            at most so many cells.
        box_loss: For "fcos": how boxes are compared, "probiou" or "kld".
        anchor_sizes: For "rcnn": edges in pixels of the smallest square anchors at strides 4, 8,
            16, 32; there are such of twice and four times the size too, each with half and double
            the height to the width besides.
    """

    name: ClassVar[str] = "oriented-detection"
    label_kind = "rotated-boxes"
    rotated: ClassVar[bool] = True

    method: Literal["fcos", "rcnn"] = "fcos"
    depth: int = 4
    cells: float = 6.0
    box_loss: BoxLoss = "probiou"
    anchor_sizes: tuple[float, ...] = (8.0, 16.0, 32.0, 64.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(self, "method", self.method in ("fcos", "rcnn"), "fcos or rcnn")
        expect(self, "depth", self.depth > 0, "positive")
        expect(self, "cells", self.cells > 0, "positive")
        expect(self, "box_loss", self.box_loss in ("kld", "probiou"), "kld or probiou")
        check_anchors(self, self.anchor_sizes)

    @property
    def unit(self) -> str:
        """Without anchors objects are learnt, nine cells each; in two stages boxes of an image."""
        return "objects" if self.method == "fcos" else "images"

    def head(self, widths: Sequence[int]) -> nn.Module:
        """An `OrientedFCOS` or an `OrientedRCNN`."""
        if self.method == "fcos":
            from ringmoe.tasks.heads.oriented_fcos import OrientedFCOS

            return OrientedFCOS(
                widths,
                len(self.classes),
                channels=self.channels,
                depth=self.depth,
                cells=self.cells,
                box_loss=self.box_loss,
                selection=self.selection,
            )
        from ringmoe.tasks.heads.oriented_rcnn import OrientedRCNN

        return OrientedRCNN(
            widths,
            len(self.classes),
            channels=self.channels,
            anchor_sizes=self.anchor_sizes,
            selection=self.selection,
        )
