"""Raw shards: tiles one after the other at a fixed stride, written so that a kill loses nothing.

A record is a tile's digital values `(C, T, T)` and its validity as one bit a pixel, padded to a
multiple of 64 bytes. Tile `i` of a stream is record `i % tiles_per_shard` of shard
`i // tiles_per_shard`: no table has to be asked where a tile lies. A shard that is being filled is
called `shard-00000.bin.partial`; it gets its name when it is full and on disk.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from ringmoe.errors import ShardError, WriteError
from ringmoe.files import sync

SHARD_BYTES = 256 * 2**20
_ALIGNMENT = 64


def record_type(channels: int, tile_size: int, dtype: np.dtype) -> np.dtype:
    """The layout of one tile: fields `digital` (C, T, T) and `valid` (packed bits)."""
    digital = np.dtype((dtype.newbyteorder("<"), (channels, tile_size, tile_size)))
    valid = np.dtype((np.uint8, (-(-(tile_size**2) // 8),)))
    size = digital.itemsize + valid.itemsize
    return np.dtype(
        {
            "names": ["digital", "valid"],
            "formats": [digital, valid],
            "offsets": [0, digital.itemsize],
            "itemsize": -(-size // _ALIGNMENT) * _ALIGNMENT,
        }
    )


def tiles_per_shard(record: np.dtype, shard_bytes: int = SHARD_BYTES) -> int:
    """How many tiles a shard of about `shard_bytes` holds."""
    return max(1, shard_bytes // record.itemsize)


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"shard-{number:05d}.bin"


def open_shard(path: Path, record: np.dtype, tiles: int, first_tile: int) -> np.ndarray:
    """Map a shard into memory.

    Args:
        path: The file.
        record: Its layout, see `record_type`.
        tiles: How many tiles the index says it holds.
        first_tile: The number of its first tile in the stream, for the message.

    Returns:
        `(tiles,)` records, read-only.

    Raises:
        ShardError: The file is absent or not as long as the index says; the message names the
            shard and the first tile that is not whole.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    expected = tiles * record.itemsize
    if size != expected:
        lost = first_tile + min(size // record.itemsize, tiles)
        raise ShardError(
            f"{path}: expected {expected} bytes, found {size}; tile {lost} and what follows are "
            "lost: restore the shard from a copy, or ingest again into a new folder"
        )
    return np.asarray(np.memmap(path, record, mode="r", shape=(tiles,)))


class ShardWriter:
    """Appends tiles to a stream's shards.

    Args:
        folder: The stream's; made if it is not there.
        record: The layout of a tile.
        per_shard: Tiles in a full shard.
        count: Tiles to keep of what is on disk already; whatever follows is cut off.

    Raises:
        WriteError: From any method, if the disk is full or the like; the message names the file.
    """

    def __init__(self, folder: Path, record: np.dtype, per_shard: int, count: int = 0) -> None:
        self.folder, self.count = folder, count
        self._record, self._per_shard = record, per_shard
        self._file: IO[bytes] | None = None
        self._scratch = np.zeros((1,), record)
        folder.mkdir(parents=True, exist_ok=True)
        self.rewind(count)

    def append(self, digital: np.ndarray, valid: np.ndarray) -> int:
        """Add a tile.

        Args:
            digital: `(C, T, T)`.
            valid: `(T, T)` bool.

        Returns:
            The checksum (CRC-32) of its record.
        """
        self._scratch["digital"] = digital
        self._scratch["valid"] = np.packbits(valid)
        data = self._scratch.tobytes()
        try:
            if self._file is None:
                self._file = self._partial().open("ab")
            self._file.write(data)
        except OSError as error:
            raise self._cannot_write(error) from error
        self.count += 1
        if self.count % self._per_shard == 0:
            self.finish()
        return zlib.crc32(data)

    def sync(self) -> None:
        """Make sure that what was appended is on disk."""
        try:
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self) -> None:
        """Give the shard that is being filled its final name."""
        self.sync()
        self.abandon()
        number = (self.count - 1) // self._per_shard
        partial = self._partial(number)  # perhaps left by the run before this one
        try:
            if partial.exists():
                os.replace(partial, shard_path(self.folder, number))
                sync(self.folder)
        except OSError as error:
            raise self._cannot_write(error) from error

    def rewind(self, count: int) -> None:
        """Forget all tiles from number `count` on.

        Raises:
            ShardError: There are not that many tiles on disk.
        """
        self.sync()
        self.abandon()
        number, kept = divmod(count, self._per_shard)
        for path in self.folder.glob("shard-*.bin*"):
            found = int(path.name.removeprefix("shard-").split(".")[0])
            if found > number or (found == number and not kept):
                path.unlink()
        if kept:
            partial, full = self._partial(number), shard_path(self.folder, number)
            if full.exists():
                os.replace(full, partial)
            size = partial.stat().st_size if partial.exists() else 0
            if size < kept * self._record.itemsize:
                raise ShardError(
                    f"{partial}: shorter than the journal says: remove {self.folder.parent} and "
                    "ingest again"
                )
            os.truncate(partial, kept * self._record.itemsize)
        self.count = count

    def abandon(self) -> None:
        """Close the file as it is, without another word about a disk that is full."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _partial(self, number: int | None = None) -> Path:
        number = self.count // self._per_shard if number is None else number
        path = shard_path(self.folder, number)
        return path.with_name(path.name + ".partial")

    def _cannot_write(self, error: OSError) -> WriteError:
        return WriteError(
            f"cannot write {self._partial()}: {error.strerror or error}; free some space and run "
            "the same command again: it goes on where it stopped"
        )
