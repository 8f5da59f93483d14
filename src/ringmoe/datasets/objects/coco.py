"""COCO JSON: boxes as left, top, width and height, and outlines as polygons.

Lin et al., ECCV 2014, arXiv:1405.0312; format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.boxes import polygon_to_cxcywhr, xyxy_to_cxcywhr
from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.objects.pairing import part_in
from ringmoe.datasets.objects.voc import report_upright
from ringmoe.datasets.table import Row
from ringmoe.errors import DatasetError


def read_coco(root: Path, files: Sequence[Path], images: Sequence[Path], rotated: bool) -> Found:
    """The objects of the images that JSON files list.

    An image without annotations has no objects. Crowds are ignored. A rotated box is the smallest
    rectangle around an object's polygons.

    Args:
        root: Names are relative to it.
        files: JSON files; train, val or test in a name is the part of what it lists.
        images: Image files; one belongs to an entry whose `file_name` is the end of its path, or
            to the only one with its name in another folder, which is reported.
        rotated: The form of the boxes.

    Raises:
        DatasetError: A file is no COCO JSON, or two of them number the classes differently.
    """
    found = Found()
    by_name: dict[str, list[Path]] = {}
    for path in images:
        by_name.setdefault(_plain(path.name), []).append(path)
    categories: dict[str, str] = {}
    used: set[Path] = set()
    for file in files:
        content = _load(file)
        for category in content["categories"]:
            try:
                code, name = _code(category["id"]), str(category["name"])
            except (KeyError, TypeError):
                reason = f"category {category!r}: no id or name, left out"
                found.report("entry that cannot be read", file, reason)
                continue
            if categories.setdefault(code, name) != name:
                raise DatasetError(
                    f"{file}: category {code} is {name!r}, but {categories[code]!r} before: give "
                    "each its own id, or name one of several files in data.labels"
                )
        _read_file(file, content, root, by_name, categories, used, rotated, found)
    for path in images:
        if path not in used:
            found.report("image without labels", path, f"{_names(files)} does not list it")
    found.classes = tuple(categories.values())
    return found


def is_coco(file: Path) -> bool:
    """Whether a JSON file's beginning looks like COCO's: it may be hundreds of megabytes."""
    try:
        with open(file, encoding="utf-8") as handle:
            start = handle.read(2**16)
    except (OSError, UnicodeDecodeError):
        return False
    return any(f'"{key}"' in start for key in ("images", "annotations", "categories"))


def _load(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        content["categories"] = content.get("categories") or []
        if all(isinstance(content[name], list) for name in ("images", "annotations", "categories")):
            return content
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(
            f"{file}: expected COCO JSON with images and annotations, found none ({error!r})"
        ) from None
    raise DatasetError(f"{file}: expected COCO JSON with lists of images, annotations, categories")


def _read_file(
    file: Path,
    content: dict[str, Any],
    root: Path,
    by_name: dict[str, list[Path]],
    categories: dict[str, str],
    used: set[Path],
    rotated: bool,
    found: Found,
) -> None:
    things: dict[str, list[dict[str, Any]]] = {}
    for thing in content["annotations"]:
        key = thing.get("image_id") if isinstance(thing, dict) else None
        things.setdefault(_code(key), []).append(thing)
    numbers: set[str] = set()
    listed = Counter(_last(image) for image in content["images"])
    for image in content["images"]:
        try:
            name, number = str(image["file_name"]), _code(image["id"])
        except (KeyError, TypeError):
            found.report("entry that cannot be read", file, f"image {image!r}: no file_name or id")
            continue
        if number in numbers:
            reason = f"{name} has the id {number} of another image, left out"
            found.report("two images of one id", file, reason)
            continue
        numbers.add(number)
        mine = things.pop(number, [])
        matches = _match(name, by_name, root, part_in(file, root))
        if not matches and listed[_last(image)] == 1:
            matches = _of_part(by_name.get(_last(image), []), root, part_in(file, root))
            if len(matches) == 1 and matches[0] not in used:
                reason = f"{name} is not there, {matches[0]} is taken for it"
                found.report("image in another folder than listed", file, reason)
        if len(matches) != 1:
            said = f"there are {', '.join(map(str, matches))}" if matches else "there is no file"
            found.report("labels without image", file, f"{said} {name}")
            continue
        (path,) = matches
        if path in used:
            found.report("image listed twice", file, f"{name} stands there already, left out")
            continue
        used.add(path)
        row = Row(
            name=path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path),
            images={"image": str(path)},
            label=str(file),
            part=part_in(path, root) or part_in(file, root),
            where=str(file),
        )
        objects = _annotations(mine, name, file, categories, rotated, found)
        found.add(row, replace(objects, size=_size(image)))
    for number, rest in things.items():
        found.report(
            "labels without image", file, f"{len(rest)} annotations of image {number}, not listed"
        )


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width, where an entry has both; some write 0 for what they do not know."""
    height, width = image.get("height"), image.get("width")
    if not (isinstance(height, int) and isinstance(width, int)):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _code(number: Any) -> str:
    """An id: 1 and 1.0 are the same."""
    return str(int(number) if isinstance(number, float) and number.is_integer() else number)


