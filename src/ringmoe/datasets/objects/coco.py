"""COCO JSON: boxes as left, top, width and height, and outlines as polygons.

Lin et al., ECCV 2014, arXiv:1405.0312; format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ringmoe.datasets.objects.annotations import Found
from ringmoe.datasets.objects.coco_entries import Entry, code_of, read_annotations
from ringmoe.datasets.objects.pairing import part_in
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
    reading = _Reading(root, by_name, rotated, found)
    categories = reading.categories
    for file in files:
        content = _load(file)
        for category in content["categories"]:
            try:
                code, name = code_of(category["id"]), str(category["name"])
            except (KeyError, TypeError):
                reason = f"category {category!r}: no id or name, left out"
                found.report("entry that cannot be read", file, reason)
                continue
            if categories.setdefault(code, name) != name:
                raise DatasetError(
                    f"{file}: category {code} is {name!r}, but {categories[code]!r} before: give "
                    "each its own id, or name one of several files in data.labels"
                )
        reading.read(file, content)
    reading.look_elsewhere()
    for path in images:
        if path not in reading.used:
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


@dataclass(frozen=True, eq=False)
class _Reading:
    """What all files share, and what has been read.

    Attributes:
        root: Names are relative to it.
        by_name: Image files by their name without folders.
        rotated: The form of the boxes.
        found: Where everything goes.
        categories: Id to name.
        used: Images that an entry is of.
        missing: Entries whose image is not where they say, with their file and annotations.
    """

    root: Path
    by_name: dict[str, list[Path]]
    rotated: bool
    found: Found
    categories: dict[str, str] = field(default_factory=dict)
    used: set[Path] = field(default_factory=set)
    missing: list[tuple[Path, Entry, list[Entry]]] = field(default_factory=list)

    def read(self, file: Path, content: dict[str, Any]) -> None:
        """The entries of a file whose images are where they say."""
        things: dict[str, list[Entry]] = {}
        for thing in content["annotations"]:
            key = thing.get("image_id") if isinstance(thing, dict) else None
            things.setdefault(code_of(key), []).append(thing)
        numbers: set[str] = set()
        for image in content["images"]:
            try:
                name, number = str(image["file_name"]), code_of(image["id"])
            except (KeyError, TypeError):
                reason = f"image {image!r}: no file_name or id"
                self.found.report("entry that cannot be read", file, reason)
                continue
            if number in numbers:
                reason = f"{name} has the id {number} of another image, left out"
                self.found.report("two images of one id", file, reason)
                continue
            numbers.add(number)
            mine = things.pop(number, [])
            if matches := _match(name, self.by_name, self.root, part_in(file, self.root)):
                self.add(file, image, matches, mine)
            else:
                self.missing.append((file, image, mine))
        for number, rest in things.items():
            reason = f"{len(rest)} annotations of image {number}, not listed"
            self.found.report("labels without image", file, reason)

    def look_elsewhere(self) -> None:
        """Of the entries that are left those whose image alone has their name, of what is left."""
        alike = Counter((file, _last(image)) for file, image, _ in self.missing)
        for file, image, mine in self.missing:
            paths = [path for path in self.by_name.get(_last(image), []) if path not in self.used]
            paths = _of_part(paths, self.root, part_in(file, self.root))
            if alike[file, _last(image)] > 1:
                paths = []
            if len(paths) == 1:
                reason = f"{image['file_name']} is not there, {paths[0]} is taken for it"
                self.found.report("image in another folder than listed", file, reason)
            self.add(file, image, paths, mine)

    def add(self, file: Path, image: Entry, paths: Sequence[Path], things: list[Entry]) -> None:
        """An entry's image with its objects, if it is one."""
        name = str(image["file_name"])
        if len(paths) != 1:
            said = f"there are {', '.join(map(str, paths))}" if paths else "there is no file"
            self.found.report("labels without image", file, f"{said} {name}")
            return
        (path,) = paths
        if path in self.used:
            reason = f"{name} stands there already, left out"
            self.found.report("image listed twice", file, reason)
            return
        self.used.add(path)
        row = Row(
            name=path.relative_to(self.root).as_posix()
            if path.is_relative_to(self.root)
            else str(path),
            images={"image": str(path)},
            label=str(file),
            part=part_in(path, self.root) or part_in(file, self.root),
            where=str(file),
        )
        objects = read_annotations(things, name, file, self.categories, self.rotated, self.found)
        self.found.add(row, replace(objects, size=_size(image)))


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width, where an entry has both; some write 0 for what they do not know."""
    height, width = image.get("height"), image.get("width")
    if not (isinstance(height, int) and isinstance(width, int)):
        return None
    return (height, width) if height > 0 and width > 0 else None


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


def _names(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files)
