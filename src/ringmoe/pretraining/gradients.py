"""Orientation and strength of an image's gradients: what texture is made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 8  # pixels; gradients are counted in squares of this edge
ORIENTATIONS = 8  # over half a turn: a light edge on dark is as good as a dark one on light
FLOOR = 1e-2  # of a cell's strength: under a hundredth of a standard deviation a pixel, no texture

#: What `gradient_cells` returns, in order: the direction of each bin's gradients, in degrees
#: clockwise from the image's right, and the logarithm of their strength.
GRADIENT_CHANNELS = (
    *(f"gradient-{180 * k / ORIENTATIONS:g}" for k in range(ORIENTATIONS)),
    "gradient-strength",
)


def gradient_cells(images: Tensor, valid: Tensor) -> Tensor:
    """Histograms of oriented gradients, of length 4, and the logarithm of that length before.

    After Dalal and Triggs (2005) as MaskFeat has them (Wei et al. 2022, arXiv 2112.09133): central
    differences, each shared by the two nearest orientations, added over channels and averaged in
    cells of 8 x 8 px. In logarithms of amplitude a difference is a ratio, which speckle gives the
    same spread everywhere (the gradient by ratio of SAR).

    Args:
        images: `(B, C, H, W)`, H and W multiples of 8.
        valid: `(B, 1, H, W)` bool; differences with a pixel without data are zero.

    Returns:
        `(B, 9, H, W)`, each cell's values in all its pixels: 0 to 4, and the logarithm.
    """
    across, down = _central_differences(images, valid.to(images.dtype))
    strength = torch.hypot(across, down)
    position = torch.atan2(down, across) * (ORIENTATIONS / torch.pi) % ORIENTATIONS
    lower = position.floor()
    share = (position - lower) * strength
    bins = lower.long() % ORIENTATIONS
    counts = images.new_zeros((len(images), ORIENTATIONS, *images.shape[2:]))
    for channel in range(images.shape[1]):  # an index of all channels would be 8 bytes a value
        one = slice(channel, channel + 1)
        counts.scatter_add_(1, bins[:, one], (strength - share)[:, one])
        counts.scatter_add_(1, (bins[:, one] + 1) % ORIENTATIONS, share[:, one])
    cells = F.avg_pool2d(counts, CELL)
    length = torch.linalg.vector_norm(cells, dim=1, keepdim=True) + FLOOR
    described = torch.cat([4 * cells / length, length.log()], dim=1)
    return described.repeat_interleave(CELL, dim=2).repeat_interleave(CELL, dim=3)


def _central_differences(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """To the right and down; at the border, of the pixel itself and its one neighbour."""
    x, valid = (F.pad(t, (1, 1, 1, 1), mode="replicate") for t in (x, valid))
    right, left = (..., slice(1, -1), slice(2, None)), (..., slice(1, -1), slice(None, -2))
    below, above = (..., slice(2, None), slice(1, -1)), (..., slice(None, -2), slice(1, -1))
    across = (x[right] - x[left]) * (valid[right] * valid[left])
    return across, (x[below] - x[above]) * (valid[below] * valid[above])
