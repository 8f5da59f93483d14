"""`.npy` stacks, memory-mapped: (H, W), (C, H, W), (H, W, C), or one date of (T, ...)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ringmoe.errors import DtypeError, SceneReadError, ShapeError
from ringmoe.scenes.gdal import check_file
from ringmoe.scenes.source import Source
from ringmoe.scenes.window import Window


@dataclass(frozen=True)
class NumpyStack(Source):
    """Bands of an array on disk.

    Attributes:
        index: Which entry of the first axis (a date), None if the array has no such axis.
        band_axis: Where the bands lie in what is left: 0 or 2, None for a single plane.
    """

    index: int | None = None
    band_axis: int | None = None

    def read(self, bands: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """See `Source.read`; the map is let go afterwards, and its pages with it."""
        array = _map(self.path)
        if self.index is not None:
            array = array[self.index]
        if self.band_axis is None:
            array = array[None]
        elif self.band_axis == 2:
            array = array.transpose(2, 0, 1)
        # stack copies: what leaves must not point into the file
        return np.stack([array[band, window.rows, window.columns] for band in bands]), None


def open_numpy(path: Path, index: int | None, counts: Sequence[int]) -> NumpyStack:
    """Look at an `.npy` file.

    Args:
        path: The file.
        index: Which entry of the first axis, for arrays of several dates.
        counts: Numbers of bands that would do; they tell (C, H, W) from (H, W, C).

    Raises:
        SceneReadError: The file is absent, empty, truncated or no `.npy`.
        DtypeError: It does not hold numbers, or such as are only read on machines of one kind.
        ShapeError: No axis, or more than one, has as many entries as bands are due.
    """
    check_file(path)
    array = _map(path)
    if array.dtype.kind not in "biufc":
        raise DtypeError(f"{path}: expected numbers, found dtype {array.dtype}")
    if array.dtype.char in "gG":
        raise DtypeError(f"{path}: holds {array.dtype}: save it as float64 or complex64")
    shape = array.shape
    if index is not None:
        if not 0 <= index < shape[0] or len(shape) < 3:
            raise ShapeError(
                f"{path}: has no entry #{index}: its shape is {shape}"
                + (f", so #0 to #{shape[0] - 1}" if len(shape) > 2 else "")
            )
        shape = shape[1:]
    band_axis = _band_axis(path, shape, counts)
    count = 1 if band_axis is None else shape[band_axis]
    height, width = shape[1:] if band_axis == 0 else shape[:2]
    return NumpyStack(
        path=path,
        height=height,
        width=width,
        names=(None,) * count,
        dtypes=(array.dtype,) * count,
        nodata=(None,) * count,
        index=index,
        band_axis=band_axis,
    )


def _map(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SceneReadError(
            f"{path}: expected a whole .npy file; it is truncated, damaged or something else "
            f"({error})"
        ) from error


def _band_axis(path: Path, shape: tuple[int, ...], counts: Sequence[int]) -> int | None:
    due = " or ".join(map(str, sorted(set(counts))))
    if len(shape) == 2:
        return None
    if len(shape) == 4:
        raise ShapeError(
            f"{path}: shape {shape} holds {shape[0]} dates: choose one, '{path}#0' to "
            f"'{path}#{shape[0] - 1}'"
        )
    if len(shape) != 3:
        raise ShapeError(f"{path}: expected (H, W), (C, H, W) or (H, W, C), found shape {shape}")
    fitting = [axis for axis in (0, 2) if shape[axis] in counts]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise ShapeError(
            f"{path}: expected {due} bands on the first or last axis, found shape {shape}: say "
            "what each band is with bands=..."
        )
    raise ShapeError(
        f"{path}: shape {shape} could be (C, H, W) or (H, W, C) for {due} bands: save it with "
        "other axes, or as a GeoTIFF"
    )
