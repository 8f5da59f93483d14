"""In which order a stream's tiles are visited: a function of the position, not a state."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ringmoe.sampling.hashing import permutation

WINDOW_SHARDS = 8


class TileOrder:
    """An endless order of tiles: epoch after epoch, each a new permutation of all of them.

    In each epoch the shards are permuted, then the tiles inside each window of consecutive shards,
    so that at any time only a window's shards (2 GB) are read, at random, while the order is
    nearly that of a full shuffle.

    Args:
        tiles: The numbers of the tiles to visit, ascending.
        tiles_per_shard: Tile `i` lies in shard `i // tiles_per_shard`.
        key: What the order is a function of, beside the position.
        window_shards: Shards per window.
    """

    def __init__(
        self, tiles: np.ndarray, tiles_per_shard: int, key: int, window_shards: int = WINDOW_SHARDS
    ) -> None:
        starts = np.unique(tiles // tiles_per_shard, return_index=True)[1]
        self._by_shard = np.split(tiles, starts[1:])
        self._sizes = np.array([len(group) for group in self._by_shard])
        self._key, self._window = key, window_shards
        self._length = len(tiles)
        self._shards = lru_cache(2)(self._permute_shards)
        self._tiles = lru_cache(4)(self._permute_window)

    def __len__(self) -> int:
        """Tiles in an epoch."""
        return self._length

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """The tiles at those positions, int64.

        Args:
            positions: `(N,)`, from 0 upwards; position `len(self)` begins the second epoch.
        """
        epochs, within = np.divmod(positions, self._length)
        tiles = np.empty(len(positions), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            tiles[here] = self._in_epoch(int(epoch), within[here])
        return tiles

    def _in_epoch(self, epoch: int, within: np.ndarray) -> np.ndarray:
        ends = np.cumsum(self._sizes[self._shards(epoch)])[self._window - 1 :: self._window]
        windows = np.searchsorted(ends, within, side="right")
        tiles = np.empty(len(within), np.int64)
        for window in np.unique(windows):
            here = windows == window
            start = ends[window - 1] if window else 0
            tiles[here] = self._tiles(epoch, int(window))[within[here] - start]
        return tiles

    def _permute_shards(self, epoch: int) -> np.ndarray:
        return permutation(len(self._sizes), self._key, epoch)

    def _permute_window(self, epoch: int, window: int) -> np.ndarray:
        """All tiles of a window of shards, in the order of their visit."""
        chosen = self._shards(epoch)[window * self._window : (window + 1) * self._window]
        tiles = np.concatenate([self._by_shard[shard] for shard in chosen])
        return tiles[permutation(len(tiles), self._key, epoch, window)]
