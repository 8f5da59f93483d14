"""Tracks of points in a wide table, as of the WPAFB wide-area motion imagery.

A line a frame: `Frame Number, obj_5_px, obj_5_py, obj_5_vx, ...`, where px is the row and py the
column of a pixel, and 0, 0 or an empty cell means that the object is not there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ringmoe.datasets.objects.annotations import Found
from ringmoe.datasets.objects.mot import Line, add_frames, numbered
from ringmoe.datasets.table import csv_lines

# Points have no extent; a box around each lets a detector learn them. Its side in pixels is
# declared, not measured: trackers of points are scored by distance, not by this box.
POINT_SIZE = 10.0
POINT_CLASS = "vehicle"
FRAME_COLUMN = "Frame Number"

_POSITION = re.compile(r"obj_(\d+)_p([xy])")


def is_point_table(file: Path) -> bool:
    """Whether a CSV file has the header of such a table."""
    try:
        with open(file, encoding="utf-8-sig") as handle:
            start = handle.readline(4096)
    except (OSError, UnicodeDecodeError):
        return False
    columns = [word.strip().strip('"') for word in start.split(",")]
    return columns[0] == FRAME_COLUMN and any(map(_POSITION.fullmatch, columns[:-1]))


def read_point_tracks(file: Path, pictures: Sequence[Path], name: str, rotated: bool) -> Found:
    """The frames of a sequence with a square of `POINT_SIZE` around every point.

    Args:
        file: The table.
        pictures: Those of the sequence, the frame's number in their names.
        name: Of the sequence.
        rotated: The form of the boxes.
    """
    found = Found(classes=(POINT_CLASS,))
    add_frames(found, name, file, numbered(pictures, found), _lines(file, found), rotated)
    found.problems = [p for p in found.problems if not p.kind.startswith("horizontal")]  # squares
    return found


def _lines(file: Path, found: Found) -> list[Line]:
    lines: list[Line] = []
    seen: set[int] = set()
    columns, listed = csv_lines(file)
    named = {(int(m[1]), m[2]): m[0] for text in columns if (m := _POSITION.fullmatch(text))}
    ids = [identity for identity, axis in named if axis == "x" and (identity, "y") in named]
    for where, given in listed:
        try:
            frame = int(float(given[FRAME_COLUMN]))
            cells = [[given[named[key, axis]] for axis in "xy"] for key in ids]
            places = [[float(cell or 0) for cell in both] for both in cells]
        except (ValueError, OverflowError) as error:
            found.report("line that cannot be read", where, f"{error}, left out")
            continue
        if frame in seen:
            found.report(
                "frame listed twice", where, f"frame {frame} stands there already, left out"
            )
            continue
        seen.add(frame)
        for identity, both, (row, column) in zip(ids, cells, places, strict=True):
            if row == 0 and column == 0:
                continue
            if not all(both):
                found.report("point with one coordinate", where, f"obj_{identity}, left out")
                continue
            x, y = column + 0.5, row + 0.5  # the middle of the pixel
            half = POINT_SIZE / 2
            box = np.array([x - half, y - half, x + half, y + half])
            lines.append((frame, identity, box, False, POINT_CLASS))
    return lines
