"""Reading an archive: streams of tiles, each tile verified before it is given away."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ringmoe.archive.index import Index, StreamEntry
from ringmoe.archive.shards import open_shard, shard_path
from ringmoe.archive.table import TileTable
from ringmoe.errors import ArchiveError, ShardError
from ringmoe.sensors import Calibration, Channel, Sensor

SPLITS = ("train", "heldout")


class Stream:
    """Tiles of one sensor, channel set, calibration, storage type and size.

    Attributes:
        name: The name of its folder.
        folder: Where its shards lie.
        sensor: From the catalogue.
        channels: The sensor's channels that the tiles have; complex ones are one channel each.
        calibration: How `read`'s digital values become the channels' unit.
        tile_size: Height and width in pixels.
        tiles_per_shard: How many tiles lie in a full shard.
        fully_valid: Whether no tile has an invalid pixel.
        statistics: Per stem channel: count, mean, std, min and max of the valid pixels, calibrated
            and normalised.
    """

    def __init__(self, folder: Path, entry: StreamEntry) -> None:
        self.name, self.folder = folder.name, folder
        key = entry.key
        self.sensor: Sensor = key.sensor
        self.channels: tuple[Channel, ...] = key.channels
        self.calibration: Calibration = key.calibration
        self.tile_size = key.tile_size
        self.tiles_per_shard = entry.tiles_per_shard
        self.fully_valid = entry.fully_valid
        self.statistics = entry.statistics
        self._record, self._tiles = key.record, entry.tiles
        self._shards: dict[int, np.ndarray] = {}
        self._verified = np.zeros(entry.tiles, bool)
        self._digest = entry.digest

    @property
    def modality(self) -> str:
        """One of `ringmoe.sensors.MODALITIES`."""
        return self.sensor.modality

    @property
    def dtype(self) -> np.dtype:
        """Of the digital values."""
        return self._record["digital"].base

    @cached_property
    def table(self) -> TileTable:
        """Source, window, split, CRS and more of every tile.

        Raises:
            ArchiveError: The table is not the one that the index speaks of.
        """
        table = TileTable.read(self.folder)
        if len(table) != self._tiles or table.digest != self._digest:
            raise ArchiveError(
                f"{self.folder}: the table of tiles is not the one of the archive's index: "
                "restore it from a copy, or ingest again into a new folder"
            )
        return table

    def __len__(self) -> int:
        """Number of tiles, of all splits."""
        return self._tiles

    def indices(self, split: str) -> np.ndarray:
        """The tiles of a split ("train" or "heldout"), ascending, int64."""
        return np.flatnonzero(self.table["split"] == split)

    @property
    def gsd(self) -> float | None:
        """Ground sampling distance in metres, if it is known and the same for all tiles."""
        gsd = self.table["gsd"]
        return float(gsd[0]) if len(gsd) and (gsd == gsd[0]).all() else None

    @property
    def thumbnails(self) -> tuple[Path, ...]:
        """Pictures (PNG) of a few tiles."""
        return tuple(sorted(self.folder.glob("thumbnail-*.png")))

    def provenance(self, tile: int) -> str:
        """The file and the window that a tile was cut from."""
        row, column, height, width = (
            int(self.table[name][tile]) for name in ("row", "column", "height", "width")
        )
        source = self.table["source"][tile]
        return f"{source} [rows {row}:{row + height}, columns {column}:{column + width}]"

    def read(
        self, tiles: Sequence[int] | np.ndarray, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Whole tiles.

        Args:
            tiles: Their numbers, `(N,)`.
            out: `(N, C, T, T)` of the stream's type, to read into. A new array each time costs the
                kernel a page fault for every 4 kB.

        Returns:
            Digital values `(N, C, T, T)` as they were in the file, 0 where there are none, and
            validity `(N, T, T)` bool.

        Raises:
            ShardError: A shard is cut short, or a tile is not what was written.
        """
        size = self.tile_size
        shape = (len(tiles), len(self.channels), size, size)
        digital = np.empty(shape, self.dtype) if out is None else out
        valid = np.ones((len(tiles), size, size), bool)
        for i, tile in enumerate(tiles):
            digital[i], known = self.tile(int(tile))
            if not self.fully_valid:
                valid[i] = known
        return digital, valid

    def tile(self, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """One tile, as `read` gives it, without a copy where possible: read-only."""
        shard, slot = divmod(tile, self.tiles_per_shard)
        records = self._shards.get(shard)
        if records is None:
            records = self._shards[shard] = self._open(shard)
        record = records[slot]
        if not self._verified[tile]:
            self._verify(tile, shard, record)
        size = self.tile_size
        if self.fully_valid:
            return record["digital"], np.broadcast_to(np.True_, (size, size))
        bits = np.unpackbits(record["valid"], count=size * size)
        return record["digital"], bits.view(bool).reshape(size, size)

    def _open(self, shard: int) -> np.ndarray:
        first = shard * self.tiles_per_shard
        tiles = min(self.tiles_per_shard, self._tiles - first)
        return open_shard(shard_path(self.folder, shard), self._record, tiles, first)

    def _verify(self, tile: int, shard: int, record: np.void) -> None:
        """Compare a tile with its checksum, once per process.

        Raises:
            ShardError: They differ.
        """
        found, written = zlib.crc32(record.data), int(self.table["checksum"][tile])
        if found != written:
            raise ShardError(
                f"{shard_path(self.folder, shard)}: tile {tile} ({self.provenance(tile)}) has "
                f"checksum {found:08x}, written was {written:08x}: restore the shard from a copy, "
                "or ingest again into a new folder"
            )
        self._verified[tile] = True


class Archive:
    """A folder of streams.

    Attributes:
        path: The folder.
        streams: By name, in the order in which the ingest met them.
        fingerprint: A hash of the index, and so of every tile: two archives with the same one give
            the same batches.
    """

    def __init__(self, path: Path, index: Index) -> None:
        self.path = path
        self.streams = {name: Stream(path / name, entry) for name, entry in index.streams.items()}
        self.fingerprint = index.fingerprint

    @classmethod
    def open(cls, path: str | Path) -> Archive:
        """Open the archive in a folder; only its index is read.

        Raises:
            ArchiveError: The folder holds none, an unfinished one, or one of another version.
            UnknownSensorError: A stream's sensor is not in the catalogue.
        """
        path = Path(path)
        return cls(path, Index.read(path))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of its streams, in their order."""
        return tuple(dict.fromkeys(stream.modality for stream in self.streams.values()))
