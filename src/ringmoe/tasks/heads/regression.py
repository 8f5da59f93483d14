"""Plain regression of one value a pixel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ringmoe.tasks.heads.blocks import in_full, resize
from ringmoe.tasks.heads.upernet import UPerNetDecoder

FIRST_SHARE = -3.0
"""Logit of the first prediction, 5 % of the range: most pixels are near the ground."""


class RegressionHead(nn.Module):
    """UPerNet's decoder and a value between two limits: `low + (high - low) * sigmoid(x)`.

    The sigmoid brings any range of heights to outputs of order one (as Lee et al. 2019,
    arXiv:1907.10326, for depths).

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        channels: Of the decoder.
        low: Smallest value.
        high: Largest value.
    """

    def __init__(self, widths: Sequence[int], channels: int, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.decoder = UPerNetDecoder(widths, channels)
        self.regress = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.regress.bias, FIRST_SHARE)  # type: ignore[arg-type]

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> Tensor:
        """Values `(B, 1, H, W)` of the only pyramid."""
        (pyramid,) = pyramids
        part = in_full(self.regress(self.decoder(pyramid))).sigmoid()
        return resize(self.low + (self.high - self.low) * part, size)
