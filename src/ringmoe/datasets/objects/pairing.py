"""Files that belong together by their names: images, and a label file for each."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ringmoe.datasets.images import IMAGE_SUFFIXES
from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.table import PART_NAMES, Row
from ringmoe.errors import DatasetError

logger = logging.getLogger(__name__)

_FLAG = re.compile(r"\s+(-1|0|1)$")  # of VOC's lists of a class


class LabelFileError(Exception):
    """A label file says nothing that can be understood; the message says why."""


@dataclass(frozen=True)
class Files:
    """Where images and their labels lie.

    Attributes:
        root: Names are relative to it.
        images: All images.
        labels: Label files; one belongs to the image of the same stem.
        part_of: Stem to "train", "validation" or "test", where lists say so.
        parted: Whether the names of folders tell the parts too.
    """

    root: Path
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    part_of: dict[str, str]
    parted: bool = True


def read_pairs(
    files: Files, found: Found, read: Callable[[Path, Found], Annotations], suffix: str = ""
) -> Found:
    """The objects of every image that has a label file; what lacks its partner is reported.

    Args:
        files: Images and label files.
        found: Where everything goes.
        read: What a label file says; raises `LabelFileError` where that is nothing.
        suffix: What the stem of a label file has after that of its image.
    """
    images = _by_stem(files, files.images, "", found)
    labels = _by_stem(files, files.labels, suffix, found)
    of_stem = defaultdict(list)
    for key in images:
        of_stem[key[1]].append(key)
    named: set[tuple[str, str]] = set()  # images that a label file may be of
    for (part, stem), label in labels.items():
        own = [key for key in ((part, stem), ("", stem)) if key in images][:1]
        if not own and not part:  # labels lie together, images in their parts
            own = of_stem[stem]
        named.update(own)
        if len(own) != 1:
            what = f"several images are called {stem}.*" if own else f"there is no image {stem}.*"
            found.report("label file without image", label, what)
            continue
        part, image = part or own[0][0], images[own[0]]
        try:
            said = read(label, found)
        except (LabelFileError, OSError, UnicodeDecodeError) as error:
            found.report("label file that cannot be read", label, str(error))
            continue
        part = files.part_of.get(stem, part)
        found.add(_row(files.root, image, label, part), said)
    for key, image in images.items():
        if key not in named:
            reason = f"there is no label file {key[1]}{suffix}.*"
            found.report("image without labels", image, reason)
    return found


def _row(root: Path, image: Path, label: Path, part: str) -> Row:
    return Row(
        name=image.relative_to(root).as_posix() if image.is_relative_to(root) else str(image),
        images={"image": str(image)},
        label=str(label),
        part=part,
        where=str(label),
    )


def _by_stem(
    files: Files, paths: Iterable[Path], suffix: str, found: Found
) -> dict[tuple[str, str], Path]:
    """(part, stem) to file. SSDD has all files twice: together, and again in their parts."""
    known: dict[tuple[str, str], Path] = {}
    for path in paths:
        part = part_in(path, files.root) if files.parted else ""
        key = part, path.stem.removesuffix(suffix)
        if (other := known.setdefault(key, path)) != path:
            found.report("two files of one name", path, f"left out, as {other} has the same name")
    parted = {stem for part, stem in known if part}
    return {key: path for key, path in known.items() if key[0] or key[1] not in parted}


def part_in(path: Path, root: Path) -> str:
    """The part that a file is in by the folders below the root, and by a `.json` file's name."""
    inside = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    names = [*inside.parts[:-1], *([inside.stem] if path.suffix == ".json" else [])]
    words = (word for name in names for word in re.split(r"[^a-z]+", name.lower()))
    return next((PART_NAMES[word] for word in words if PART_NAMES.get(word)), "")


def read_part_lists(folder: Path) -> dict[str, str]:
    """Stem to part of the lists train.txt, val.txt and test.txt in a folder, a name a line.

    What two lists name is of the first by name: of the test before that of training.
    """
    part_of: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt")):
        part = PART_NAMES.get(path.stem.lower())
        if not part:
            continue
        named = dict.fromkeys(read_names(path), part)
        if twice := [name for name in named if part_of.get(name, part) != part]:
            logger.warning(
                "%s: %d names stand in the list of another part, first %s (%s)",
                *(path, len(twice), twice[0], part_of[twice[0]]),
            )
        part_of = named | part_of
    return part_of


def read_names(file: Path) -> list[str]:
    """The stems of a list of files, a name or path a line, as of VOC perhaps with 1, 0 or -1.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}: cannot be read as a list of names ({error})") from None
    words = (_FLAG.sub("", line.strip()) for line in lines if line.strip())
    return [_stem(word.replace("\\", "/").rpartition("/")[2]) for word in words]


def _stem(name: str) -> str:
    return Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES | {".xml"} else name
