"""A small objective with what makes sums over ranks hard: ratios, products of means, no data."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ringmoe.training import Objective, Terms


class ToyObjective(Objective):
    """Weighted absolute errors by group, plus a product of two means (as a balance loss has)."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 2))
        self.unreached = nn.Linear(3, 3)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(std=0.5, generator=generator)

    def prepare(self, data: Any) -> tuple[Any, Terms]:
        x, y, weight = (t.to(self.net[0].weight.dtype) for t in data)
        return (x, y, weight), {
            "images": torch.tensor(float(len(x))),
            "weight": weight.double().sum(0),
        }

    def forward(self, inputs: Any) -> Terms:
        x, y, weight = inputs
        if not len(x):
            return {
                "images": x.new_zeros(()),
                "error": x.new_zeros(2),
                "first": x.new_zeros(()),
                "second": x.new_zeros(()),
            }
        out = self.net(x)
        return {
            "images": x.new_tensor(float(len(x))),
            "error": ((out - y).abs() * weight).sum(0),
            "first": out[:, 0].sum(),
            "second": out[:, 1].sum(),
        }

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        error = (sums["error"] / counts["weight"].clamp(min=1)).mean()
        images = sums["images"].clamp(min=1)
        coupled = (sums["first"] / images) * (sums["second"] / images)
        share = sums["images"] / counts["images"].clamp(min=1)
        return {"loss": error + 0.1 * coupled * share, "error": error}

    def provenance(self, data: Any) -> Any:
        return {"rows": len(data[0])}


class ToyData:
    """Random regression rows, a function of the step; a rank gets an unequal part, maybe none."""

    def __init__(self, rank: int = 0, world_size: int = 1, rows: int = 12) -> None:
        self.rank, self.world_size, self.rows = rank, world_size, rows

    def whole(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 + step)
        x = torch.randn(self.rows, 4, generator=generator, dtype=torch.float64)
        y = torch.randn(self.rows, 2, generator=generator, dtype=torch.float64)
        weight = (torch.rand(self.rows, 2, generator=generator) > 0.3).double()
        return x, y, weight

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        # Rank 0 of two gets 9, 10, 11, 12, 9, ... of 12 rows: unequal, and rank 1 at times none.
        cut = self.rows - 3 + step % 4 if self.world_size == 2 else self.rows
        part = slice(0, cut) if self.rank == 0 else slice(cut, None)
        x, y, weight = (t[part] for t in self.whole(step))
        return x, y, weight

    def iterate(self, start_step: int, stop_step: int) -> Generator[Any]:
        for step in range(start_step, stop_step):
            yield self.batch(step)
