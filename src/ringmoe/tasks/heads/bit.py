"""Change detection after the bitemporal image transformer (BIT).

Chen, Qi and Shi 2021, "Remote Sensing Image Change Detection with Transformers"
(arXiv:2103.00208).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ringmoe.tasks.heads.attention import AttentionBlock, tokens_of
from ringmoe.tasks.heads.blocks import (
    FeaturePyramid,
    MapNorms,
    TwoConvolutions,
    both_dates,
    resize,
)


class BITHead(nn.Module):
    """Few semantic tokens of each date, exchanged between the dates, read back by every pixel.

    As in the paper: spatial attention makes tokens of each date's map, a transformer encoder sees
    the tokens of both, a transformer decoder lets each pixel read its own date's tokens, and the
    absolute difference is classified. Other than there, the map is a feature pyramid of all four
    stages; the embedding of a token's number is shared by the dates, so that their order has no
    effect but rounding; and scores are made at stride 4 and resized.

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        outputs: Classes.
        channels: Of pixels and tokens, a multiple of `heads`.
        tokens: Of each date; 4 in the paper.
        layers: Of the decoder; the encoder has one. 8 in the paper.
        heads: Of the attention.
    """

    def __init__(
        self,
        widths: Sequence[int],
        outputs: int,
        channels: int,
        tokens: int = 4,
        layers: int = 8,
        heads: int = 8,
    ) -> None:
        super().__init__()
        self.norms = MapNorms(widths)
        self.pyramid = FeaturePyramid(widths, channels)
        self.tokenizer = nn.Conv2d(channels, tokens, 1, bias=False)
        self.embedding = nn.Parameter(torch.randn(tokens, channels) * 0.02)
        self.encoder = AttentionBlock(channels, heads)
        self.decoder = nn.ModuleList(AttentionBlock(channels, heads) for _ in range(layers))
        self.classify = TwoConvolutions(channels, outputs)

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> Tensor:
        """Scores `(B, outputs, H, W)` of two dates' pyramids."""
        image = self.pyramid(self.norms(both_dates(pyramids)))  # (2B, C, h, w)
        pixels = tokens_of(image)
        tokens = self._exchange(self._tokenise(image, pixels))
        for block in self.decoder:
            pixels = block(pixels, tokens)
        first, second = _dates(pixels.transpose(1, 2).unflatten(2, image.shape[-2:]))
        return resize(self.classify((first - second).abs()), size)

    def _tokenise(self, image: Tensor, pixels: Tensor) -> Tensor:
        """Means of the pixels `(2B, T, C)`, each token with its own weights over the positions."""
        return self.tokenizer(image).flatten(2).softmax(dim=-1) @ pixels

    def _exchange(self, tokens: Tensor) -> Tensor:
        """Each token attends to those of both dates of its image; `(2B, T, C)` to the same."""
        both = torch.cat(_dates(tokens + self.embedding), dim=1)  # (B, 2T, C)
        return torch.cat(self.encoder(both).chunk(2, dim=1))


def _dates(x: Tensor) -> tuple[Tensor, ...]:
    """`(2B, ...)` to two of `(B, ...)`; `chunk` would make exported models of one batch size."""
    return x.unflatten(0, (2, -1)).unbind(0)
