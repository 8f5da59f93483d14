"""What the names of a video's frames tell: their numbers, and when they were taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median_low

import numpy as np

# A date, perhaps with a time and a fraction of a second: 20260131, 2026-01-31T2350,
# 20260131_235000, 20260131T235000_250.
_TIME = re.compile(
    r"(?<!\d)(?P<date>(?:19|20)\d\d(?P<a>[-_.]?)\d\d(?P=a)\d\d)"
    r"(?:(?P<between>[T_ -]?)(?P<clock>\d\d(?P<b>[-:_.]?)\d\d(?:(?P=b)\d\d)?))?"
    r"(?!\d)(?:[._,](?P<fraction>\d{1,6})(?!\d))?"
)
_FORMS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


def frame_numbers(paths: Sequence[Path]) -> list[int] | None:
    """The number in each file's name that is its frame's: the last one that differs in all names.

    Returns:
        One for each file; None where no number tells all of them apart.
    """
    digits = [[int(number) for number in re.findall(r"\d+", path.stem)] for path in paths]
    for place in range(1, min(map(len, digits), default=0) + 1):
        numbers = [found[-place] for found in digits]
        if len(set(numbers)) == len(paths):
            return numbers
    return None


def frame_counter(paths: Sequence[Path]) -> list[int] | None:
    """The frames' numbers, if their order is that of dates in the names too, where these differ.

    It is not where numbers begin anew each day.
    """
    numbers = frame_numbers(paths)
    varied = [seconds for seconds in _told(paths) if len(set(seconds)) > 1]
    if numbers is None or not varied:
        return numbers
    ordered = ([s for _, s in sorted(zip(numbers, seconds, strict=True))] for seconds in varied)
    return numbers if any(seconds == sorted(seconds) for seconds in ordered) else None


def frame_seconds(paths: Sequence[Path]) -> list[float] | None:
    """When each frame was taken, by the first date or time that differs in all names.

    Fractions of a second are read where seconds do not differ and no counter tells the order.

    Returns:
        Seconds since the earliest; None where no time tells all of them apart.
    """
    counted = frame_counter(paths) is not None
    for seconds in (*_told(paths), *([] if counted else _told(paths, fractions=True))):
        if len(set(seconds)) == len(paths) > 1:
            first = min(seconds)
            return [second - first for second in seconds]
    return None


def usual_step(numbers: Sequence[float]) -> float:
    """By how much the numbers of frames differ from one to the next: the median; 1 of one frame.

    Args:
        numbers: Ascending.
    """
    return median_low(np.diff(numbers).tolist()) if len(numbers) > 1 else 1


def frame_times(numbers: Sequence[float]) -> list[float]:
    """When frames were taken by their ascending numbers, in usual steps since the first."""
    unit = usual_step(numbers)
    return [(number - numbers[0]) / unit for number in numbers]


def _told(paths: Sequence[Path], *, fractions: bool = False) -> list[list[float]]:
    """The times that all names have: of each its seconds, for the first time in a name first."""
    named = [list(_TIME.finditer(path.stem)) for path in paths]
    told = [_seconds(found, fractions) for found in zip(*named, strict=False)]
    return [seconds for seconds in told if seconds]


def _seconds(found: Sequence[re.Match[str]], fractions: bool) -> list[float]:
    """Since some moment; nothing where one is no date."""
    clocked = all(match["clock"] for match in found)
    # After a line, digits may count frames: those of a time are not all in the hour after midnight.
    if clocked and any(match["between"] in ("_", "-", " ") for match in found):
        clocked = any(not match["clock"].startswith("00") for match in found)
    for names in (("date", "clock"), ("date",)) if clocked else (("date",),):
        try:
            return [
                _moment("".join(match[name] for name in names))
                + (float(f"0.{match['fraction'] or 0}") if fractions else 0.0)
                for match in found
            ]
        except ValueError:  # 20261399, or 2399 o'clock
            continue
    return []


def _moment(text: str) -> float:
    digits = re.sub(r"\D", "", text)
    return (datetime.strptime(digits, _FORMS[len(digits)]) - datetime(1900, 1, 1)).total_seconds()
