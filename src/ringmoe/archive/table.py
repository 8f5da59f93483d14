"""The side table: one row a tile, kept as Parquet beside the shards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ringmoe.errors import ArchiveError
from ringmoe.files import replacing

FILE_NAME = "tiles.parquet"

_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("source", _TEXT),  # the file, relative to the root of the ingest
        ("row", pa.int32()),  # the window in the file; where it is smaller than the tile, the
        ("column", pa.int32()),  # tile is padded at the bottom and on the right
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("split", _TEXT),  # "train" or "heldout"
        ("valid_share", pa.float32()),  # of the window's pixels
        ("crs", _TEXT),  # "" where the file has none
        ("gsd", pa.float32()),  # metres; NaN where it is not known
        ("checksum", pa.uint32()),  # CRC-32 of the tile's record
    ]
)


class TileTable:
    """The rows of a stream's tiles, in the order of the shards."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._columns: dict[str, np.ndarray] = {}

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]]) -> TileTable:
        """A table of those values, one sequence for each name of `SCHEMA`."""
        return cls(pa.table(dict(columns), SCHEMA))

    @classmethod
    def read(cls, folder: Path) -> TileTable:
        """The table in a stream's folder.

        Raises:
            ArchiveError: It is absent, no Parquet file, or has other columns.
        """
        path = folder / FILE_NAME
        try:
            table = pq.read_table(path)
            return cls(table.select(SCHEMA.names).cast(SCHEMA))
        except (OSError, KeyError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise ArchiveError(f"{path}: not a readable table of tiles ({reason})") from error

    def write(self, folder: Path) -> None:
        """Write it to a stream's folder, whole or not at all."""
        with replacing(folder / FILE_NAME) as path:
            pq.write_table(self._table, path)

    def __len__(self) -> int:
        """Number of tiles."""
        return self._table.num_rows

    def __getitem__(self, name: str) -> np.ndarray:
        """A column: numbers as they are, texts as an array of str."""
        if name not in self._columns:
            self._columns[name] = self._table[name].to_numpy()
        return self._columns[name]

    @cached_property
    def digest(self) -> str:
        """A hash of all values: through the checksums also of every tile of the stream."""
        state = hashlib.blake2b(digest_size=16)
        for field in SCHEMA:
            column = self._table[field.name].combine_chunks()
            if pa.types.is_dictionary(field.type):
                # By first appearance, whatever the dictionary in the file.
                texts = column.cast(pa.string()).dictionary_encode()
                state.update("\0".join(texts.dictionary.to_pylist()).encode())
                column = texts.indices
            state.update(np.ascontiguousarray(column.to_numpy(zero_copy_only=False)).tobytes())
        return state.hexdigest()
