"""One labelled scene cut into tiles that do not overlap, for training and testing apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ringmoe.errors import ShapeError

IGNORED = -1


@dataclass(frozen=True, eq=False)
class LabelledTiles:
    """Tiles of one sensor with a class for each pixel.

    Attributes:
        values: `(N, C, H, W)` calibrated, in the sensor's unit; complex where it is complex.
        labels: `(N, H, W)` int64, indices into `classes`; `IGNORED` (-1) where there is none.
        classes: Class names.
        sensor: A name of the sensor catalogue.
        channels: The sensor's names of the channels of `values`; None for all of them.
    """

    values: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    sensor: str
    channels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        n, _, height, width = self.values.shape
        if self.labels.shape != (n, height, width):
            raise ShapeError(
                f"values {self.values.shape} need labels {(n, height, width)}, "
                f"got {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.values)

    def subset(self, chosen: np.ndarray) -> LabelledTiles:
        """The tiles at those indices (int), or where a mask (bool) is true."""
        return replace(self, values=self.values[chosen], labels=self.labels[chosen])


def cut_blocks(array: np.ndarray, size: int) -> np.ndarray:
    """The last two axes cut into whole blocks, from the upper left; what is left over is dropped.

    Args:
        array: `(..., H, W)`.
        size: Height and width of a block in pixels.

    Returns:
        `(N, ..., size, size)`, row by row.

    Raises:
        ShapeError: Not one block fits.
    """
    rows, columns = array.shape[-2] // size, array.shape[-1] // size
    if rows == 0 or columns == 0:
        raise ShapeError(f"no block of {size} px fits in {array.shape[-2]} x {array.shape[-1]} px")
    cut = array[..., : rows * size, : columns * size]
    cut = cut.reshape(*array.shape[:-2], rows, size, columns, size)
    cut = np.moveaxis(cut, (-4, -2), (0, 1))
    return cut.reshape(rows * columns, *array.shape[:-2], size, size)


def checkerboard(shape: Sequence[int], size: int) -> np.ndarray:
    """Which blocks of `cut_blocks` lie on the white fields of a checkerboard, `(N,)` bool.

    Both colours see every part of the scene, and no block of one overlaps a block of the other.
    """
    rows, columns = np.indices((shape[-2] // size, shape[-1] // size))
    return ((rows + columns) % 2 == 0).reshape(-1)


def relabel(label_map: np.ndarray, codes: Sequence[int]) -> np.ndarray:
    """Map codes to class indices in the order of `codes`; every other code becomes `IGNORED`."""
    labels = np.full(label_map.shape, IGNORED, np.int64)
    for index, code in enumerate(codes):
        labels[label_map == code] = index
    return labels
