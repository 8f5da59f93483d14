"""From the last map back to pixels: one linear layer, so that the backbone does the work."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LinearDecoder(nn.Module):
    """A 1x1 convolution to `stride**2` values a channel, and a pixel shuffle (SimMIM's head).

    Args:
        width: Channels of the backbone's last map.
        channels: Target channels.
        stride: Pixels between positions of that map.
        generator: Draws the weights; None for torch's own.
    """

    def __init__(
        self,
        width: int,
        channels: int,
        stride: int = 32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.stride = stride
        # Small weights: the first prediction is near 0, the mean of most targets.
        weight = torch.empty(channels, stride**2, width).normal_(std=0.02, generator=generator)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(channels, stride**2))

    def forward(self, features: Tensor, rows: Sequence[int] | None = None) -> Tensor:
        """Predict.

        Args:
            features: `(B, width, h, w)`.
            rows: Target channels to predict, in order; None for all.

        Returns:
            `(B, len(rows), h * stride, w * stride)`.
        """
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if rows is not None and list(rows) != list(range(len(weight))):
            index = torch.tensor(rows, device=weight.device)
            weight, bias = weight[index], bias[index]
        # A matrix product on tokens: convolutions of 1 x 1 on maps this small are twice as slow.
        batch, width, height, columns = features.shape
        patches = F.linear(features.permute(0, 2, 3, 1), weight.view(-1, width), bias.view(-1))
        cells = patches.view(batch, height, columns, -1, self.stride, self.stride)
        shape = (batch, len(weight), height * self.stride, columns * self.stride)
        return cells.permute(0, 3, 1, 4, 2, 5).reshape(shape)
