"""A stream while it is being written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.archive.index import StreamEntry, StreamKey
from ringmoe.archive.journal import FileRecord
from ringmoe.archive.shards import ShardWriter, tiles_per_shard
from ringmoe.archive.statistics import ChannelStatistics
from ringmoe.archive.table import SCHEMA, TileTable


class StreamBuilder:
    """Shards, rows and statistics of a stream, file by file.

    Tiles go to the shards at once; rows and statistics wait in the file's record, so that a file
    that turns out to be damaged leaves nothing behind.

    Args:
        folder: The stream's.
        key: What its tiles have in common.
        shard_bytes: About how large a shard is.
        finished: Records of the files whose tiles are on disk already.
    """

    def __init__(
        self, folder: Path, key: StreamKey, shard_bytes: int, finished: Iterable[FileRecord] = ()
    ) -> None:
        self.folder, self.key = folder, key
        self._records: list[FileRecord] = []
        self._tiles = 0
        self._stem_channels = len(key.sensor.stem_channels(key.channels))
        self._statistics = ChannelStatistics.empty(self._stem_channels)
        self._per_shard = tiles_per_shard(key.record, shard_bytes)
        for record in finished:
            self.accept(record)
        self._writer = ShardWriter(folder, key.record, self._per_shard, len(self))

    def __len__(self) -> int:
        """Tiles of the accepted files."""
        return self._tiles

    def append(
        self, record: FileRecord, digital: np.ndarray, valid: np.ndarray, **row: Any
    ) -> None:
        """Write a tile of the file at hand.

        Args:
            record: Of that file; gains the tile's row and statistics.
            digital: `(C, H, W)`, no larger than a tile; padded at the bottom and on the right.
            valid: `(H, W)` bool.
            row: The columns of the side table that this does not know.
        """
        size = self.key.tile_size
        height, width = valid.shape
        padded = np.zeros((len(digital), size, size), self.key.dtype)
        padded[:, :height, :width] = np.where(valid, digital, 0)
        mask = np.zeros((size, size), bool)
        mask[:height, :width] = valid
        row |= {
            "height": height,
            "width": width,
            "valid_share": float(valid.mean()),
            "checksum": self._writer.append(padded, mask),
        }
        for name, value in row.items():
            record.columns[name].append(value)
        if record.statistics is None:
            record.statistics = ChannelStatistics.empty(self._stem_channels)
        record.statistics.add_tile(digital, valid, self.key.channels, self.key.calibration)

    def accept(self, record: FileRecord) -> None:
        """Keep the tiles of a file that was read to its end."""
        self._records.append(record)
        self._tiles += record.tiles
        if record.statistics is not None:
            self._statistics.add(record.statistics.sums)

    def reject(self) -> None:
        """Cut off the tiles of the file at hand."""
        self._writer.rewind(len(self))

    def sync(self) -> None:
        """Make sure that all tiles are on disk."""
        self._writer.sync()

    def abandon(self) -> None:
        """Close the shard at hand as it is."""
        self._writer.abandon()

    def finish(self) -> StreamEntry:
        """Finish the last shard, write the side table, and say what the index needs to know."""
        self._writer.finish()
        table = TileTable.from_columns(
            {name: [v for r in self._records for v in r.columns[name]] for name in SCHEMA.names}
        )
        table.write(self.folder)
        size = self.key.tile_size
        whole = (table["valid_share"] == 1) & (table["height"] == size) & (table["width"] == size)
        splits = {split: int((table["split"] == split).sum()) for split in ("train", "heldout")}
        return StreamEntry(
            key=self.key,
            tiles=len(self),
            tiles_per_shard=self._per_shard,
            splits=splits,
            digest=table.digest,
            fully_valid=bool(whole.all()),
            statistics=self._statistics.table(self.key.channels),
        )
