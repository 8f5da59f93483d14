"""Whether the files of an ingest are still those that it read.

Told by size and time of last change, not by where they lie: sources may be moved, or copied with
their times (`cp -p`, `rsync -a`), and the archive of them with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

State = tuple[int, int]


def state_of(path: str) -> State | None:
    """Bytes and time of last change in ns; of a PolSARpro folder, of all planes and the latest.

    None for what is not on this machine's disks, and for what is not there.
    """
    place = Path(path)
    try:
        files = [*place.glob("*.bin"), *place.glob("config.txt")] if place.is_dir() else [place]
        found = [file.stat() for file in files]
    except (OSError, ValueError):
        return None
    sizes, times = [f.st_size for f in found], [f.st_mtime_ns for f in found]
    return sum(sizes), max(times, default=0)


def digest_of(states: Sequence[State | None]) -> str:
    """One hash of the states of all files, in the order of the ingest."""
    return hashlib.blake2b(json.dumps(states).encode(), digest_size=16).hexdigest()
