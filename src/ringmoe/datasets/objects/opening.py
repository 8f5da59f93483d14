"""From label files to `Objects` with numbered classes, checked against their images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ringmoe.boxes import Objects
from ringmoe.datasets.class_codes import Codes, listed, number_first
from ringmoe.datasets.config import DataConfig
from ringmoe.datasets.objects.annotations import Annotations, Found, Problem, log_problems
from ringmoe.datasets.objects.geometry import LEAST_SHARE, within
from ringmoe.datasets.objects.image_sizes import image_sizes
from ringmoe.datasets.objects.layouts import find_objects
from ringmoe.datasets.table import Row
from ringmoe.errors import DatasetError

logger = logging.getLogger(__name__)

# Label files count pixels from 0 or from 1, and round: a box may reach out by so many pixels
# without anything being wrong.
_ROUNDING = 1.5
_UNKNOWN = "unknown class"
_NO_EDGE = 1e-6  # pixels: what computing an edge may leave of none


@dataclass(frozen=True, eq=False)
class OpenedObjects:
    """Images with their objects.

    Attributes:
        rows: The images that can be used.
        objects: Of each, in pixels of the whole image.
        sizes: Height and width of each.
        classes: Class names in the order of their indices.
        problems: What was wrong with the rest.
    """

    rows: list[Row]
    objects: list[Objects]
    sizes: list[tuple[int, int]]
    classes: tuple[str, ...]
    problems: tuple[Problem, ...]


def open_objects(config: DataConfig, rotated: bool) -> OpenedObjects:
    """Find images with objects, in whatever layout they are.

    Args:
        config: Where they are.
        rotated: The form of the boxes.

    Raises:
        DatasetError: There is no such folder or file, or none of its images can be used.
    """
    return number_objects(find_objects(config, rotated), config)


def number_objects(found: Found, config: DataConfig) -> OpenedObjects:
    """Classes as indices, boxes checked against their images, and what was wrong logged.

    Args:
        found: What the label files say.
        config: `classes`, `ignore` and `smallest`.

    Raises:
        DatasetError: No image can be used, or no object is of a known class.
    """
    classes, index_of, dropped = _classes(found, config)
    opened = OpenedObjects([], [], [], classes, ())
    sizes = image_sizes(found, config)
    for row, said, size in zip(found.rows, found.annotations, sizes, strict=True):
        if size is None:
            continue
        if said.size not in (None, size):
            found.report(
                "image of another size than its labels say",
                row.label or row.where,
                f"{row.name} has {size[0]} x {size[1]} pixels, its labels are of "
                f"{said.size[0]} x {said.size[1]}, left out",
            )
            continue
        opened.rows.append(row)
        opened.sizes.append(size)
        objects = _numbered(said, row, size, index_of, dropped, found)
        opened.objects.append(_ignoring_smaller(objects, config.smallest))
    log_problems(config.path, found.problems)
    if not opened.rows:
        first = f": {found.problems[0]}" if found.problems else ""
        raise DatasetError(
            f"{config.path}: expected images with labelled objects, found none that can be used"
            f"{first}"
        )
    _check_any_known(found, opened, config)
    return OpenedObjects(opened.rows, opened.objects, opened.sizes, classes, tuple(found.problems))


def _classes(found: Found, config: DataConfig) -> tuple[tuple[str, ...], dict[str, int], set[str]]:
    """Class names; the index of each by its name and as files write it; what is left out."""
    ignored = set(map(str, config.ignore))
    codes: dict[str, Codes]
    if isinstance(config.classes, dict):
        codes = dict(config.classes)
    else:
        names: Sequence[str] = config.classes
        if not names:
            found_names = {name for said in found.annotations for name in said.names}
            names = found.classes or sorted(found_names, key=number_first)
            names = [name for name in names if name not in ignored]
            if found_names and not names:
                raise DatasetError(f"{config.path}: every class is one to ignore: ignore fewer")
        codes = {name: name for name in names}
    index_of = {name: index for index, name in enumerate(codes)}
    index_of |= {str(code): index_of[name] for name in codes for code in listed(codes[name])}
    return tuple(codes), index_of, ignored


def _numbered(
    annotations: Annotations,
    row: Row,
    size: tuple[int, int],
    index_of: dict[str, int],
    dropped: set[str],
    found: Found,
) -> Objects:
    """The objects of one image that can be used."""
    where = row.label or row.where
    indices = np.array([index_of.get(name, -1) for name in annotations.names], np.int64)
    unwanted = np.array([name in dropped for name in annotations.names], bool)
    unknown = (indices < 0) & ~unwanted
    finite = np.isfinite(annotations.boxes).all(1)
    empty = ~finite | (_edges(annotations.boxes) <= _NO_EDGE).any(1)
    for at in np.flatnonzero(unknown):
        name = annotations.names[at]
        found.report(
            _UNKNOWN,
            where,
            f"{row.name} has an object of class {name!r}, left out: expected one of "
            f"{', '.join(index_of)}; name it in classes, or in ignore",
        )
    for at in np.flatnonzero(empty & (indices >= 0)):
        found.report(
            "box without area", where, f"{row.name} has the box {_text(annotations.boxes[at])}"
        )
    kept = (indices >= 0) & ~empty
    ids = annotations.ids
    objects = Objects(
        annotations.boxes[kept],
        indices[kept],
        ignored=annotations.ignored[kept],
        ids=None if ids is None else ids[kept],
    )
    return _inside(objects, row, size, where, found)


def _inside(objects: Objects, row: Row, size: tuple[int, int], where: str, found: Found) -> Objects:
    """What of them the image shows; what lies beyond it is reported."""
    height, width = size
    seen, shares = within(objects, 0, 0, width, height)
    became = "cut off at its edge"
    if objects.rotated:  # never cut
        became = f"ignored, as less than {LEAST_SHARE} of it is inside"
    for kind, those, outcome in (
        ("box outside the image", shares == 0, "left out"),
        ("box partly outside the image", _partly_outside(objects, shares, size), became),
    ):
        for at in np.flatnonzero(those):
            box = _text(objects.boxes[at])
            reason = f"{row.name} of {height} x {width} pixels has the box {box}, {outcome}"
            found.report(kind, where, reason)
    return seen


def _partly_outside(objects: Objects, shares: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which reach out of the image so far that it changes them: a mask `(N,)`."""
    height, width = size
    first, last = objects.boxes[:, :2], objects.boxes[:, 2:]
    partly = shares > 0
    if objects.rotated:
        assert objects.ignored is not None
        first = last = objects.boxes[:, :2]  # the centre
        partly &= (shares < LEAST_SHARE) & ~objects.ignored
    beyond = (first < -_ROUNDING) | (last > np.array([width, height]) + _ROUNDING)
    return partly & beyond.any(1)


