"""Files that belong together by their names: images, and a label file for each."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ringmoe.datasets.images import IMAGE_SUFFIXES
from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.table import PART_NAMES, Row
from ringmoe.errors import DatasetError

logger = logging.getLogger(__name__)

Parted = tuple[str, Path]  # part and file

_FLAG = re.compile(r"\s+(-1|0|1)$")  # of VOC's lists of a class


class LabelFileError(Exception):
    """A label file says nothing that can be understood; the message says why."""


@dataclass(frozen=True)
class Files:
    """Where images and their labels lie.

    Attributes:
        root: Names are relative to it.
        images: All images.
        labels: Label files; one belongs to the image of the same stem, of several to that whose
            folders have names of its own.
        parted: Whether the names of folders tell the parts too.
    """

    root: Path
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
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
    label_of: dict[Path, Path] = {}
    doubtful: set[Path] = set()  # images that a label file may be of
    for stem, alike in labels.items():
        for part, label in alike:
            own = _images_of(label, part, images.get(stem, []), files.root)
            if len(own) == 1 and not _is_nearest(label, alike, own[0][1], files.root):
                own = []
            if len(own) != 1:
                doubtful.update(image for _, image in own)
                found.report("label file without image", label, _which(stem, own))
                continue
            ((of_image, image),) = own
            if (other := label_of.setdefault(image, label)) != label:
                raise DatasetError(
                    f"{files.root}: {other} and {label} label the same image: name the folder of "
                    "one as data.labels"
                )
            try:
                said = read(label, found)
            except (LabelFileError, OSError, UnicodeDecodeError) as error:
                found.report("label file that cannot be read", label, str(error))
                continue
            found.add(_row(files.root, image, label, part or of_image), said)
    for stem, alike in images.items():
        for _, image in alike:
            if image not in label_of and image not in doubtful:
                reason = f"there is no label file {stem}{suffix}.*"
                found.report("image without labels", image, reason)
    return found


def _images_of(label: Path, part: str, alike: list[Parted], root: Path) -> list[Parted]:
    """Of images with a label file's stem those of its part; of these the ones nearest to it."""
    own = [one for one in alike if one[0] == part] or [one for one in alike if not one[0]]
    if not own and not part:  # labels lie together, images in their parts
        own = alike
    shared = [_shared(label, image, root) for _, image in own]
    return [one for one, count in zip(own, shared, strict=True) if count == max(shared)]


def _is_nearest(label: Path, alike: list[Parted], image: Path, root: Path) -> bool:
    """Whether no other label file with its stem is nearer to an image."""
    return _shared(label, image, root) == max(_shared(other, image, root) for _, other in alike)


def _shared(label: Path, image: Path, root: Path) -> int:
    """Names of folders that both are in."""
    return len(_folders(label, root) & _folders(image, root))


def _which(stem: str, own: list[Parted]) -> str:
    if not own:
        return f"there is no image {stem}.*"
    return (
        f"several images are called {stem}.* ({own[0][1]}, {own[1][1]}): keep its image in a "
        "folder of the same name, or rename them"
    )


def _folders(file: Path, root: Path) -> set[str]:
    """The names of the folders that a file is in, below the root."""
    return set(file.relative_to(root).parts[:-1] if file.is_relative_to(root) else ())


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
) -> dict[str, list[Parted]]:
    """Stem to files. SSDD has all files twice: together, and again in their parts."""
    known: dict[tuple[Path, str], Path] = {}
    alike: dict[str, list[Parted]] = {}
    for path in paths:
        stem = path.stem.removesuffix(suffix)
        if (other := known.setdefault((path.parent, stem), path)) != path:
            found.report("two files of one name", path, f"left out, as {other} has the same name")
            continue
        part = part_in(path, files.root) if files.parted else ""
        alike.setdefault(stem, []).append((part, path))
    return {stem: [one for one in ones if one[0]] or ones for stem, ones in alike.items()}


def part_in(path: Path, root: Path) -> str:
    """The part that a file is in by the folders below the root, and by a `.json` file's name."""
    inside = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    names = [*inside.parts[:-1], *([inside.stem] if path.suffix == ".json" else [])]
    words = (word for name in names for word in re.split(r"[^a-z]+", name.lower()))
    return next((PART_NAMES[word] for word in words if PART_NAMES.get(word)), "")


def take_part_lists(found: Found, folders: Iterable[Path]) -> None:
    """Move images to the parts that lists name them in; what lacks its partner is reported."""
    part_of: dict[str, str] = {}
    for folder in folders:
        part_of |= read_part_lists(folder)
    if not part_of:
        return
    stems = [Path(next(iter(row.images.values()))).stem for row in found.rows]
    for place, (row, stem) in enumerate(zip(found.rows, stems, strict=True)):
        found.rows[place] = row = replace(row, part=part_of.get(stem, row.part))
        if not row.part:
            reason = f"no list of a part has {row.name}: it is in none"
            found.report("image in no part", row.where, reason)
    for stem in part_of.keys() - set(stems):
        reason = f"the list of the {part_of[stem]} part has it, but it is no labelled image"
        found.report("listed image that is not there", stem, reason)


def read_part_lists(folder: Path) -> dict[str, str]:
    """Stem to part of the lists train.txt, val.txt and test.txt in a folder, a name a line.

    What two lists name is of the first by name: of the test before that of training. Training too
    is what trainval.txt alone has.
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
    rest = folder / "trainval.txt"
    return (dict.fromkeys(read_names(rest), "train") if rest.is_file() else {}) | part_of


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
