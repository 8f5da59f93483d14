"""Where tiles lie in a scene, and how much each of them counts at each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ringmoe.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Axis:
    """Tiles along one side of a scene.

    Tiles overlap in both directions alike, so weights are products of one factor for the rows and
    one for the columns; each factor sums to 1 over the tiles, and so do the products.

    Attributes:
        length: Pixels of the scene along this side.
        tile_size: Pixels of a tile.
        starts: First pixel of each tile, ascending. The last tile ends where the scene ends; the
            only tile of a scene that is smaller than a tile reaches beyond.
        weights: `(tiles, tile_size)` float32; 0 beyond the end of the scene.
    """

    length: int
    tile_size: int
    starts: tuple[int, ...]
    weights: np.ndarray

    def final(self, tile: int) -> slice:
        """The pixels that no tile before touches again and none after: done once `tile` is."""
        last = tile + 1 == len(self.starts)
        return slice(self.starts[tile], self.length if last else self.starts[tile + 1])

    def reach(self, tile: int) -> int:
        """How far the tile before reaches into this one, in pixels; 0 where there are not both."""
        if not 0 < tile < len(self.starts):
            return 0
        return self.starts[tile - 1] + self.tile_size - self.starts[tile]

    @property
    def longest(self) -> int:
        """The most pixels that are final at once."""
        final = (self.final(tile) for tile in range(len(self.starts)))
        return max(pixels.stop - pixels.start for pixels in final)

    @property
    def furthest(self) -> int:
        """The most pixels that a tile reaches into the next."""
        return max(self.reach(tile) for tile in range(len(self.starts)))


def lay_tiles(length: int, tile_size: int, overlap: int) -> Axis:
    """Cover one side of a scene with tiles.

    Within the overlap a tile fades in and out as a squared sine (a Hann window's flank), which has
    no edge that could be seen in the sum. Where there is but one tile, at the borders of the scene,
    it counts in full.

    Args:
        length: Pixels of the scene along this side.
        tile_size: Pixels of a tile.
        overlap: Pixels that neighbours share at least; the last tile shares more where the length
            is no multiple.

    Raises:
        ConfigError: The overlap is negative or more than half a tile.
    """
    if tile_size < 1 or not 0 <= overlap <= tile_size // 2:
        raise ConfigError(
            f"overlap must be from 0 to half a tile, got {overlap} of {tile_size} pixels"
        )
    last = max(length - tile_size, 0)
    starts = (*range(0, last, tile_size - overlap), last)
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    profile = np.ones(tile_size)
    profile[:overlap] = ramp
    profile[tile_size - overlap :] = ramp[::-1]
    total = np.zeros(max(length, tile_size))
    for start in starts:
        total[start : start + tile_size] += profile
    total[length:] = np.inf
    weights = np.stack([profile / total[start : start + tile_size] for start in starts])
    return Axis(length, tile_size, starts, weights.astype(np.float32))
