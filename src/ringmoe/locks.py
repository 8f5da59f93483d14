"""One process at a time, where two would write to one place."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringmoe.errors import RingmoeError, WriteError

if sys.platform != "win32":
    import fcntl


@contextmanager
def alone(path: Path, refusal: RingmoeError) -> Iterator[None]:
    """Keep others out, where the system has locks.

    The lock goes with the process, however that ends; a file that a kill leaves holds no lock.

    Args:
        path: The file that is locked; made, and removed in the end.
        refusal: What is raised where another holds the lock.

    Raises:
        RingmoeError: `refusal`.
        WriteError: The file cannot be made.
    """
    handle = None if sys.platform == "win32" else _locked(path, refusal)
    try:
        yield
    finally:
        if handle is not None:
            path.unlink(missing_ok=True)
            os.close(handle)


def _locked(path: Path, refusal: RingmoeError) -> int | None:
    """The open file, or None on a file system without locks."""
    while sys.platform != "win32":
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WriteError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise refusal from None
        except OSError:
            os.close(handle)
            return None
        if _is(path, handle):
            return handle
        os.close(handle)  # of one that has just ended and removed it
    return None


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
