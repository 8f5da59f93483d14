"""The frames of a video on disk: their order, their numbers, and what is missing between them."""

from __future__ import annotations

import configparser
import itertools
import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ringmoe.datasets.images import frame_numbers, images_in
from ringmoe.datasets.objects.mot import IMAGE_FOLDERS
from ringmoe.errors import DatasetError
from ringmoe.tasks.tracking.tracker import frame_times, usual_step

logger = logging.getLogger(__name__)

_INFO = "seqinfo.ini"
# A date, perhaps with a time: 20260131, 2026-01-31, 20260131T2350, 20260131_235000. Four digits
# after a line are no time, as they may count frames.
_TIME = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_]?)\d\d\1\d\d"
    r"(?:[T_ -]?\d\d[-:_]?\d\d[-:_]?\d\d|T?\d\d[-:]?\d\d)?(?!\d)"
)
_TIME_FORMS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


@dataclass(frozen=True)
class Frames:
    """Files of one video, in order of time.

    Attributes:
        paths: One file a frame.
        numbers: Of the frames, ascending: steps of time from 1 where all names tell another time;
            else the last number that differs in all names; 1, 2, ... where there is none.
        fps: Frames a second, counted by their numbers, where the files say so.
    """

    paths: tuple[Path, ...]
    numbers: tuple[int, ...]
    fps: float | None = None

    @property
    def unit(self) -> int:
        """By how much numbers differ from one frame to the next."""
        return usual_step(self.numbers)

    @property
    def times(self) -> list[float]:
        """Of the frames, in frame intervals since the first."""
        return frame_times(self.numbers)

    @property
    def gaps(self) -> list[tuple[int, int, int]]:
        """Number before, number after, and how many frames are missing between the two."""
        found, unit = [], self.unit
        for before, after in itertools.pairwise(self.numbers):
            if missing := round((after - before) / unit) - 1:
                found.append((before, after, missing))
        return [gap for gap in found if gap[2] > 0]

    def take(self, which: Sequence[int]) -> Frames:
        """Some of them."""
        paths = tuple(self.paths[place] for place in which)
        return Frames(paths, tuple(self.numbers[place] for place in which), self.fps)


def find_frames(sources: Sequence[str | Path]) -> Frames:
    """The frames that a user means.

    Args:
        sources: A folder of images; a MOT sequence (`img1/`, perhaps `seqinfo.ini`); or files.

    Raises:
        DatasetError: There is no such file or folder, or no image in it.
    """
    given = [Path(source) for source in sources]
    for path in given:
        if not path.exists():
            raise DatasetError(f"{path}: there is no such file or folder; expected frames")
    fps = None
    if len(given) == 1 and given[0].is_dir():
        named, fps = _told(given[0] / _INFO)
        paths = _pictures(given[0], named)
    else:
        folders = [path for path in given if path.is_dir()]
        if folders:
            raise DatasetError(f"{folders[0]}: is a folder: expected one folder, or files alone")
        paths = given
    if not paths:
        where = given[0] if given else "no path given"
        raise DatasetError(f"{where}: expected frames as images, found none")
    return _ordered(paths, fps)


def _ordered(paths: list[Path], fps: float | None) -> Frames:
    """By the numbers in their names; where these do not tell, as people would sort them."""
    twice = [path for path, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if twice:
        raise DatasetError(f"{twice[0]}: is given twice: expected each frame once")
    timed = None if fps else _timed(paths)
    numbers, fps = timed or (frame_numbers(paths), fps)
    if numbers is not None:
        ordered = sorted(zip(numbers, paths, strict=True))
        return Frames(tuple(path for _, path in ordered), tuple(sorted(numbers)), fps)
    if len(paths) > 1:
        logger.warning("no number in the frames' names tells them apart: in the order of names")
    paths = sorted(paths, key=_by_name)
    return Frames(tuple(paths), tuple(range(1, len(paths) + 1)), fps)


def _timed(paths: Sequence[Path]) -> tuple[list[int], float] | None:
    """Numbers in steps of time, and steps a second, by the first time that differs in all names."""
    named = [[_time(match[0]) for match in _TIME.finditer(path.stem)] for path in paths]
    for found in zip(*named, strict=False):
        times = [time for time in found if time is not None]
        if len(set(times)) == len(paths) > 1:
            seconds = [round((time - min(times)).total_seconds()) for time in times]
            step = math.gcd(*seconds)
            return [1 + second // step for second in seconds], 1 / step
    return None


def _time(text: str) -> datetime | None:
    digits = re.sub(r"\D", "", text)
    try:
        return datetime.strptime(digits, _TIME_FORMS[len(digits)])
    except ValueError:  # 20261399 is none
        return None


def _by_name(path: Path) -> list[tuple[int, str]]:
    """So that a2 comes before a10."""
    words = re.findall(r"\d+|\D+", path.name)
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words]


def _pictures(folder: Path, named: str | None) -> list[Path]:
    """The images of a folder, or of the one in it in which MOT sequences have theirs."""
    places = [*([folder / named] if named else []), *(folder / name for name in IMAGE_FOLDERS)]
    for place in (*places, folder):
        if found := images_in(place):
            return found
    return []


def _told(file: Path) -> tuple[str | None, float | None]:
    """The folder of images and the frame rate that `seqinfo.ini` tells."""
    if not file.is_file():
        return None, None
    parser = configparser.ConfigParser()
    try:
        parser.read(file, encoding="utf-8-sig")
        about = parser["Sequence"]
    except (configparser.Error, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{file}: expected a section Sequence with imDir ({reason})") from None
    try:
        fps = about.getfloat("frameRate", fallback=0.0)
    except ValueError as error:
        logger.warning("%s: frameRate is passed over (%s)", file, error)
        fps = 0.0
    return about.get("imDir"), fps if fps > 0 else None
