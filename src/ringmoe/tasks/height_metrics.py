"""Metrics of heights: means over pixels whose height is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

Measure = Callable[[Tensor, Tensor], Tensor]


class HeightMetric(Metric):
    """The mean, or its root, of a measure of each pixel's predicted and true height.

    Sums are kept in float64, so the value does not depend on how pixels come in batches. It is NaN
    before a pixel has counted.

    Args:
        measure: Of predicted and true heights, both `(N,)` float64.
        root: Whether to take the root of the mean.
        above: Only pixels of larger true height count, and predictions are raised to it; None:
            all do, as predicted.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(
        self, measure: Measure, *, root: bool = False, above: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.measure, self.root, self.above = measure, root, above
        for name in ("total", "count"):
            zero = torch.zeros((), dtype=torch.float64)
            self.add_state(name, default=zero, dist_reduce_fx="sum")

    def update(self, output: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            output: `(B, 1, H, W)` metres.
            labels: `(B, H, W)` metres, NaN where unknown.
        """
        counted = labels.isfinite() if self.above is None else labels > self.above  # NaN is not
        truth = labels[counted].double()
        predicted = output[:, 0][counted].double()
        if self.above is not None:
            predicted = predicted.clamp(min=self.above)
        self.total += self.measure(predicted, truth).sum()
        self.count += truth.numel()

    def compute(self) -> Tensor:
        """The mean over all that was added."""
        mean = self.total / self.count
        return mean.sqrt() if self.root else mean


def height_metrics(floor: float) -> MetricCollection:
    """RMSE and MAE over all known pixels; Rel, RMSE-log and delta over those above a floor.

    Ratios and logarithms mean nothing at height 0, where most pixels are: those three are computed
    where the truth exceeds `floor`, with predictions raised to it.

    Args:
        floor: Metres, positive.
    """
    above = partial(HeightMetric, above=floor)
    metrics: dict[str, Metric | MetricCollection] = {
        "rmse": HeightMetric(_squared, root=True),
        "mae": HeightMetric(_absolute),
        "rel": above(_relative),
        "rmse_log": above(_squared_logarithmic, root=True),
        **{f"delta{k}": above(partial(_within, 1.25**k)) for k in (1, 2, 3)},
    }
    # Groups are found by equal states after one batch: delta2 and delta3 may be equal by chance.
    return MetricCollection(metrics, compute_groups=False)


def _squared(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted - truth).square()


def _absolute(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted - truth).abs()


def _relative(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted - truth).abs() / truth


def _squared_logarithmic(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted.log() - truth.log()).square()


def _within(factor: float, predicted: Tensor, truth: Tensor) -> Tensor:
    return (torch.maximum(predicted / truth, truth / predicted) < factor).double()
