"""Folders of labelled files as the same table of rows that a CSV file gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ringmoe.datasets.config import DATES
from ringmoe.datasets.images import IMAGE_SUFFIXES, class_folders
from ringmoe.datasets.labelled import LabelKind
from ringmoe.datasets.table import PART_NAMES, Row, check_unique
from ringmoe.errors import DatasetError

# What data sets call their folders; the first is what messages and the documentation say.
IMAGE_FOLDERS = ("images", "image", "img_dir", "images_png")
LABEL_FOLDERS = {
    "mask": ("masks", "mask", "labels", "label", "ann_dir", "masks_png"),
    "height": ("heights", "height", "labels", "label"),
}
DATE_FOLDERS = {"before": ("A", "before"), "after": ("B", "after")}


def read_folders(root: Path, kind: LabelKind, image_names: Sequence[str] = ()) -> list[Row]:
    """The rows of a folder in one of the usual layouts.

    - A class an image: `CLASS/*.tif`.
    - A mask or heights an image: `images/` and `masks/` (or `labels/`, `heights/`), files of one
      stem belong together.
    - Two dates: `A/` and `B/` (or `before/`, `after/`) and `label/`.
    - Several modalities: a folder each, by its name, and `masks/`.

    Each may lie in `train/`, `val/`, `test/`, or hold these.

    Args:
        root: The folder.
        kind: What a label is.
        image_names: The images to expect; none: one "image", or "before" and "after" where their
            folders are.

    Raises:
        DatasetError: No folder is of such a layout, or a file lacks its partner.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: there is no such folder; check data.path")
    rows = _classes(root) if kind == "class" else _pairs(root, kind, tuple(image_names))
    check_unique(rows)
    return rows


def _classes(root: Path) -> list[Row]:
    parts = [folder for folder in sorted(root.iterdir()) if _part(folder)]
    rows = []
    for base in parts or [root]:
        found = class_folders(base, "")
        rows += [
            Row(
                name=path.relative_to(root).as_posix(),
                images={"image": str(path)},
                label=found.classes[label],
                part=_part(base) if parts else "",
                where=str(path.parent),
            )
            for path, label in zip(found.paths, found.labels, strict=True)
        ]
    return rows


def _part(folder: Path) -> str:
    """The part that a folder is by its name, "" for none."""
    return PART_NAMES.get(folder.name.lower(), "") if folder.is_dir() else ""


def _pairs(root: Path, kind: LabelKind, image_names: tuple[str, ...]) -> list[Row]:
    roles = _image_roles(root, image_names)
    images = {name: _files(root, folders) for name, folders in roles.items()}
    labels = _files(root, LABEL_FOLDERS[kind])
    for what, folders, found in (
        *((name, roles[name], images[name]) for name in roles),
        (kind, LABEL_FOLDERS[kind], labels),
    ):
        if not found:
            raise DatasetError(
                f"{root}: expected a folder {folders[0]}/ with the {what} files "
                f"(or {', '.join(folders[1:]) or 'a CSV file that lists them'}), found none: "
                "rename the folder, or list the files in a CSV"
            )
    first = next(iter(images))
    _check_partners(root, {**images, kind: labels}, first)
    return [
        Row(
            name=path.relative_to(root).as_posix(),
            images={name: str(files[key]) for name, files in images.items()},
            label=str(labels[key]),
            part=key[0],
            where=str(path.parent),
        )
        for key, path in images[first].items()
    ]


def _image_roles(root: Path, image_names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Image name to what its folder may be called."""
    known = {"image": IMAGE_FOLDERS, **DATE_FOLDERS}
    if not image_names:
        dated = all(_files(root, DATE_FOLDERS[date]) for date in DATES)
        image_names = DATES if dated else ("image",)
    return {name: known.get(name, (name,)) for name in image_names}


def _files(root: Path, names: Sequence[str]) -> dict[tuple[str, str], Path]:
    """(part, stem) to file, of the folders of these names inside or around parts, in order."""
    parts = {folder: _part(folder) for folder in sorted(root.iterdir()) if _part(folder)}
    places: dict[Path, str] = {}
    for name in names:
        places[root / name] = ""
        places |= {folder / name: part for folder, part in parts.items()}
        places |= {f: _part(f) for f in sorted((root / name).glob("*")) if _part(f)}
    found: dict[tuple[str, str], Path] = {}
    for place, part in places.items():
        for path in sorted(place.glob("[!.]*")):
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if (other := found.setdefault((part, path.stem), path)) != path:
                raise DatasetError(
                    f"{path}: {other} has the same name: rename one, or list the files in a CSV"
                )
    return found


def _check_partners(
    root: Path, roles: Mapping[str, Mapping[tuple[str, str], Path]], first: str
) -> None:
    """Raise unless every file of a role has one of the same stem in each other role."""
    for name, files in roles.items():
        for lacking, here, there in ((name, roles[first], files), (first, files, roles[first])):
            alone = next((key for key in here if key not in there), None)
            if alone is not None:
                raise DatasetError(
                    f"{here[alone]}: has no {lacking} file of the same name ({alone[1]}.*) below "
                    f"{root}: add it, move the file away, or list the files in a CSV"
                )