def _plain(name: str) -> str:
    """A file's name with accented letters as one character; macOS writes two."""
    return unicodedata.normalize("NFC", name)


def _last(image: Any) -> str:
    """The name of an entry's file without its folders."""
    name = image.get("file_name", "") if isinstance(image, dict) else ""
    return _plain(str(name).replace("\\", "/").rpartition("/")[2])


def _match(name: str, by_name: dict[str, list[Path]], root: Path, part: str) -> list[Path]:
    """The file that an entry means: its folders agree, and of several its part."""
    name = _plain(name.replace("\\", "/"))
    paths = by_name.get(name.rpartition("/")[2], [])
    paths = [p for p in paths if _plain(p.as_posix()).endswith("/" + name.lstrip("./"))]
    return _of_part(paths, root, part)


def _of_part(paths: list[Path], root: Path, part: str) -> list[Path]:
    return [path for path in paths if part_in(path, root) == part] or paths


def _annotations(
    things: list[dict[str, Any]],
    image: str,
    file: Path,
    categories: dict[str, str],
    rotated: bool,
    found: Found,
) -> Annotations:
    boxes, names, ignored, upright = [], [], [], 0
    for thing in things:
        try:
            code = _code(thing["category_id"])
            polygons = _polygons(thing) if rotated else []
            if polygons:
                boxes.append(polygon_to_cxcywhr(np.concatenate(polygons)))
            else:
                left, top, width, height = _edges(thing["bbox"])
                box = np.array([left, top, left + width, top + height])
                boxes.append(xyxy_to_cxcywhr(box) if rotated else box)
                upright += rotated
        except (KeyError, TypeError, ValueError) as error:
            what = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
            reason = f"annotation of {image}: {what}, left out"
            found.report("entry that cannot be read", file, reason)
            continue
        names.append(categories.get(code, code))
        ignored.append(any(str(thing.get(key) or 0) != "0" for key in ("iscrowd", "ignore")))
    if upright:
        report_upright(found, file, upright)
    return Annotations.of(boxes, names, ignored, rotated)


def _edges(bbox: Any) -> list[float]:
    """Left, top, width and height."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox is {bbox!r}, expected four numbers")
    return [float(number) for number in bbox]


def _polygons(thing: dict[str, Any]) -> list[np.ndarray]:
    """`(N, 2)` points each; a run-length mask (of crowds) is no polygon."""
    outline = thing.get("segmentation")
    if not isinstance(outline, list):
        return []
    rings = [outline] if outline and not isinstance(outline[0], list) else outline
    polygons = [np.array(ring, np.float64).reshape(-1, 2) for ring in rings if len(ring) >= 6]
    if not all(np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError("a polygon has a corner that is no number")
    return polygons


def _names(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files)
