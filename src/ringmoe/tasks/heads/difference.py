"""Plain change detection: what differs between the maps of two dates."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ringmoe.tasks.heads.blocks import FeaturePyramid, MapNorms, TwoConvolutions, resize


class DifferenceHead(nn.Module):
    """Absolute differences of normed maps, a light feature pyramid on them, two convolutions.

    The order of the dates has no effect, to the last bit. There is no norm after the difference:
    how large it is, is the signal.

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        outputs: Classes.
        channels: Of the feature pyramid.
    """

    def __init__(self, widths: Sequence[int], outputs: int, channels: int) -> None:
        super().__init__()
        self.norms = MapNorms(widths, bias=False)  # differences have none
        self.pyramid = FeaturePyramid(widths, channels)
        self.classify = TwoConvolutions(channels, outputs)

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> Tensor:
        """Scores `(B, outputs, H, W)` of two dates' pyramids."""
        first, second = (self.norms(pyramid) for pyramid in pyramids)
        differences = [(a - b).abs() for a, b in zip(first, second, strict=True)]
        return resize(self.classify(self.pyramid(differences)), size)
