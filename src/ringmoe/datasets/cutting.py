"""An example cut to the model's size: every image of it and its label in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ringmoe.boxes import Objects, centres
from ringmoe.datasets.config import DATES
from ringmoe.datasets.labelled import Example, Source
from ringmoe.datasets.objects import geometry
from ringmoe.datasets.tiles import IGNORED
from ringmoe.sampling import Crops, resize
from ringmoe.sensors import normalise

How = Literal["cut", "resize"]


@dataclass(frozen=True)
class Cut:
    """Which square of an example is taken, and how it is flipped and turned.

    What is smaller than the square lies in its middle; around it nothing is valid.

    Attributes:
        row: First row.
        column: First column.
        size: Height and width of what comes out.
        mirrored: Whether it is flipped left to right.
        turns: Right angles by which it is turned, counter-clockwise.
        how: "cut", or "resize": all of the example, resampled to the size.
        seen: How many of its first rows and columns other squares hold: nothing is labelled there.
    """

    row: int
    column: int
    size: int
    mirrored: bool = False
    turns: int = 0
    how: How = "cut"
    seen: tuple[int, int] = (0, 0)

    @classmethod
    def middle(cls, shape: tuple[int, int], size: int, how: How = "cut") -> Cut:
        """The middle of an example of that height and width."""
        row, column = (max(length - size, 0) // 2 for length in shape)
        return cls(row, column, size, how=how)

    @classmethod
    def covering(cls, shape: tuple[int, int], size: int) -> list[Cut]:
        """Squares that together show all of it; each pixel keeps its label in one of them."""
        rows, columns = (_steps(length, size) for length in shape)
        return [cls(row, column, size, seen=(a, b)) for row, a in rows for column, b in columns]

    @classmethod
    def of(cls, crops: Crops, index: int, size: int, how: How) -> Cut:
        """One of the drawn crops."""
        return cls(
            int(crops.rows[index]),
            int(crops.columns[index]),
            size,
            bool(crops.mirrored[index]),
            int(crops.turns[index]),
            how,
        )

    def take(self, array: np.ndarray) -> np.ndarray:
        """The part of `(..., H, W)` that is taken, before it is padded, flipped and turned."""
        if self.how == "resize":
            return array
        stop = self.row + self.size, self.column + self.size
        return array[..., self.row : stop[0], self.column : stop[1]]

    def take_label(self, label: np.ndarray) -> np.ndarray:
        """`take` of classes or heights, without those that other squares hold."""
        part = self.take(label)
        if any(self.seen):
            part = part.copy()
            part[: self.seen[0]] = unknown(label)
            part[:, : self.seen[1]] = unknown(label)
        return part

    def place(self, part: np.ndarray, fill: float) -> np.ndarray:
        """A part in the middle of the square, flipped and turned."""
        height, width = part.shape[-2:]
        square = part
        if (height, width) != (self.size, self.size):
            square = np.full((*part.shape[:-2], self.size, self.size), fill, part.dtype)
            top, left = (self.size - height) // 2, (self.size - width) // 2
            square[..., top : top + height, left : left + width] = part
        if self.mirrored:
            square = square[..., ::-1]
        return np.rot90(square, self.turns, axes=(-2, -1))

    def move(self, objects: Objects, size: tuple[int, int]) -> Objects:
        """The objects of an image of that height and width where `take` and `place` bring them."""
        height, width = size
        if self.how == "resize":
            objects = geometry.scaled(objects, self.size / width, self.size / height)
        else:
            height, width = min(self.size, height - self.row), min(self.size, width - self.column)
            objects = self._ignore_seen(objects)
            objects, _ = geometry.within(objects, self.column, self.row, width, height)
            left, top = (self.size - width) // 2, (self.size - height) // 2
            objects = geometry.shifted(objects, left, top)
        if self.mirrored:
            objects = geometry.mirrored(objects, self.size)
        return geometry.turned(objects, self.turns, self.size)

    def _ignore_seen(self, objects: Objects) -> Objects:
        """Whose centres other squares hold, these need not be found here."""
        if not any(self.seen):
            return objects
        x, y = centres(objects.boxes).T
        ignored = (y < self.row + self.seen[0]) | (x < self.column + self.seen[1])
        if objects.ignored is not None:
            ignored |= objects.ignored
        return replace(objects, ignored=ignored)


def _steps(length: int, size: int) -> list[tuple[int, int]]:
    """Where squares start along a side, the last at its end, and how much others hold of each."""
    starts = list(range(0, max(length - size, 0), size))
    last = max(length - size, 0)
    return [*((start, 0) for start in starts), (last, starts[-1] + size - last if starts else 0)]


def unknown(label: np.ndarray) -> int | float:
    """What stands where there is no label: of classes `IGNORED`, of heights NaN."""
    return IGNORED if label.dtype.kind == "i" else np.nan


@dataclass(frozen=True, eq=False)
class Prepared:
    """An example as a batch takes it.

    Attributes:
        images: Name to normalised `(C, S, S)` float32, 0 where invalid.
        valid: Name to `(S, S)` bool.
        label: A class index, `(S, S)` int64 or `(S, S)` float32, or objects.
    """

    images: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]
    label: int | np.ndarray | Objects

    @property
    def side(self) -> int:
        """Height and width."""
        return next(iter(self.images.values())).shape[-1]


def prepare(example: Example, sources: Mapping[str, Source], cut: Cut) -> Prepared:
    """Cut, normalise, and where asked resize, flip and turn.

    A pixel without data keeps no label: of two dates where either lacks data, of several sensors
    where all do. Objects follow their image (`Cut.move`).
    """
    images, valid = {}, {}
    for name, image in example.images.items():
        known = cut.take(image.valid)
        planes = normalise(cut.take(image.values), sources[name].channels)
        if not known.all():
            np.copyto(planes, 0, where=~known)
        if cut.how == "resize":
            planes, known = resize(planes, known, cut.size)
        images[name], valid[name] = cut.place(planes, 0), cut.place(known, False)
    if isinstance(example.label, Objects):
        return Prepared(images, valid, cut.move(example.label, example.size))
    if not isinstance(example.label, np.ndarray):
        return Prepared(images, valid, example.label)
    combine = np.logical_and if set(images) == set(DATES) else np.logical_or
    fill = unknown(example.label)
    part = cut.take_label(example.label)
    if cut.how == "resize":
        part = _resized_label(part, cut.size)
    label = np.where(combine.reduce(list(valid.values())), cut.place(part, fill), fill)
    return Prepared(images, valid, label.astype(example.label.dtype))


def _resized_label(label: np.ndarray, size: int) -> np.ndarray:
    """Classes by the nearest pixel; heights bilinear, from known ones alone."""
    if label.dtype.kind == "i":
        rows, columns = (
            ((np.arange(size) + 0.5) * side / size).astype(np.int64) for side in label.shape
        )
        return label[np.ix_(rows, columns)]
    known = ~np.isnan(label)
    heights, known = resize(np.where(known, label, 0)[None], known, size)
    return np.where(known, heights[0], np.float32(np.nan))
