"""A scene of any size as rows of overlapping tiles: what maps and lists of objects begin with."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ringmoe.deployment.journal import digest, fingerprint_scene
from ringmoe.deployment.strips import Batch, check_grids, read_batches
from ringmoe.deployment.windows import Axis, lay_tiles
from ringmoe.errors import ConfigError
from ringmoe.scenes import Scene


@dataclass(frozen=True, eq=False)
class TiledScene:
    """Scenes of one grid, and the tiles that cover them.

    Attributes:
        scenes: By the names that a model knows them by.
        rows: The rows of tiles.
        columns: The columns of tiles.
        overlap: Pixels that tiles share with their neighbours.
        batch_size: Tiles that a model sees at once.
        any_data: Whether it is enough that one of several scenes holds data; else all must.
    """

    scenes: Mapping[str, Scene]
    rows: Axis
    columns: Axis
    overlap: int
    batch_size: int
    any_data: bool = False

    @classmethod
    def over(
        cls,
        scenes: Scene | Mapping[str, Scene],
        tile_size: int,
        overlap: int | None,
        batch_size: int,
        any_data: bool = False,
    ) -> TiledScene:
        """Lay tiles.

        Args:
            scenes: The scene, which is then named "image"; or several of one grid, by their names.
            tile_size: Pixels of a tile's side.
            overlap: Pixels that tiles share at least; None for a quarter of a tile.
            batch_size: Tiles that a model sees at once.
            any_data: Whether it is enough that one of several scenes holds data.

        Raises:
            ConfigError: Numbers that cannot be.
            GeoreferenceError: Scenes on different grids.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size must be 1 or more, got {batch_size}")
        scenes = {"image": scenes} if isinstance(scenes, Scene) else dict(scenes)
        check_grids(scenes)
        first = next(iter(scenes.values()))
        if tile_size < 1:
            raise ConfigError(f"tile_size must be a positive number of pixels, got {tile_size}")
        overlap = tile_size // 4 if overlap is None else overlap
        rows, columns = (lay_tiles(n, tile_size, overlap) for n in (first.height, first.width))
        return cls(scenes, rows, columns, overlap, batch_size, any_data)

    @property
    def scene(self) -> Scene:
        """The first, whose grid is that of all."""
        return next(iter(self.scenes.values()))

    def busy(self, threads: int) -> int:
        """How many of so many threads have a batch to work on: one alone should have all cores."""
        tiles = len(self.rows.starts) * len(self.columns.starts)
        return min(threads, math.ceil(tiles / self.batch_size))

    def mark(self, model: str, **settings: Any) -> str:
        """What tells a run over these tiles from others.

        Args:
            model: Its fingerprint.
            settings: What else the result depends on.
        """
        return digest(
            model=model,
            scenes={name: fingerprint_scene(scene) for name, scene in self.scenes.items()},
            tiles=[self.rows.tile_size, self.overlap, self.any_data],
            **settings,
        )

    def batches(self, device: torch.device, first_row: int = 0) -> Generator[Batch, None, None]:
        """Row of tiles by row of tiles, for a model on the device; see `read_batches`."""
        return read_batches(
            self.scenes,
            self.rows,
            self.columns,
            self.batch_size,
            first_row=first_row,
            any_data=self.any_data,
            pinned=device.type == "cuda",
        )
