"""What label files say of objects, whatever their format, before classes have numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.datasets.table import Row
from ringmoe.files import write_csv

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """Something wrong with labelled objects that does not stop the rest from being used.

    Attributes:
        kind: What is wrong, the same words for all of a kind.
        file: Where.
        reason: What exactly, and what became of it.
    """

    kind: str
    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Annotations:
    """The objects of one image as a label file has them.

    Attributes:
        boxes: `(N, 4)` xyxy or `(N, 5)` canonical cxcywhr, in pixels of the whole image.
        names: Class of each, as it is written.
        ignored: `(N,)` bool, difficult ones and crowds.
        ids: `(N,)` int64 identities in a sequence; None where there are none.
        size: Height and width of the image as the labels say; None where they do not.
    """

    boxes: np.ndarray
    names: tuple[str, ...]
    ignored: np.ndarray
    ids: np.ndarray | None = None
    size: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        boxes: Sequence[Any] | np.ndarray,
        names: Iterable[str],
        ignored: Sequence[bool] | np.ndarray,
        rotated: bool,
        ids: Sequence[int] | np.ndarray | None = None,
        size: tuple[int, int] | None = None,
    ) -> Annotations:
        """Of lists, which may be empty."""
        array = np.asarray(boxes, np.float64).reshape(-1, 5 if rotated else 4)
        numbers = None if ids is None else np.asarray(ids, np.int64)
        return cls(array, tuple(names), np.asarray(ignored, bool).reshape(-1), numbers, size)


@dataclass
class Found:
    """What a reader found.

    Attributes:
        rows: The images, each once.
        annotations: Of each image, as many as rows.
        classes: Names that the data declare, in their order; () for those that occur, by name.
        problems: What was wrong.
    """

    rows: list[Row] = field(default_factory=list)
    annotations: list[Annotations] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)

    def add(self, row: Row, annotations: Annotations) -> None:
        """An image with its objects."""
        self.rows.append(row)
        self.annotations.append(annotations)

    def report(self, kind: str, file: object, reason: str) -> None:
        """Something wrong."""
        self.problems.append(Problem(kind, str(file), reason))


def whole_number(word: str) -> int:
    """A number of a frame or an object, perhaps written as 7.0.

    Raises:
        ValueError: It is none, or larger than a float tells apart.
    """
    number = float(word)
    if not (abs(number) < 2**53 and number.is_integer()):
        raise ValueError(f"{word!r} is no whole number")
    return int(number)


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write a CSV file of kind, file and reason, a line each; none where nothing is wrong.

    Raises:
        WriteError: The disk is full, no permission or the like.
    """
    if problems:
        rows = ((problem.kind, problem.file, problem.reason) for problem in problems)
        write_csv(path, ("kind", "file", "reason"), rows)


def log_problems(where: object, problems: Sequence[Problem]) -> None:
    """One warning for each kind of problem: how many, and the first."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    for kind, found in kinds.items():
        logger.warning("%s: %d x %s, first %s", where, len(found), kind, found[0])
