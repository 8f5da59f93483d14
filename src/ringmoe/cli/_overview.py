"""A scene of any size small enough to look at."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import rasterio

from ringmoe.reports import pictures
from ringmoe.scenes import Scene
from ringmoe.scenes.window import Window

LONGEST = 900  # pixels of a picture's longer side
LONGEST_OF_OBJECTS = 2400  # of one that boxes are drawn on


def step_of(height: int, width: int, longest: int = LONGEST) -> int:
    """How many pixels a side go into one of a picture."""
    return max(1, math.ceil(max(height, width) / longest))


def overview(scene: Scene, longest: int = LONGEST) -> np.ndarray:
    """A scene in the composite usual for its modality, `(H, W, 3)` uint8.

    Pixels are averaged over squares, which makes speckle fainter; of complex pixels one stands for
    each square. Memory is needed for one row of squares.
    """
    step = step_of(scene.height, scene.width, longest)
    rows = []
    for row in range(0, scene.height, step):
        raster = scene.read(Window(row, 0, min(step, scene.height - row), scene.width))
        rows.append(_shrink(raster.values, raster.valid, step))
    keys = [channel.key for channel in scene.channels]
    return pictures.measurement(np.concatenate(rows, axis=1), scene.sensor.modality, keys)


def _shrink(values: np.ndarray, valid: np.ndarray, step: int) -> np.ndarray:
    """A strip `(C, <= step, W)` to one row `(C, 1, ceil(W / step))`; NaN where nothing is valid."""
    if np.iscomplexobj(values):
        return values[:, :1, ::step]
    starts = np.arange(0, values.shape[2], step)
    sums = np.add.reduceat(np.where(valid, values, 0).sum(1), starts, axis=1)
    counts = np.add.reduceat(valid.sum(0), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (sums / counts).astype(np.float32)[:, None]


def map_overview(path: Path, longest: int = LONGEST) -> np.ndarray:
    """The first band of a map `(H, W)`, as small as `overview` makes its scene; NaN for no data.

    Each square is shown by its first pixel: classes have no average.
    """
    with rasterio.open(path) as file:
        step = step_of(file.height, file.width, longest)
        rows = [
            file.read(1, window=((row, row + 1), (0, file.width)), masked=True)[:, ::step]
            for row in range(0, file.height, step)
        ]
    return np.concatenate([row.astype(np.float32).filled(np.nan) for row in rows])
