"""Which parts of an image the model does not see."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ringmoe.errors import ConfigError


def masked_units(size: tuple[int, int], unit: int, ratio: float) -> int:
    """How many units of an image are masked: the nearest whole number, at least one.

    Args:
        size: Height and width of the image in pixels.
        unit: Edge of the square mask units in pixels.
        ratio: Share to mask, over 0 and under 1; 0.6 of 36 units are 22.

    Raises:
        ConfigError: The units do not tile the image, or there is nothing left to see.
    """
    height, width = size
    if height % unit or width % unit:
        raise ConfigError(
            f"mask_unit: {unit} px does not divide an image of {height} x {width} px; "
            "choose a divisor of crop_size"
        )
    units = (height // unit) * (width // unit)
    count = max(1, round(ratio * units))
    if count >= units:
        raise ConfigError(
            f"mask_unit: {count} of {units} units of {unit} px would be masked, which leaves "
            "nothing to see; choose smaller units or a smaller mask_ratio"
        )
    return count


def draw_masks(
    positions: Sequence[int],
    *,
    stream: str,
    seed: int,
    size: tuple[int, int],
    unit: int,
    ratio: float,
) -> Tensor:
    """One random mask an image, the same on whatever rank the image is.

    Each mask is drawn by a generator of its own, seeded by seed, stream and position.

    Args:
        positions: Where the images stand in their stream's endless order.
        stream: The name of the images' stream, in whose order the positions count.
        seed: Of the run.
        size: Height and width of the images in pixels.
        unit: Edge of the square units in pixels.
        ratio: Share of units to mask.

    Returns:
        `(B, H / unit, W / unit)` bool on the CPU, true where masked; exactly
        `masked_units(size, unit, ratio)` of every image.
    """
    count = masked_units(size, unit, ratio)
    grid = size[0] // unit, size[1] // unit
    stream_number = zlib.crc32(stream.encode())
    masks = np.zeros((len(positions), grid[0] * grid[1]), bool)
    for mask, position in zip(masks, positions, strict=True):
        generator = np.random.default_rng((seed, stream_number, position))
        mask[generator.permutation(len(mask))[:count]] = True
    return torch.from_numpy(masks.reshape(-1, *grid))


def enlarge(mask: Tensor, factor: int) -> Tensor:
    """A mask on a finer grid: `(B, h, w)` to `(B, h * factor, w * factor)`."""
    return mask.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
