"""Height above ground: metres a pixel."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ringmoe.datasets import LabelledData, label_of
from ringmoe.tasks.heads.bins import BinsHead
from ringmoe.tasks.heads.blocks import in_full
from ringmoe.tasks.heads.regression import RegressionHead
from ringmoe.tasks.task import Task, expect, register, share
from ringmoe.training import Terms

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

logger = logging.getLogger(__name__)

HEADS = 8  # of the attention
_LOOKED_AT = 64  # labels, before training


@register
@dataclass(frozen=True, kw_only=True)
class Height(Task):
    """Plain regression or adaptive bins, and Huber's loss (1964): squares of small errors.

    Not the scale-invariant logarithmic loss of depth estimation: most heights above ground are 0,
    where a logarithm has no value and a ratio no meaning. Not the absolute error either: its best
    constant is the median, which is 0, and models were seen to fall there at once and to stay. Tall
    wrong pixels at the edges of buildings count by their error alone; and it is a sum over pixels,
    so micro-batches and ranks change nothing.

    Attributes:
        method: "regression": of each pixel; "bins": adaptive bins.
        low: Smallest height that can be predicted, in metres.
        high: Largest height that can be predicted, in metres.
        bins: How many, for "bins".
        channels: Of the head; for "bins" a multiple of 8.
        huber: Error in metres up to which its square counts.
        floor: Metres above which Rel, RMSE-log and delta are computed.
    """

    name: ClassVar[str] = "height"
    label_kind = "height"
    best: ClassVar[str] = "rmse"
    higher_is_better: ClassVar[bool] = False

    method: Literal["regression", "bins"] = "regression"
    low: float = 0.0
    high: float = 100.0
    bins: int = 64
    channels: int = 128
    huber: float = 3.0
    floor: float = 1.0

    def __post_init__(self) -> None:
        expect(self, "classes", not self.classes, "empty: heights have none")
        expect(self, "method", self.method in ("bins", "regression"), "regression or bins")
        expect(self, "high", self.high > self.low, f"more than low ({self.low})")
        expect(self, "bins", self.bins > 1, "at least 2")
        fits = self.channels > 0 and not (self.method == "bins" and self.channels % HEADS)
        expect(self, "channels", fits, f"positive, and for bins a multiple of {HEADS}")
        expect(self, "huber", self.huber > 0, "positive")
        expect(self, "floor", self.floor > 0, "positive")

    def check_data(self, data: LabelledData) -> None:
        """Warn of labels that the head cannot reach; some of many are looked at."""
        some = np.unique(np.linspace(0, len(data) - 1, min(len(data), _LOOKED_AT)).astype(int))
        for index in some:
            label = np.asarray(label_of(data, int(index)))
            highest = float(np.nanmax(label)) if np.isfinite(label).any() else self.low
            if highest > self.high:
                logger.warning(
                    "%s: heights up to %.4g m, out of reach of options.high, %g m: raise it, or "
                    "name the number in data.ignore if it is no height",
                    data.names[index],
                    highest,
                    self.high,
                )
                return

    @property
    def outputs(self) -> int:
        """One channel: metres."""
        return 1

    def head(self, widths: Sequence[int]) -> nn.Module:
        """A `BinsHead` or a `RegressionHead`."""
        if self.method == "bins":
            return BinsHead(widths, self.channels, self.low, self.high, self.bins, HEADS)
        return RegressionHead(widths, self.channels, self.low, self.high)

    def counts(self, labels: Tensor) -> Terms:
        """Pixels whose height is known."""
        return {"labels": labels.isfinite().sum().double()}

    def sums(self, output: Tensor, labels: Tensor) -> Terms:
        """Huber's loss."""
        predicted = in_full(output)[:, 0]
        known = labels.isfinite()
        truth = torch.where(known, labels.to(predicted.dtype), predicted.detach())
        errors = F.huber_loss(predicted, truth, reduction="sum", delta=self.huber)
        return {"huber": errors / self.huber}  # metres, as far as they are large

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """Huber's loss a pixel, over its limit: large errors count in metres, less half of it."""
        return {"loss": share(sums["huber"], counts["labels"])}

    def metrics(self) -> MetricCollection:
        """RMSE, MAE, Rel, RMSE-log, delta1 to delta3."""
        from ringmoe.tasks.height_metrics import height_metrics

        return height_metrics(self.floor)

    def decode(self, output: Tensor) -> Tensor:
        """Metres `(B, H, W)`."""
        return output[:, 0]