def _ignoring_smaller(objects: Objects, pixels: float) -> Objects:
    """The same, of which those with a long edge of fewer pixels are ignored."""
    if not pixels:
        return objects
    assert objects.ignored is not None
    small = _edges(objects.boxes).max(axis=1, initial=0) < pixels
    return replace(objects, ignored=objects.ignored | small)


def _check_any_known(found: Found, opened: OpenedObjects, config: DataConfig) -> None:
    """No object at all, where the files tell of some, is a mistake and no background."""
    if any(map(len, opened.objects)):
        return
    names = {name for one in found.annotations for name in one.names}
    if names and not names & {*map(str, config.ignore)} and found.problems:
        known = f"classes {', '.join(opened.classes)}, the files have {', '.join(sorted(names))}"
        unknown = [problem for problem in found.problems if problem.kind == _UNKNOWN]
        cause = (unknown or found.problems)[0]
        raise DatasetError(f"{config.path}: no object can be used ({known}): {cause}")
    if not names and not found.classes:
        first = f": {found.problems[0]}" if found.problems else ""
        raise DatasetError(
            f"{config.path}: expected labelled objects, found none in {len(opened.rows)} images"
            f"{first}"
        )


def _edges(boxes: np.ndarray) -> np.ndarray:
    """`(N, 2)` width and height."""
    return boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]


def _text(box: np.ndarray) -> str:
    return "(" + ", ".join(f"{number:g}" for number in box) + ")"
