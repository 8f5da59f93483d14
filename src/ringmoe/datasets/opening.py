"""`open_data`: the examples that a configuration names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from ringmoe.datasets.class_codes import ClassCodes, Codes, check_each_once, listed, number_first
from ringmoe.datasets.config import DataConfig, ImageFormat
from ringmoe.datasets.folders import read_folders
from ringmoe.datasets.labelled import LabelKind, Source
from ringmoe.datasets.labelled_files import LabelledFiles, open_image, whole_image
from ringmoe.datasets.objects.opening import OpenedObjects, open_objects
from ringmoe.datasets.simulated import is_simulation, read_simulation
from ringmoe.datasets.table import Row, read_csv, windowed_name
from ringmoe.errors import ConfigError, DatasetError, SceneReadError
from ringmoe.scenes import Window

logger = logging.getLogger(__name__)


def open_data(config: DataConfig, kind: LabelKind | None = None) -> LabelledFiles:
    """Find the examples of a configuration; their pixels are read when they are asked for.

    Args:
        config: Where they are, and what they are.
        kind: What the task needs.

    Raises:
        ConfigError: A setting that cannot be meant, or a label of another kind than the task's.
        DatasetError: A file, folder or column is missing, or a class is unknown.
        SceneReadError: An image cannot be opened.
    """
    config.check()
    if config.kind is not None and kind is not None and config.kind != kind:
        raise ConfigError(f"data.kind: expected {kind!r} for this task, got {config.kind!r}")
    kind = config.kind or kind
    if kind is None:
        raise ConfigError(
            f"data.kind: expected one of {', '.join(get_args(LabelKind))}, got nothing"
        )
    if kind in ("boxes", "rotated-boxes"):
        return as_data(open_objects(config, rotated=kind == "rotated-boxes"), config, kind)
    rows, known = _read_rows(config, kind)
    formats = config.formats(rows[0].images)
    class_of, codes, classes = None, None, tuple[str, ...]()
    if kind == "class":
        if config.tile_size:
            raise ConfigError("data.tile_size: a class is of a whole image: expected 0")
        rows, class_of, classes = _classify(rows, config)
    elif kind == "mask":
        codes = ClassCodes.parse(config.classes or known, config.ignore)
        classes = codes.names
    if config.tile_size:
        first, form = next(iter(formats.items()))
        rows = [
            tile
            for row in rows
            for tile in _tiles(
                row, whole_image(open_image(row.images[first], form)), config.tile_size
            )
        ]
    return LabelledFiles(
        kind=kind,
        rows=tuple(rows),
        formats=formats,
        sources=_sources(rows[0], formats),
        classes=classes,
        class_of=class_of,
        codes=codes,
        unknown_heights=_heights(config.ignore) if kind == "height" else (),
        sizes=_sizes(rows, kind),
    )


def as_data(opened: OpenedObjects, config: DataConfig, kind: LabelKind) -> LabelledFiles:
    """Images with objects as examples, where asked cut into tiles."""
    rows, objects = opened.rows, opened.objects
    if config.tile_size:
        tiles = [
            (tile, of)
            for row, of, (height, width) in zip(rows, objects, opened.sizes, strict=True)
            for tile in _tiles(row, Window(0, 0, height, width), config.tile_size)
        ]
        rows, objects = [tile for tile, _ in tiles], [of for _, of in tiles]
    formats = config.formats(rows[0].images)
    return LabelledFiles(
        kind=kind,
        rows=tuple(rows),
        formats=formats,
        sources=_first_sources(rows, formats),
        classes=opened.classes,
        objects=tuple(objects),
        problems=opened.problems,
        sizes=_sizes(rows, kind),
    )


def _sources(row: Row, formats: dict[str, ImageFormat]) -> dict[str, Source]:
    """What the images of an example are."""
    opened = {name: open_image(row.images[name], form) for name, form in formats.items()}
    return {
        name: Source(scene.sensor, scene.channels, formats[name].encoding, formats[name].nodata)
        for name, scene in opened.items()
    }


def _first_sources(rows: Sequence[Row], formats: dict[str, ImageFormat]) -> dict[str, Source]:
    """What the images are, told by the first that can be opened: a damaged one is no end."""
    for row in rows[:-1]:
        try:
            return _sources(row, formats)
        except SceneReadError as error:
            logger.warning("%s", error)
    return _sources(rows[-1], formats)


def _read_rows(config: DataConfig, kind: LabelKind) -> tuple[list[Row], tuple[str, ...]]:
    """The table of what there is, and the classes of its masks where it knows them."""
    if is_simulation(config.path):
        return read_simulation(config.path, kind, config.sensors or {"image": config.sensor})
    read = read_csv if config.path.suffix.lower() == ".csv" else read_folders
    return read(config.path, kind, tuple(config.sensors)), ()


def _classify(rows: Sequence[Row], config: DataConfig) -> tuple[list[Row], np.ndarray, tuple]:
    """The rows that have a class, their classes' indices, and the classes' names."""
    ignored = set(map(str, config.ignore))
    kept = [row for row in rows if row.label not in ignored]
    if len(kept) < len(rows):
        logger.info("%s: %d of %d ignored", config.path, len(rows) - len(kept), len(rows))
    known = config.classes or sorted({row.label for row in kept}, key=number_first)
    codes: dict[str, Codes] = (
        known if isinstance(known, dict) else {name: index for index, name in enumerate(known)}
    )
    check_each_once("code", [str(code) for own in codes.values() for code in listed(own)])
    index_of = {str(c): index for index, own in enumerate(codes.values()) for c in listed(own)}
    index_of |= {name: index for index, name in enumerate(codes)}
    for row in kept:
        if row.label not in index_of:
            raise DatasetError(
                f"{row.where}: {row.name} is of class {row.label!r}: expected one of "
                f"{', '.join(codes)}; name it in classes, or in ignore"
            )
    if not kept:
        raise DatasetError(f"{config.path}: every example has an ignored class: ignore fewer")
    return kept, np.array([index_of[row.label] for row in kept], np.int64), tuple(codes)


def _tiles(row: Row, image: Window, size: int) -> list[Row]:
    """A row's image cut into tiles from the upper left; the last of a row or column may be less."""
    whole = row.window or image
    if whole.height <= size and whole.width <= size:
        return [row]
    windows = [
        Window(r, c, min(size, whole.rows.stop - r), min(size, whole.columns.stop - c))
        for r in range(whole.row, whole.rows.stop, size)
        for c in range(whole.column, whole.columns.stop, size)
    ]
    return [replace(row, name=windowed_name(row.scene, w), window=w) for w in windows]


def _heights(ignore: Sequence[int | str]) -> tuple[float, ...]:
    try:
        return tuple(map(float, ignore))
    except ValueError:
        raise ConfigError(f"data.ignore: expected numbers for heights, got {ignore}") from None


def _sizes(rows: Sequence[Row], kind: LabelKind) -> tuple[int, ...]:
    """Bytes of each row's files; 0 for what is no file on this machine."""
    files = [[*row.images.values(), *([] if kind == "class" else [row.label])] for row in rows]
    size = {name: _bytes(name) for group in files for name in group}
    return tuple(sum(size[name] for name in group) for group in files)


def _bytes(name: str) -> int:
    path = Path(name.rpartition("#")[0] if ".npy#" in name else name)
    return path.stat().st_size if path.is_file() else 0
