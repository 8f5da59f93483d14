"""A linear classifier on pooled maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ringmoe.probing import moments
from ringmoe.tasks.heads.blocks import MapNorms

Pooling = Literal["last", "all"]


class LinearHead(nn.Module):
    """Layer norm, pooling over the positions that hold data, one linear layer.

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        outputs: Classes.
        pooling: "last": the last map's mean, as Swin Transformers classify; "all": mean and
            standard deviation of every map, which serves frozen and briefly trained backbones.
    """

    def __init__(self, widths: Sequence[int], outputs: int, pooling: Pooling = "last") -> None:
        super().__init__()
        self.pooling = pooling
        used = widths[-1:] if pooling == "last" else widths
        self.norms = MapNorms(used)
        self.classify = nn.Linear(sum(used) * (1 if pooling == "last" else 2), outputs)

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> Tensor:
        """Scores `(B, outputs)` of the only pyramid; an image without any data gets the bias."""
        (pyramid,) = pyramids
        pooled = []
        for level in self.norms(pyramid[-len(self.norms) :]):
            mean, variance = moments(level, valid)
            pooled.append(mean)
            if self.pooling == "all":
                pooled.append((variance + 1e-6).sqrt())  # a root has no slope at 0
        return self.classify(torch.cat(pooled, dim=1))
