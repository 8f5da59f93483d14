"""An unfinished map or list of objects: its parts on disk, and how far they are good."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ringmoe.errors import ConfigError, WriteError
from ringmoe.files import check_writable, replacing
from ringmoe.locks import alone
from ringmoe.scenes import Scene
from ringmoe.scenes.source import Source

COMMIT_SECONDS = 2.0  # what was done since the last commit is done again after a kill
_JOURNAL = "journal.json"


class Planes:
    """Planes of a raster in a plain file, written and read by rows.

    Plain, because rows that are written stay where they are: a kill cannot damage what came before,
    as it can in a compressed file whose index is written at its end.

    Args:
        path: The file; made if it is not there, of the size of the whole.
        shape: Planes, rows, columns.
        dtype: Of the values.

    Raises:
        WriteError: The disk is full and the like.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: np.dtype | str) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._row_bytes = shape[2] * self.dtype.itemsize
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            os.ftruncate(self._file, shape[0] * shape[1] * self._row_bytes)
        except OSError as error:
            raise self._failure(error) from error

    def write(self, row: int, values: np.ndarray) -> None:
        """Write `(planes, rows, columns)` from a row on.

        Raises:
            WriteError: The disk is full and the like.
        """
        try:
            for plane, plane_values in enumerate(values):
                data = memoryview(np.ascontiguousarray(plane_values, self.dtype).data).cast("B")
                place = self._place(plane, row)
                while data:
                    written = os.pwrite(self._file, data, place)
                    data, place = data[written:], place + written
        except OSError as error:
            raise self._failure(error) from error

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` of all planes."""
        planes = [
            os.pread(self._file, (stop - start) * self._row_bytes, self._place(plane, start))
            for plane in range(self.shape[0])
        ]
        values = np.frombuffer(b"".join(planes), self.dtype)
        return values.reshape(self.shape[0], stop - start, self.shape[2])

    def strips(self, height: int) -> Iterator[tuple[int, np.ndarray]]:
        """All rows, so many at a time: the first row's number, and the values of all planes."""
        for row in range(0, self.shape[1], height):
            yield row, self.read(row, min(row + height, self.shape[1]))

    def sync(self) -> None:
        """Make sure that what was written is on disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _failure(self, error: OSError) -> WriteError:
        return WriteError(
            f"cannot write {self.path}: {error.strerror}; free some space and run the same command "
            "again: it goes on where it stopped"
        )

    def _place(self, plane: int, row: int) -> int:
        return (plane * self.shape[1] + row) * self._row_bytes


class Part(Protocol):
    """A file that grows with the work."""

    def sync(self) -> None:
        """Make sure that what was written is on disk."""


@dataclass(frozen=True)
class Progress:
    """How far a map is.

    Attributes:
        rows: Pixel rows that are final, from the top.
        pixels: Pixels that hold data, in the final rows.
    """

    rows: int = 0
    pixels: int = 0


class Journal:
    """The folder of an unfinished map beside the map to be, and what is finished in it.

    Args:
        out: The map to be.
        fingerprint: Of all that the map is a function of. A folder of another one is emptied.
        resume: False empties the folder in any case.

    Attributes:
        folder: Where the unfinished parts lie.
        progress: What is on disk; at first, what an earlier run has left.

    Raises:
        ConfigError: Another process is making the same map.
        WriteError: The folder cannot be made.
    """

    def __init__(self, out: Path, fingerprint: str, *, resume: bool) -> None:
        self.folder = out.with_name(f".{out.name}.unfinished")
        self.progress = Progress()
        self._fingerprint, self._written = fingerprint, time.monotonic()
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(
                f"cannot write {out}: {error.strerror}; check the folder and its permissions"
            ) from error
        self._lock = ExitStack()
        taken = ConfigError(f"{out}: another run is writing it: let it end, or choose another name")
        self._lock.enter_context(alone(out.with_name(f".{out.name}.lock"), taken))
        found = self._read() if resume else {}
        if found.get("fingerprint") == fingerprint:
            self.progress = Progress(**found["progress"])
        else:
            self.remove()
        self.folder.mkdir(exist_ok=True)

    def note(self, progress: Progress, *parts: Part, now: bool = False) -> None:
        """Take down how far it is, every few seconds or `now`; first brings `parts` on disk."""
        if not now and time.monotonic() - self._written < COMMIT_SECONDS:
            return
        for part in parts:
            part.sync()
        with replacing(self.folder / _JOURNAL) as partial:
            text = {"fingerprint": self._fingerprint, "progress": asdict(progress)}
            partial.write_text(json.dumps(text), encoding="utf-8")
        self.progress, self._written = progress, time.monotonic()

    def remove(self) -> None:
        """Remove the folder: the map is finished, or nothing of it is of use."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let others write the map."""
        self._lock.close()

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / _JOURNAL).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}


@contextmanager
def kept_if_useful(journal: Journal) -> Iterator[None]:
    """Let go of an unfinished map, and after an error remove it if no row of it is of use."""
    try:
        yield
    except BaseException:
        if not journal.progress.rows:
            journal.remove()
        raise
    finally:
        journal.close()


def fingerprint_scene(scene: Scene) -> dict[str, Any]:
    """What tells a scene from others, as plain values; files by name, size and date."""
    return {"files": [_stamp(path) for path in _paths(scene.source)], "scene": repr(scene)}


def files_of(scenes: Iterable[Scene]) -> list[Path]:
    """All files that scenes are read from."""
    return [path for scene in scenes for path in _paths(scene.source)]


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path]) -> None:
    """Raise if a file to be written is one that is read, or cannot be written.

    Raises:
        ConfigError: It is one of the scene's.
        WriteError: No permission, a file where a folder is due, and the like.
    """
    taken = {path.resolve() for path in inputs}
    for path in outputs:
        if path is None:
            continue
        if path.resolve() in taken:
            raise ConfigError(f"{path}: is a file of the scene itself: choose another name")
        check_writable(path)


def digest(**facts: Any) -> str:
    """A hash of plain values."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _paths(source: Source) -> list[Path]:
    parts = [source.path]
    for name in ("parts", "planes", "validity"):
        part = getattr(source, name, None) or ()
        for inner in part if isinstance(part, tuple) else (part,):
            parts += _paths(inner)
    return parts


def _stamp(path: Path) -> tuple[str, int, int]:
    if not path.exists():  # a URL
        return str(path), 0, 0
    status = path.stat()
    return str(path.absolute()), status.st_size, status.st_mtime_ns
