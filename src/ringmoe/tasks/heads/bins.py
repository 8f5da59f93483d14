"""Regression by adaptive bins.

Li et al. 2022, "BinsFormer: Revisiting Adaptive Bins for Monocular Depth Estimation"
(arXiv:2204.00987), after Bhat et al. 2021, "AdaBins" (arXiv:2011.14141).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ringmoe.tasks.heads.attention import AttentionBlock, tokens_of
from ringmoe.tasks.heads.blocks import in_full, resize
from ringmoe.tasks.heads.upernet import UPerNetDecoder

FIRST_RATIO = 100.0
"""Last bin's width over the first one's, before training: most pixels are near the ground."""


class BinsHead(nn.Module):
    """Each image gets bins of its own; a pixel's value is the mean of their centres.

    As in BinsFormer, a bin is a learned query that reads the coarse maps, from stride 32 to 8, one
    layer each (cross-attention, then self-attention). Of what a query becomes, one MLP gives the
    bin's width and another the vector that pixels are compared with:

        width_n  = softmax_n(bias_n + mlp(query)) * (high - low)
        centre_n = low + width_1 + ... + width_(n-1) + width_n / 2
        value    = sum over n of softmax_n(pixel . vector_n / sqrt(channels)) * centre_n

    The bias, which the papers do not have, makes bins fine near `low` from the start. Positions are
    not encoded: which heights a tile has does not depend on where they are.

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        channels: Of queries and pixels, a multiple of `heads`.
        low: Where the first bin begins.
        high: Where the last bin ends.
        bins: How many.
        heads: Of the attention.
    """

    def __init__(
        self,
        widths: Sequence[int],
        channels: int,
        low: float,
        high: float,
        bins: int = 64,
        heads: int = 8,
    ) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.decoder = UPerNetDecoder(widths, channels)
        self.queries = nn.Parameter(torch.randn(bins, channels) * 0.02)
        coarse = widths[1:]
        self.memories = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in coarse)
        self.read = nn.ModuleList(AttentionBlock(channels, heads) for _ in coarse)
        self.exchange = nn.ModuleList(AttentionBlock(channels, heads) for _ in coarse)
        self.norm = nn.LayerNorm(channels)
        self.width = _mlp(channels, 1, bias=False)
        self.bias = nn.Parameter(torch.linspace(0, math.log(FIRST_RATIO), bins))
        self.vector = _mlp(channels, channels)

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> Tensor:
        """Values `(B, 1, H, W)` of the only pyramid."""
        (pyramid,) = pyramids
        queries = self._queries(pyramid)
        pixels = self.decoder(pyramid)  # (B, C, h, w)
        scores = torch.einsum("bnc,bchw->bnhw", self.vector(queries), pixels)
        shares = (in_full(scores) * pixels.shape[1] ** -0.5).softmax(dim=1)
        # No product of matrices: autocast would round metres to bfloat16.
        values = (shares * self.centres(queries)[:, :, None, None]).sum(dim=1, keepdim=True)
        return resize(values, size)

    def centres(self, queries: Tensor) -> Tensor:
        """Centres of the bins `(B, N)`, ascending, of queries `(B, N, C)`."""
        logits = in_full(self.width(queries))[..., 0] + self.bias
        widths = logits.softmax(dim=1) * (self.high - self.low)
        return self.low + widths.cumsum(dim=1) - widths / 2

    def _queries(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Queries `(B, N, C)` that have read the image."""
        coarse = self.decoder.norms(pyramid)[1:]
        queries = self.queries.expand(coarse[0].shape[0], -1, -1)
        for number in reversed(range(len(coarse))):
            memory = tokens_of(self.memories[number](coarse[number]))
            queries = self.exchange[number](self.read[number](queries, memory))
        return self.norm(queries)


def _mlp(channels: int, outputs: int, bias: bool = True) -> nn.Sequential:
    last = nn.Linear(channels, outputs, bias)
    return nn.Sequential(nn.Linear(channels, channels), nn.GELU(), last)
