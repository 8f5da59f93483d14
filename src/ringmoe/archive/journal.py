"""What an ingest has finished: the file that a restart goes on from."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.archive.changes import State
from ringmoe.archive.index import StreamKey
from ringmoe.archive.statistics import ChannelStatistics
from ringmoe.archive.table import SCHEMA
from ringmoe.errors import ArchiveError, WriteError

FILE_NAME = "journal.jsonl"
FORMAT = 2
COMMIT_SECONDS = 2.0  # what was done since the last commit is done again after a kill


@dataclass
class FileRecord:
    """What is known of one file that was ingested or refused.

    Attributes:
        file: Its name.
        error: Why it was refused, if it was.
        key: The stream its tiles went to.
        columns: The rows of its tiles in the side table.
        statistics: Of its tiles.
        refused: Tiles that were not let in: reason to how many, and what the first one held.
        not_held_out: Whether a part of it should have been held out but it is too small for that.
        state: What it was like when it was read (`ringmoe.archive.changes.state_of`).
    """

    file: str
    error: str | None = None
    key: StreamKey | None = None
    columns: dict[str, list[Any]] = field(default_factory=lambda: {n: [] for n in SCHEMA.names})
    statistics: ChannelStatistics | None = None
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    not_held_out: bool = False
    state: State | None = None

    @property
    def tiles(self) -> int:
        """How many tiles it gave."""
        return len(self.columns["row"])

    def refuse(self, reason: str, detail: str) -> None:
        """Count a tile that was not let in."""
        count, first = self.refused.get(reason, (0, detail))
        self.refused[reason] = (count + 1, first)

    def to_json(self) -> str:
        """As one line."""
        sums = None if self.statistics is None else self.statistics.sums.tolist()
        return json.dumps({**vars(self), "key": self.key and asdict(self.key), "statistics": sums})

    @classmethod
    def from_json(cls, line: bytes) -> FileRecord:
        """What `to_json` wrote."""
        values = json.loads(line)
        key, sums, state = (values.pop(name) for name in ("key", "statistics", "state"))
        return cls(
            state=state and (state[0], state[1]),
            key=key and StreamKey.from_dict(key),
            statistics=sums and ChannelStatistics(np.array(sums)),
            **values,
        )


class Journal:
    """One line for each finished file, after a first line that names the plan.

    Lines are written together every few seconds, once the tiles they speak of are on disk: a line
    that is there can be believed. A line cut short by a kill is dropped.

    Args:
        folder: The archive's.
        plan: Hash of the sources, files and settings.

    Attributes:
        records: Of all finished files, those of earlier runs included.

    Raises:
        ArchiveError: The folder holds the journal of another plan, or of an earlier version, which
            cut and drew otherwise.
        WriteError: It cannot be written.
    """

    def __init__(self, folder: Path, plan: str) -> None:
        self._path = folder / FILE_NAME
        self._waiting, self._written = list[str](), time.monotonic()
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        first = {"plan": plan, "format": FORMAT}
        found = json.loads(whole[0]) if whole else first
        if found != first:
            if len(whole) > 1 and found.get("format") != FORMAT:
                raise ArchiveError(
                    f"{folder}: holds an unfinished ingest of an earlier version of ringmoe: "
                    "remove the folder, or choose another one"
                )
            if len(whole) > 1:
                raise ArchiveError(
                    f"{folder}: holds an unfinished ingest of other sources or settings: finish "
                    "that, remove the folder, or choose another one"
                )
            whole = []  # nothing was done yet
        self.records = [FileRecord.from_json(line) for line in whole[1:]]
        if len(whole) < len(lines):
            os.truncate(self._path, sum(map(len, whole)))
        if not whole:
            self._waiting.append(json.dumps(first))
            self.commit()

    def add(self, record: FileRecord, sync: Callable[[], None]) -> None:
        """Note a finished file.

        Args:
            record: What to know about it.
            sync: Brings on disk the tiles that records speak of; called before these are written.
        """
        self.records.append(record)
        self._waiting.append(record.to_json())
        if time.monotonic() - self._written >= COMMIT_SECONDS:
            sync()
            self.commit()

    def commit(self) -> None:
        """Write what is waiting; the tiles must be on disk."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in self._waiting)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(
                f"cannot write {self._path}: {error.strerror}; free some space and run the same "
                "command again: it goes on where it stopped"
            ) from error
        self._waiting.clear()
        self._written = time.monotonic()

    def remove(self) -> None:
        """The ingest is finished."""
        with suppress(FileNotFoundError):
            self._path.unlink()
