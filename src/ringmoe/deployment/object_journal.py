"""What was found so far, a line for each row of tiles, in a file that grows."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.boxes import Objects
from ringmoe.errors import WriteError

_FILE = "rows.jsonl"


@dataclass(frozen=True, eq=False)
class TileRow:
    """What was found in a row of tiles.

    Attributes:
        row: Its number.
        columns: `(N,)` int64, of each object the column of the tile that shows it.
        objects: Those, with scores, in pixels of the scene; None if no tile holds data.
    """

    row: int
    columns: np.ndarray
    objects: Objects | None

    def line(self) -> str:
        """As JSON, every number to the last bit."""
        facts: dict[str, Any] = {"row": self.row, "columns": self.columns.tolist()}
        if self.objects is not None:
            assert self.objects.scores is not None
            facts |= {
                "size": self.objects.boxes.shape[1],
                "boxes": self.objects.boxes.tolist(),
                "classes": self.objects.classes.tolist(),
                "scores": self.objects.scores.tolist(),
            }
        return json.dumps(facts) + "\n"

    @classmethod
    def read(cls, line: bytes) -> TileRow:
        """What `line` wrote."""
        facts = json.loads(line)
        objects = None
        if "size" in facts:
            objects = Objects(
                np.array(facts["boxes"], np.float64).reshape(-1, facts["size"]),
                np.array(facts["classes"], np.int64),
                np.array(facts["scores"], np.float64),
            )
        return cls(facts["row"], np.array(facts["columns"], np.int64), objects)


def together(rows: Sequence[TileRow]) -> tuple[Objects, np.ndarray] | None:
    """The objects of all rows and `(N, 2)` row and column of the tile of each.

    None if no row has a tile with data.
    """
    known = [(row, row.objects) for row in rows if row.objects is not None]
    if not known:
        return None
    tiles = [np.stack([np.full(len(r.columns), r.row), r.columns], axis=1) for r, _ in known]
    return Objects.join([objects for _, objects in known]), np.concatenate(tiles)


class RowFile:
    """The rows that are finished, on disk.

    Args:
        folder: Where the file is or will be.
        finished: How many rows an earlier run has brought on disk for certain; what follows them in
            the file is dropped. A file that lacks or cannot read some gives those before.

    Attributes:
        rows: Those, and what was added since.

    Raises:
        WriteError: No permission and the like.
    """

    def __init__(self, folder: Path, finished: int) -> None:
        self._path = folder / _FILE
        self.rows, size = self._read(finished)
        try:
            self._file = self._path.open("r+b" if size else "wb")
            self._file.truncate(size)
            self._file.seek(size)
        except OSError as error:
            raise self._failure(error) from error

    def _read(self, finished: int) -> tuple[list[TileRow], int]:
        """The rows that can be read, and how many bytes they take."""
        rows, size = list[TileRow](), 0
        with suppress(OSError, ValueError, KeyError), self._path.open("rb") as file:
            for line in islice(file, finished):
                rows.append(TileRow.read(line))
                size += len(line)
        return rows, size

    def add(self, row: TileRow) -> None:
        """Append a row.

        Raises:
            WriteError: The disk is full and the like.
        """
        try:
            self._file.write(row.line().encode())
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error
        self.rows.append(row)

    def sync(self) -> None:
        """Make sure that what was added is on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _failure(self, error: OSError) -> WriteError:
        return WriteError(
            f"cannot write {self._path}: {error.strerror}; free some space and run the same "
            "command again: it goes on where it stopped"
        )
