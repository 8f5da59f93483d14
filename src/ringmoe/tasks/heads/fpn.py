"""torchvision's feature pyramid network on a backbone's maps, for detectors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork

from ringmoe.tasks.heads.blocks import MapNorms

STRIDES = (4, 8, 16, 32)
"""Pixels of an image to a cell of each map."""

RATIOS = (0.5, 1.0, 2.0)
"""Height to width of anchors."""

SCALES = (1.0, 2.0, 4.0)
"""Sizes of anchors over the one that is given for a level."""

ANCHORS = len(RATIOS) * len(SCALES)
"""In each cell."""

RESOLUTION = 7
"""Cells across that a proposal is read at."""


class DetectionPyramid(nn.Module):
    """A norm for each map, then torchvision's feature pyramid (Lin et al. 2017, arXiv:1612.03144).

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        channels: Of every map of the result.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.norms = MapNorms(widths)
        self.fpn = FeaturePyramidNetwork(list(widths), channels)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Maps at strides 4, 8, 16, 32 to as many, `(B, channels, H / stride, W / stride)`."""
        named = {str(level): x for level, x in enumerate(self.norms(pyramid))}
        return list(self.fpn(named).values())


def make_anchors(sizes: Sequence[float]) -> AnchorGenerator:
    """Anchors of one size a level, in all `SCALES` and `RATIOS`."""
    every = tuple(tuple(size * scale for scale in SCALES) for size in sizes)
    return AnchorGenerator(every, (RATIOS,) * len(STRIDES))
