"""A CSV file that lists objects, a line each."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ringmoe.boxes import (
    canonical,
    cxcywhr_to_xyxy,
    enclosing,
    quadrilateral_to_cxcywhr,
    xyxy_to_cxcywhr,
)
from ringmoe.datasets.objects.annotations import Annotations, Found, whole_number
from ringmoe.datasets.objects.voc import report_upright
from ringmoe.datasets.table import Row, check_there, csv_lines, part_named
from ringmoe.errors import DatasetError

CLASS_COLUMNS = ("class", "label", "name")
BOX_COLUMNS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"),
    ("cx", "cy", "w", "h", "r"),
)


def read_object_csv(file: Path, rotated: bool) -> Found:
    """The objects that a CSV file with a header lists.

    Columns: `image`, relative to the file's folder; `class`; the edges `xmin, ymin, xmax, ymax`,
    or the corners `x1, y1, ..., x4, y4`, or `cx, cy, w, h, r` as `ringmoe.boxes` has them; and
    optionally `difficult` (not 0: ignored), `id` and `split`. A line with an image alone is one
    without objects.

    Args:
        file: The CSV file, UTF-8.
        rotated: The form of the boxes.

    Raises:
        DatasetError: There is no such file, or a column is missing.
    """
    if not file.is_file():
        raise DatasetError(f"{file}: there is no such file; check data.path")
    found = Found()
    lines: dict[str, list[tuple[np.ndarray, str, bool, int]]] = {}
    parts: dict[str, str] = {}
    columns, listed = csv_lines(file)
    box_columns, class_column = _columns(file, columns)
    for where, given in listed:
        if not given["image"]:
            continue
        image = _path(given["image"])
        objects = lines.setdefault(image, [])
        try:
            part = part_named(given.get("split", ""), str(file))
            if parts.setdefault(image, part) != part:
                found.report("image in two parts", where, f"{image} is taken for {parts[image]}")
            if given[class_column] or any(given[name] for name in box_columns):
                objects.append(_object(given, box_columns, class_column, rotated))
        except (ValueError, DatasetError) as error:
            found.report("line that cannot be read", where, f"{error}, left out")
    if rotated and len(box_columns) == 4:
        report_upright(found, file, sum(map(len, lines.values())))
    for image, objects in lines.items():
        path = image if "://" in image else str(file.parent / image)
        try:
            check_there(path, str(file))
        except DatasetError as error:
            found.report("labels without image", file, str(error))
            continue
        row = Row(image, {"image": path}, str(file), parts.get(image, ""), where=str(file))
        boxes, names, ignored, ids = zip(*objects, strict=True) if objects else ([], [], [], [])
        said = Annotations.of(boxes, names, ignored, rotated, ids if "id" in columns else None)
        found.add(row, said)
    return found


def _path(text: str) -> str:
    """One way to write a path, perhaps of Windows: a/b.png for ./a/b.png too."""
    text = text.replace("\\", "/")
    return text if "://" in text else posixpath.normpath(text)


def _columns(file: Path, columns: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    boxes = next((names for names in BOX_COLUMNS if set(names) <= set(columns)), None)
    name = next((name for name in CLASS_COLUMNS if name in columns), None)
    if "image" not in columns or boxes is None or name is None:
        expected = " or ".join(", ".join(names) for names in BOX_COLUMNS)
        raise DatasetError(
            f"{file}: expected the columns image, class and {expected}, found "
            f"{', '.join(columns) or 'no header'}: name the columns in the first line"
        )
    return boxes, name


def _object(
    given: Mapping[str, str], columns: tuple[str, ...], class_column: str, rotated: bool
) -> tuple[np.ndarray, str, bool, int]:
    numbers = np.array([_number(given, name) for name in columns])
    if not given[class_column]:
        raise ValueError(f"{class_column} is empty")
    ignored = bool(_number(given, "difficult")) if given.get("difficult") else False
    identity = whole_number(given["id"]) if given.get("id") else -1
    if len(numbers) == 8:
        box = quadrilateral_to_cxcywhr(numbers) if rotated else enclosing(numbers)
    elif len(numbers) == 5:
        if min(numbers[2:4]) < 0:
            raise ValueError(f"w and h are {given['w']} and {given['h']}, expected 0 or more")
        box = canonical(numbers) if rotated else cxcywhr_to_xyxy(numbers)
    else:
        box = xyxy_to_cxcywhr(numbers) if rotated else numbers
    return box, given[class_column], ignored, identity


def _number(given: Mapping[str, str], name: str) -> float:
    try:
        return float(given[name])
    except ValueError:
        raise ValueError(f"{name} is {given[name]!r}, expected a number") from None
