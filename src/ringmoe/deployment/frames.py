"""The frames of a video on disk: their order, their numbers, and what is missing between them."""

from __future__ import annotations

import configparser
import itertools
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ringmoe.datasets.frames import frame_counter, frame_seconds, frame_times, usual_step
from ringmoe.datasets.images import images_in
from ringmoe.datasets.objects.mot import IMAGE_FOLDERS
from ringmoe.errors import DatasetError

logger = logging.getLogger(__name__)

_INFO = "seqinfo.ini"


@dataclass(frozen=True)
class Frames:
    """Files of one video, in order of time.

    Attributes:
        paths: One file a frame.
        numbers: Of the frames, ascending: where names tell times, usual steps of time from 1; else
            the last number that differs in all names; 1, 2, ... where there is none.
        fps: Frames a second, counted by their numbers, where the files say so.
        seconds: When they were taken, where names tell it, since the first.
    """

    paths: tuple[Path, ...]
    numbers: tuple[int, ...]
    fps: float | None = None
    seconds: tuple[float, ...] | None = None

    @property
    def unit(self) -> int:
        """By how much numbers differ from one frame to the next."""
        return int(usual_step(self.numbers))

    @property
    def interval(self) -> float | None:
        """Seconds from one frame to the next; None where that is unknown."""
        if self.seconds is not None:
            return usual_step(self.seconds)
        return None if self.fps is None else self.unit / self.fps

    @property
    def times(self) -> list[float]:
        """Of the frames, in frame intervals since the first."""
        return frame_times(self.numbers if self.seconds is None else self.seconds)

    @property
    def elapsed(self) -> list[float] | None:
        """Of the frames, in seconds since the first; None where that is unknown."""
        return None if self.interval is None else [self.interval * time for time in self.times]

    @property
    def gaps(self) -> list[tuple[int, int, int]]:
        """Number before, number after, and how many frames are missing between the two."""
        found, unit = [], self.unit
        for before, after in itertools.pairwise(self.numbers):
            if missing := round((after - before) / unit) - 1:
                found.append((before, after, missing))
        return [gap for gap in found if gap[2] > 0]

    def take(self, which: Sequence[int]) -> Frames:
        """Some of them; their seconds are still those since the first of all."""
        return replace(
            self,
            paths=tuple(self.paths[place] for place in which),
            numbers=tuple(self.numbers[place] for place in which),
            seconds=self.seconds and tuple(self.seconds[place] for place in which),
        )


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
    seconds = None if fps else frame_seconds(paths)
    if seconds is not None:
        moments, ordered = zip(*sorted(zip(seconds, paths, strict=True)), strict=True)
        return Frames(ordered, _steps(moments), seconds=moments)
    if (numbers := frame_counter(paths)) is not None:
        counted, ordered = zip(*sorted(zip(numbers, paths, strict=True)), strict=True)
        return Frames(ordered, counted, fps)
    if len(paths) > 1:
        logger.warning("no number or time in the frames' names tells them apart: in their order")
    paths = sorted(paths, key=_by_name)
    return Frames(tuple(paths), tuple(range(1, len(paths) + 1)), fps)


def _steps(seconds: Sequence[float]) -> tuple[int, ...]:
    """The nearest usual step to each, from 1; of frames closer than that, one after the other."""
    numbers = tuple(1 + round(time) for time in frame_times(seconds))
    return numbers if len(set(numbers)) == len(numbers) else tuple(range(1, len(numbers) + 1))


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
