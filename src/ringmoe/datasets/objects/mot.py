"""Tracks in MOTChallenge's layout: `SEQUENCE/img1/000001.jpg` and `SEQUENCE/gt/gt.txt`.

A line is `frame, id, left, top, width, height, flag, class, visibility`; frames and pixels count
from 1; a flag of 0 is a box not to be counted (Milan et al. 2016, arXiv:1603.00831).
"""

from __future__ import annotations

import configparser
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ringmoe.boxes import xyxy_to_cxcywhr
from ringmoe.datasets.frames import frame_numbers, usual_step
from ringmoe.datasets.images import images_in
from ringmoe.datasets.objects.annotations import Annotations, Found, whole_number
from ringmoe.datasets.objects.pairing import part_in
from ringmoe.datasets.objects.voc import report_upright
from ringmoe.datasets.table import Row

IMAGE_FOLDERS = ("img1", "img", "images", "frames")
NO_CLASS = "object"  # of files that tell none, or -1

Line = tuple[int, int, np.ndarray, bool, str]  # frame, id, xyxy, ignored, class


def read_mot(root: Path, sequences: Sequence[Path], rotated: bool) -> Found:
    """The frames of sequences with their objects; a frame without a line has none.

    A sequence without any line is one that nobody labelled (31 of the 100 of AIR-MOT-100).

    Args:
        root: Sequences have the names of their folders relative to it.
        sequences: Folders with `gt/gt.txt`, pictures and perhaps `seqinfo.ini`.
        rotated: The form of the boxes; rotated ones are upright, which is reported.
    """
    found = Found()
    for folder in sequences:
        name = folder.name if folder == root else folder.relative_to(root).as_posix()
        lines = read_track_lines(folder / "gt" / "gt.txt", found)
        if not lines:
            found.report("sequence without labels", folder, "its gt/gt.txt has none, left out")
            continue
        frames = _from_one(numbered(_pictures(folder, found), found), lines, folder, found)
        add_frames(
            found,
            name,
            folder / "gt" / "gt.txt",
            frames,
            lines,
            rotated,
            part=part_in(folder / "gt" / "gt.txt", root),
        )
    known = {folder.resolve() for folder in sequences}
    for place in sorted({folder.parent for folder in sequences if folder != root}):
        for folder in sorted(place.iterdir()):
            if folder.resolve() not in known and any(images_in(folder / n) for n in IMAGE_FOLDERS):
                found.report("sequence without labels", folder, "it has no gt/gt.txt, left out")
    return found


def read_track_lines(file: Path, found: Found) -> list[Line]:
    """The lines of a MOT file; those that cannot be read, or stand twice, are reported."""
    lines: list[Line] = []
    seen: set[tuple[int, int]] = set()
    try:
        texts = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        found.report("label file that cannot be read", file, str(error))
        return []
    for number, text in enumerate(texts, 1):
        words = [word for word in re.split(r"[,\s]+", text.strip()) if word]
        if not words:
            continue
        try:
            frame, identity = whole_number(words[0]), whole_number(words[1])
            left, top, width, height = map(float, words[2:6])
            flag = float(words[6]) if len(words) > 6 else 1.0
        except ValueError as error:
            found.report(
                "line that cannot be read", file, f"line {number}: {text!r} ({error}), left out"
            )
            continue
        if identity >= 0 and (frame, identity) in seen:  # -1: nobody knows which it is
            found.report(
                "object twice in a frame",
                file,
                f"line {number}: object {identity} stands in frame {frame} already, left out",
            )
            continue
        seen.add((frame, identity))
        kind = words[7].removesuffix(".0") if len(words) > 7 else NO_CLASS
        box = np.array([left - 1, top - 1, left - 1 + width, top - 1 + height])
        lines.append((frame, identity, box, flag == 0, NO_CLASS if kind == "-1" else kind))
    return lines


def add_frames(
    found: Found,
    sequence: str,
    file: Path,
    frames: dict[int, Path],
    lines: Sequence[Line],
    rotated: bool,
    part: str = "",
) -> None:
    """Add the frames of a sequence in order, and report those that are missing.

    Args:
        found: Where they go.
        sequence: Its name; frames are "SEQUENCE/000001".
        file: The label file.
        frames: Number to picture.
        lines: The objects.
        rotated: The form of the boxes.
        part: "train", "validation", "test" or "".
    """
    of: dict[int, list[Line]] = {}
    for line in lines:
        of.setdefault(line[0], []).append(line)
    for number in sorted(set(of) - set(frames)):
        found.report(
            "frame without image", file, f"frame {number} of {sequence} has labels but no picture"
        )
    numbers = sorted(frames)
    unit = int(usual_step(numbers))
    for before, after in itertools.pairwise(numbers):
        missing = [number for number in range(before + unit, after, unit) if number not in of]
        if missing:
            found.report(
                "frames missing",
                frames[after].parent,
                f"{sequence} has frames {before} and {after}, none of the {len(missing)} between",
            )
    if rotated and lines:
        report_upright(found, file, len(lines))
    for number in numbers:
        mine = of.get(number, [])
        boxes = [xyxy_to_cxcywhr(line[2]) if rotated else line[2] for line in mine]
        row = Row(
            name=f"{sequence}/{number:06d}",
            images={"image": str(frames[number])},
            label=str(file),
            part=part,
            where=str(file),
            sequence=sequence,
        )
        said = Annotations.of(
            boxes,
            [line[4] for line in mine],
            [line[3] for line in mine],
            rotated,
            [line[1] for line in mine],
        )
        found.add(row, said)


def numbered(pictures: Sequence[Path], found: Found) -> dict[int, Path]:
    """Pictures by their frames' numbers, in order; where names do not tell, by the last number."""
    frames: dict[int, Path] = {}
    last: dict[Path, int] = {}
    for path in pictures:
        if digits := re.findall(r"\d+", path.stem):
            last[path] = int(digits[-1])
        else:
            found.report("picture without a number", path, "is no frame, left out")
    for path, number in zip(last, frame_numbers([*last]) or last.values(), strict=True):
        if (other := frames.setdefault(number, path)) != path:
            found.report("two pictures of one frame", path, f"left out, as {other} is there")
    return dict(sorted(frames.items()))


def _from_one(
    frames: dict[int, Path], lines: Sequence[Line], folder: Path, found: Found
) -> dict[int, Path]:
    """Frames as MOT counts them, where the names of the pictures begin with 0."""
    if 0 not in frames or not lines or any(line[0] == 0 for line in lines):
        return frames
    reason = "its pictures count from 0 and its gt/gt.txt from 1: picture 0 is taken as frame 1"
    found.report("pictures counted from 0", folder, reason)
    return {number + 1: path for number, path in frames.items()}


def _pictures(folder: Path, found: Found) -> list[Path]:
    """The pictures of a sequence, in the folder that seqinfo.ini names or a usual one."""
    names = [*_told(folder / "seqinfo.ini", found), *IMAGE_FOLDERS]
    for place in (*(folder / name for name in names), folder):
        if pictures := images_in(place):
            return pictures
    found.report("sequence without pictures", folder, f"none in {', '.join(names)}")
    return []


def _told(file: Path, found: Found) -> list[str]:
    if not file.is_file():
        return []
    parser = configparser.ConfigParser()
    try:
        parser.read(file, encoding="utf-8-sig")
        return [parser["Sequence"]["imDir"]]
    except (configparser.Error, KeyError, UnicodeDecodeError) as error:
        found.report("seqinfo.ini that cannot be read", file, f"{error!r}".replace("\n", " "))
        return []
