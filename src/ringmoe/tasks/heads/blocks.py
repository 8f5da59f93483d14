"""What heads are made of: norms that look at one position, convolutions, bilinear resizing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Callable[[int], nn.Module]
"""A norm of so many channels, on maps `(B, C, H, W)`."""


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each position.

    The norm of all heads here. Batch norm would need several images to train on and would make
    the loss depend on how a batch is spread over micro-batches and ranks; group norm would make a
    map depend on where a scene was cut into tiles.
    """

    def __init__(self, channels: int, eps: float = 1e-6, bias: bool = True) -> None:
        super().__init__(channels, eps, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MapNorms(nn.ModuleList):
    """A layer norm for each map of a pyramid: the backbone ends without one."""

    def __init__(self, widths: Sequence[int], bias: bool = True) -> None:
        super().__init__(LayerNorm2d(width, bias=bias) for width in widths)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Maps to maps of the same shapes."""
        return [norm(level) for norm, level in zip(self, pyramid, strict=True)]


class ConvBlock(nn.Sequential):
    """Convolution without a bias, norm, ReLU; the size stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, norm: Norm = LayerNorm2d) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        super().__init__(conv, norm(outputs), nn.ReLU(inplace=True))


class TwoConvolutions(nn.Sequential):
    """A 3x3 convolution, ReLU and a 1x1 convolution to scores, without a norm.

    For differences of two dates: a norm over a position's channels would make a faint difference
    as loud as a strong one.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, outputs, 1),
        )


class FeaturePyramid(nn.Module):
    """A light feature pyramid network (Lin et al. 2017): one map of all, at the finest stride.

    Args:
        widths: Channels of the maps, fine to coarse.
        channels: Channels of the result.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """`(B, channels, H / 4, W / 4)`."""
        lateral = [layer(level) for layer, level in zip(self.laterals, pyramid, strict=True)]
        state = lateral[-1]
        for level in reversed(lateral[:-1]):
            state = level + resize(state, level.shape[-2:])
        return self.smooth(state)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, pixels as areas (`align_corners=False`), so that maps stay where images are."""
    height, width = size
    if (height, width) == (x.shape[-2], x.shape[-1]):
        return x
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)


def both_dates(pyramids: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Two pyramids of B images as one of 2B: the first date's images, then the second's."""
    first, second = pyramids
    return [torch.cat(levels) for levels in zip(first, second, strict=True)]


def in_full(output: Tensor) -> Tensor:
    """An output in at least float32: sums over many pixels do not fit lower precision."""
    return output if output.dtype == torch.float64 else output.float()
