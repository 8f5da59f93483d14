"""Where a tile is cut, flipped and turned: a function of seed, stream and position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ringmoe.sampling.hashing import uniform

Crop = Literal["cut", "resized", "centre"]

RESIZED_AREA = (0.2, 0.5)  # of the tile; the released RingMoE code
RESIZED_ASPECT = (3 / 4, 4 / 3)  # width over height, as in Inception's and torchvision's


@dataclass(frozen=True)
class Crops:
    """One crop for each image of a batch.

    Attributes:
        rows: First row of each crop in its tile, `(N,)` int64.
        columns: First column.
        heights: Height before resizing.
        widths: Width before resizing.
        mirrored: Whether the crop is flipped left to right.
        turns: Right angles by which it is turned, counter-clockwise, 0 to 3.
    """

    rows: np.ndarray
    columns: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    mirrored: np.ndarray
    turns: np.ndarray


def draw_crops(
    heights: np.ndarray,
    widths: np.ndarray,
    positions: np.ndarray,
    *,
    key: int,
    size: int,
    crop: Crop,
    flip: bool,
    turns: bool,
    area: tuple[float, float] = RESIZED_AREA,
) -> Crops:
    """The crops of the images at those positions.

    Args:
        heights: Rows of each tile that hold data, `(N,)`: fewer than the tile's where a small chip
            was padded at the bottom. A chip smaller than the crop lies in the crop's corner.
        widths: Columns of each tile that hold data.
        positions: Where each image stands in its stream, `(N,)`.
        key: Seed and stream.
        size: Height and width of what comes out.
        crop: "cut": `size` x `size` pixels at a random place. "centre": the same in the middle.
            "resized": a random rectangle, to be resampled to `size`.
        flip: Flip every second image, at random, left to right; never for "centre".
        turns: Turn by right angles at random; never for "centre".
        area: Lowest and highest share of the tile's area that a "resized" crop takes.
    """
    draw = uniform(key, positions[:, None], np.arange(6))
    if crop == "resized":
        share = area[0] + draw[:, 4] * (area[1] - area[0])
        low, high = np.log(RESIZED_ASPECT)
        aspect = np.exp(low + draw[:, 5] * (high - low))
        pixels = share * heights * widths
        crop_heights = np.rint(np.sqrt(pixels / aspect)).astype(np.int64).clip(1, heights)
        crop_widths = np.rint(np.sqrt(pixels * aspect)).astype(np.int64).clip(1, widths)
    else:
        crop_heights = crop_widths = np.full(len(positions), size, np.int64)
    free_rows = np.maximum(heights - crop_heights, 0)
    free_columns = np.maximum(widths - crop_widths, 0)
    augmented = crop != "centre"
    place = draw if augmented else np.full_like(draw, 0.5)
    return Crops(
        rows=(place[:, 0] * (free_rows + augmented)).astype(np.int64),
        columns=(place[:, 1] * (free_columns + augmented)).astype(np.int64),
        heights=crop_heights,
        widths=crop_widths,
        mirrored=(draw[:, 2] < 0.5) & (flip and augmented),
        turns=(draw[:, 3] * 4).astype(np.int64) * (turns and augmented),
    )
