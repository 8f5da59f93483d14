"""UPerNet: pyramid pooling on the last map, then a feature pyramid of which all levels are fused.

Xiao et al. 2018, "Unified Perceptual Parsing for Scene Understanding" (arXiv:1807.10221).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ringmoe.tasks.heads.blocks import ConvBlock, LayerNorm2d, MapNorms, Norm, resize

POOL_SIZES = (1, 2, 3, 6)
"""Cells across, of each grid that pyramid pooling averages over (Zhao et al. 2017)."""


class PyramidPooling(nn.Module):
    """A map beside its averages over grids of 1, 2 x 2, 3 x 3 and 6 x 6 cells.

    Args:
        inputs: Channels of the map.
        channels: Channels of each average and of the result.
        norm: Of the convolutions.
    """

    def __init__(self, inputs: int, channels: int, norm: Norm = LayerNorm2d) -> None:
        super().__init__()
        self.branches = nn.ModuleList(ConvBlock(inputs, channels, 1, norm) for _ in POOL_SIZES)
        self.fuse = ConvBlock(inputs + len(POOL_SIZES) * channels, channels, 3, norm)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, h, w)` to `(B, channels, h, w)`."""
        pooled = [
            resize(branch(F.adaptive_avg_pool2d(x, cells)), x.shape[-2:])
            for cells, branch in zip(POOL_SIZES, self.branches, strict=True)
        ]
        return self.fuse(torch.cat([x, *pooled], dim=1))


class UPerNetDecoder(nn.Module):
    """A pyramid to one map at its finest stride, the part of UPerNet before the scores.

    Args:
        widths: Channels of the maps, fine to coarse.
        channels: Channels of everything inside and of the result.
        norm: Of the convolutions.
    """

    def __init__(self, widths: Sequence[int], channels: int, norm: Norm = LayerNorm2d) -> None:
        super().__init__()
        self.norms = MapNorms(widths)
        self.pooling = PyramidPooling(widths[-1], channels, norm)
        self.laterals = nn.ModuleList(ConvBlock(w, channels, 1, norm) for w in widths[:-1])
        self.smooths = nn.ModuleList(ConvBlock(channels, channels, 3, norm) for _ in widths[:-1])
        self.fuse = ConvBlock(len(widths) * channels, channels, 3, norm)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Maps at strides 4, 8, 16, 32 to `(B, channels, H / 4, W / 4)`."""
        *fine, last = self.norms(pyramid)
        state = self.pooling(last)
        levels = [state]  # coarse to fine
        for level in reversed(range(len(fine))):
            lateral = self.laterals[level](fine[level])
            state = lateral + resize(state, lateral.shape[-2:])
            levels.append(self.smooths[level](state))
        finest = levels[-1].shape[-2:]
        return self.fuse(torch.cat([resize(x, finest) for x in reversed(levels)], dim=1))


class UPerNet(nn.Module):
    """UPerNet's decoder and a 1x1 convolution to scores, resized to the image.

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        outputs: Classes.
        channels: Channels of the decoder.
        norm: Of the convolutions.
    """

    def __init__(
        self, widths: Sequence[int], outputs: int, channels: int, norm: Norm = LayerNorm2d
    ) -> None:
        super().__init__()
        self.decoder = UPerNetDecoder(widths, channels, norm)
        self.classify = nn.Conv2d(channels, outputs, 1)

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> Tensor:
        """Scores `(B, outputs, H, W)` of the only pyramid; pixels without data get some too."""
        (pyramid,) = pyramids
        return resize(self.classify(self.decoder(pyramid)), size)
