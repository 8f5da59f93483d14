"""Image files with one class each: a folder per class, or a list of paths and labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ringmoe.errors import DatasetError, ShapeError
from ringmoe.scenes import open_scene

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".npy", ".png", ".tif", ".tiff"})


def images_in(folder: Path) -> list[Path]:
    """The image files right in a folder, by name; hidden ones are none."""
    return [path for path in sorted(folder.glob("[!.]*")) if path.suffix.lower() in IMAGE_SUFFIXES]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Image files of one sensor, each with one class.

    Attributes:
        paths: The files, in a fixed order.
        labels: `(N,)` int64, indices into `classes`.
        classes: Class names.
        sensor: A name of the sensor catalogue: what the files hold.
        bands: What each band of a file is, in file order; None for the sensor's own order.
    """

    paths: tuple[Path, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    sensor: str
    bands: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.paths) != len(self.labels):
            raise ShapeError(f"{len(self.paths)} image files but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, chosen: np.ndarray) -> LabelledImages:
        """The images at those indices (int), or where a mask (bool) is true."""
        where = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return replace(self, paths=tuple(self.paths[i] for i in where), labels=self.labels[where])

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """All images as they are in the files, for sets that fit in memory.

        Returns:
            Digital values `(N, C, H, W)` and validity `(N, 1, H, W)` bool.

        Raises:
            ShapeError: The files are not all of one size.
            SceneReadError: A file cannot be read.
        """
        values: list[np.ndarray] = []
        valid: list[np.ndarray] = []
        for path in self.paths:
            digital, known = open_scene(path, self.sensor, bands=self.bands).read_digital()
            if values and digital.shape != values[0].shape:
                raise ShapeError(
                    f"{path} is {digital.shape} but {self.paths[0]} is {values[0].shape}: "
                    "resize or pad the files to one size first"
                )
            values.append(digital)
            valid.append(known[None])
        return np.stack(values), np.stack(valid)


def class_folders(root: Path, sensor: str, *, bands: Sequence[str] | None = None) -> LabelledImages:
    """A folder per class, classes by name, files inside a class by number (`x_2` before `x_10`).

    Args:
        root: Holds one folder per class; folders and files whose names start with a dot and
            files that are no images (by suffix) are passed over.
        sensor: A name of the sensor catalogue.
        bands: What each band of a file is, in file order.

    Raises:
        DatasetError: `root` has no class folder with an image in it.
    """
    paths: list[Path] = []
    labels: list[int] = []
    classes: list[str] = []
    folders = sorted(f for f in Path(root).glob("[!.]*") if f.is_dir())
    for folder in folders:
        files = [f for f in folder.glob("[!.]*") if f.suffix.lower() in IMAGE_SUFFIXES]
        if not files:
            continue
        paths += sorted(files, key=_by_number)
        labels += [len(classes)] * len(files)
        classes.append(folder.name)
    if not paths:
        raise DatasetError(f"{root}: expected one folder of images per class, found none")
    return LabelledImages(
        tuple(paths), np.array(labels, np.int64), tuple(classes), sensor, _tuple(bands)
    )


def list_file(
    file: Path,
    root: Path,
    sensor: str,
    *,
    classes: Sequence[str] | None = None,
    bands: Sequence[str] | None = None,
) -> LabelledImages:
    """A text file with `PATH LABEL` on each line, the label a number from 0.

    Args:
        file: The list; paths are relative to `root` and may have been written on Windows, with
            backslashes.
        root: The folder of the images.
        sensor: A name of the sensor catalogue.
        classes: Names of the classes 0, 1, ...; the numbers themselves for None.
        bands: What each band of a file is, in file order.

    Raises:
        DatasetError: A line is not `PATH LABEL`, a label has no class, or an image is absent.
    """
    file, root = Path(file), Path(root)
    if not file.is_file():
        raise DatasetError(f"{file}: no such list of images")
    paths, labels = [], []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        path = root / name.strip().replace("\\", "/")
        if not name or not label.isdigit():
            raise DatasetError(f"{file}, line {number}: expected 'PATH LABEL', found {line!r}")
        if not path.is_file():
            raise DatasetError(f"{file}, line {number}: no image {path}")
        paths.append(path)
        labels.append(int(label))
    if not paths:
        raise DatasetError(f"{file}: lists no image")
    names = tuple(map(str, range(max(labels) + 1))) if classes is None else tuple(classes)
    if max(labels) >= len(names):
        raise DatasetError(f"{file}: label {max(labels)} but {len(names)} classes are named")
    return LabelledImages(tuple(paths), np.array(labels, np.int64), names, sensor, _tuple(bands))


def position_in_class(labels: np.ndarray) -> np.ndarray:
    """How many images of the same class stand before each one, `(N,)`.

    Splits are written with it: the first 50 of each class, every tenth of each class.
    """
    position = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = labels == label
        position[members] = np.arange(members.sum())
    return position


def _by_number(path: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
