"""One ingest at a time in a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringmoe.errors import ArchiveError, WriteError

if sys.platform != "win32":
    import fcntl

FILE_NAME = "ingest.lock"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other ingests out of a folder, where the system has locks.

    The lock goes with the process, however that ends; a file that a kill leaves holds no lock.

    Raises:
        ArchiveError: Another ingest is writing there.
        WriteError: The file that is locked cannot be made.
    """
    handle = None if sys.platform == "win32" else _locked(folder)
    try:
        yield
    finally:
        if handle is not None:
            (folder / FILE_NAME).unlink(missing_ok=True)
            os.close(handle)


def _locked(folder: Path) -> int | None:
    """The open file, or None on a file system without locks."""
    path = folder / FILE_NAME
    while sys.platform != "win32":
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WriteError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise ArchiveError(
                f"{folder}: another ingest is writing here: let it end, or choose another folder"
            ) from None
        except OSError:
            os.close(handle)
            return None
        if _is(path, handle):
            return handle
        os.close(handle)  # of an ingest that has just ended and removed it
    return None


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
