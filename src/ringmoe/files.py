"""Files written whole or not at all, and removed."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ringmoe.errors import RingmoeError, WriteError


def check_writable(path: Path) -> None:
    """Raise if a file cannot be made, before the work that fills it; its parents are made.

    Raises:
        WriteError: No permission, a file where a folder is due, and the like.
    """
    with suppress(_Probed), replacing(path) as partial:
        partial.touch()
        raise _Probed


class _Probed(Exception):
    pass


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file or folder under a temporary name that takes `path`'s place at the end.

    Whatever happens inside, an older `path` stands untouched until the new one is on disk, and
    nothing half-written is left behind.

    Args:
        path: The file or folder to make; its parents are made where they lack. What a link points
            to is replaced, the link stays.

    Yields:
        The temporary path, beside `path`, to write to: make it a file or a folder.

    Raises:
        WriteError: Disk full, no permission or the like; the message names `path`.
    """
    whole = _target(path)
    partial = whole.with_name(f".{whole.name}.partial-{os.getpid()}")
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)  # of a killed process that had the same number, as in containers
        yield partial
        for part in (*(partial.rglob("*") if partial.is_dir() else ()), partial):
            sync(part)
        if whole.is_dir():
            _replace_folder(partial, whole)
        else:
            os.replace(partial, whole)
        sync(whole.parent)
    except OSError as error:
        if isinstance(error, RingmoeError):  # it already says what went wrong
            raise
        raise WriteError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        with suppress(OSError):
            _remove(partial)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, UTF-8, with lines that end as on Unix.

    Raises:
        WriteError: Disk full, no permission or the like.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with replacing(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")


def discard(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        WriteError: It cannot be removed; the message names it.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"cannot remove {path}: {_reason(error)}") from error


def _target(path: Path) -> Path:
    """Where a path leads; the folder that a command is run in cannot be swapped for another."""
    whole = Path(os.path.realpath(path))
    if whole.is_dir() and Path.cwd().is_relative_to(whole):
        raise WriteError(f"cannot write {path}: it is the current folder: run this from another")
    return whole


def _replace_folder(partial: Path, path: Path) -> None:
    """Swap folders; a kill between the two renames leaves the old one as `.NAME.old-PID`."""
    old = path.with_name(f".{path.name}.old-{os.getpid()}")
    os.rename(path, old)
    os.rename(partial, path)
    _remove(old)


def sync(path: Path) -> None:
    """Make sure that a file, or a folder's list of names, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run again"
    return f"{error.strerror or error}; check the folder and its permissions"
