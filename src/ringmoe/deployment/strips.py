"""Scenes read in strips, each row once, and cut into batches of tiles."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
import torch

from ringmoe.deployment.pipeline import ahead
from ringmoe.deployment.windows import Axis
from ringmoe.errors import ConfigError, GeoreferenceError
from ringmoe.observation import Observation
from ringmoe.scenes import Scene, Window
from ringmoe.sensors import check_values, normalise

_ROWS_AHEAD = 1  # rows of tiles, read while the one before is cut
_CACHE_ROWS = 640  # a row of 512 px blocks and what is left of the one before
_LEAST_CACHE = 16 * 2**20


@dataclass(frozen=True, eq=False)
class Batch:
    """Tiles of one or more rows, in order; all of a row that ends here have come by then.

    Attributes:
        tiles: Row and column of each tile; without those that hold no data.
        observations: Their images; empty if there is no tile.
        masks: Rows that end with this batch: their number, and `(rows, width)` bool, true where
            the scenes hold data, of the pixel rows that are then final.
    """

    tiles: tuple[tuple[int, int], ...]
    observations: dict[str, Observation]
    masks: tuple[tuple[int, np.ndarray], ...]


class Strip:
    """A band of a scene, one tile high, as it enters a model.

    Args:
        scene: Whose band it is.
        rows: The rows of tiles.
        columns: The columns of tiles.

    Attributes:
        images: `(C, tile, width)` float32, normalised; 0 (the mean) where there are no data.
        valid: `(tile, width)` bool.
    """

    def __init__(self, scene: Scene, rows: Axis, columns: Axis) -> None:
        self.scene = scene
        self.channels = scene.sensor.stem_channels(scene.channels)
        shape = (rows.tile_size, max(columns.length, rows.tile_size))
        self.images = np.zeros((len(self.channels), *shape), np.float32)
        self.valid = np.zeros(shape, bool)
        self._first, self._held = 0, 0  # pixel rows: where the band begins, where what it has ends

    def move_to(self, row: int, images: np.ndarray, valid: np.ndarray) -> None:
        """Let the band begin at a pixel row at or below where it does.

        Args:
            row: That pixel row.
            images: `(C, rows, scene's width)` of the rows that follow those the band has, or that
                follow `row` if it has none from there on.
            valid: `(rows, scene's width)` bool.
        """
        shift, kept = row - self._first, max(self._held - row, 0)
        for plane in (*self.images, self.valid):
            plane[:kept] = plane[shift : shift + kept].copy()
            plane[kept:] = 0
        here = np.s_[kept : kept + len(valid), : valid.shape[1]]
        self.images[:, *here] = images
        self.valid[here] = valid
        self._first, self._held = row, row + kept + len(valid)


def _read_rows(
    scenes: Mapping[str, Scene], rows: Axis, first_row: int
) -> Generator[dict[str, tuple[np.ndarray, np.ndarray]], None, None]:
    """For each row of tiles the pixel rows that are new with it, of every scene, normalised."""
    read = rows.starts[first_row]
    with rasterio.Env(GDAL_CACHEMAX=_cache_size(scenes)):
        for start in rows.starts[first_row:]:
            stop = min(start + rows.tile_size, rows.length)
            yield {name: _read(scene, read, stop) for name, scene in scenes.items()}
            read = stop


def _read(scene: Scene, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """`(C, rows, width)` float32 and `(rows, width)` bool."""
    raster = scene.read(Window(start, 0, stop - start, scene.width))
    whole = bool(raster.valid.all())
    where = f"{scene.path}: rows {start} to {stop - 1}"
    check_values(raster.values, raster.channels, None if whole else raster.valid, where)
    images = normalise(raster.values, raster.channels)
    if not whole:
        images *= raster.valid
    return images, raster.valid


def read_batches(
    scenes: Mapping[str, Scene],
    rows: Axis,
    columns: Axis,
    batch_size: int,
    *,
    first_row: int = 0,
    any_data: bool = False,
    pinned: bool = False,
) -> Generator[Batch, None, None]:
    """Cut scenes of one grid into batches, row of tiles by row of tiles.

    A batch holds tiles of one row, or several whole rows where these are short. So batches are the
    same wherever a run begins (at a multiple of `rows_together`).

    Args:
        scenes: By the name that the model gives each.
        rows: The rows of tiles.
        columns: The columns of tiles.
        batch_size: Tiles of a batch, at most.
        first_row: The row of tiles to begin with.
        any_data: Whether it is enough that one of several scenes holds data; else all must.
        pinned: Whether to hold images in page-locked memory, from where a GPU fetches faster.

    Raises:
        ValueRangeError: Values cannot be in the unit that a scene declares.
        SceneReadError: A file is truncated or damaged.
    """
    strips = {name: Strip(scene, rows, columns) for name, scene in scenes.items()}
    combine = np.logical_or if any_data else np.logical_and
    together = rows_together(columns, batch_size)
    # Files are decoded by rows of blocks, in bursts: these last longer than the batches that wait.
    with ahead(_read_rows(scenes, rows, first_row), _ROWS_AHEAD) as rows_read:
        for first in range(first_row, len(rows.starts), together):
            draft, masks = _Draft(strips, batch_size, pinned), []
            for row in range(first, min(first + together, len(rows.starts))):
                for name, new in next(rows_read).items():
                    strips[name].move_to(rows.starts[row], *new)
                valid = combine.reduce([strip.valid for strip in strips.values()])
                for column, start in enumerate(columns.starts):
                    inside = slice(start, start + columns.tile_size)
                    if not valid[:, inside].any():
                        continue
                    if len(draft.tiles) == batch_size:
                        yield draft.batch()
                        draft = _Draft(strips, batch_size, pinned)
                    draft.add((row, column), inside)
                final = rows.final(row)
                masks.append((row, valid[: final.stop - final.start, : columns.length].copy()))
            yield draft.batch(masks)


def rows_together(columns: Axis, batch_size: int) -> int:
    """How many rows of tiles share a batch."""
    return max(1, batch_size // len(columns.starts))


class _Draft:
    """A batch in the making: tiles are copied once, to where the model will read them."""

    def __init__(self, strips: Mapping[str, Strip], batch_size: int, pinned: bool) -> None:
        self.tiles: list[tuple[int, int]] = []
        self._strips, self._pinned = strips, pinned
        self._images, self._valid = {}, {}
        for name, strip in strips.items():
            tile = len(strip.valid)
            shape = (batch_size, len(strip.channels), tile, tile)
            self._images[name] = np.empty(shape, np.float32)
            self._valid[name] = np.empty((batch_size, 1, tile, tile), bool)

    def add(self, tile: tuple[int, int], columns: slice) -> None:
        for name, strip in self._strips.items():
            self._images[name][len(self.tiles)] = strip.images[:, :, columns]
            self._valid[name][len(self.tiles), 0] = strip.valid[:, columns]
        self.tiles.append(tile)

    def batch(self, masks: Sequence[tuple[int, np.ndarray]] = ()) -> Batch:
        names = self._strips if self.tiles else ()
        return Batch(tuple(self.tiles), {n: self._observe(n) for n in names}, tuple(masks))

    def _observe(self, name: str) -> Observation:
        strip, count = self._strips[name], len(self.tiles)
        images, valid = (
            torch.from_numpy(part[name][:count]) for part in (self._images, self._valid)
        )
        if self._pinned:
            images = images.pin_memory()
        sensor = strip.scene.sensor
        mask = None if self._valid[name][:count].all() else valid
        return Observation(images, sensor.modality, strip.channels, mask, sensor.gsd)


def check_grids(scenes: Mapping[str, Scene]) -> None:
    """Raise unless all scenes have the grid of the first.

    Raises:
        ConfigError: There is no scene.
        GeoreferenceError: One has another size, system or place.
    """
    if not scenes:
        raise ConfigError("no scene to map: give at least one")
    first, *others = scenes.values()
    place, size = first.source.georeference, (first.height, first.width)
    for scene in others:
        same = (scene.height, scene.width) == size
        if same and scene.source.georeference.meets(place, *size):
            continue
        raise GeoreferenceError(
            f"{scene.path}: its grid ({scene.source.grid_words}) is not that of {first.path} "
            f"({first.source.grid_words}): resample one onto the other first"
        )


def _cache_size(scenes: Mapping[str, Scene]) -> int:
    """Bytes for GDAL to hold a row of blocks of every scene, so that each is decoded once."""
    row = sum(
        scene.source.dtypes[band].itemsize * scene.width
        for scene in scenes.values()
        for assignment in scene.assignments
        for band in assignment.bands
    )
    return max(_LEAST_CACHE, _CACHE_ROWS * row)
