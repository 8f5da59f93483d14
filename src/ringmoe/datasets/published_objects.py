"""Published benchmarks of objects as data, from the archives of their authors.

    parts = published("DIOR-R", "DIOR")      # {"train": ..., "validation": ..., "test": ...}

What there is stands in `ringmoe.datasets.objects.benchmarks`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ringmoe.datasets.config import DataConfig
from ringmoe.datasets.images import IMAGE_SUFFIXES
from ringmoe.datasets.labelled import LabelKind
from ringmoe.datasets.labelled_files import LabelledFiles
from ringmoe.datasets.objects.annotations import Found
from ringmoe.datasets.objects.benchmarks import BENCHMARKS, ObjectBenchmark, Part
from ringmoe.datasets.objects.coco import read_coco
from ringmoe.datasets.objects.dota import read_dota
from ringmoe.datasets.objects.mot import read_mot
from ringmoe.datasets.objects.opening import number_objects
from ringmoe.datasets.objects.pairing import Files, read_names
from ringmoe.datasets.objects.voc import read_voc
from ringmoe.datasets.opening import as_data
from ringmoe.errors import ConfigError, DatasetError
from ringmoe.scenes.gdal import open_gdal


def published(
    name: str, root: str | Path, kind: LabelKind | None = None, *, tile_size: int = 0
) -> dict[str, LabelledFiles]:
    """The parts of a published benchmark with public labels.

    Args:
        name: One of `BENCHMARKS`.
        root: Where its archives were unpacked.
        kind: "boxes" or "rotated-boxes"; None for what the benchmark is known for.
        tile_size: Cut images into tiles of at most so many pixels a side; 0 takes them whole.

    Returns:
        "train" and, where there are, "validation" and "test".

    Raises:
        ConfigError: There is no such benchmark, or it has no such boxes.
        DatasetError: A folder or list is missing, or a part has no usable image.
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"no benchmark {name!r}: expected one of {', '.join(BENCHMARKS)}")
    benchmark, root = BENCHMARKS[name], Path(root)
    wanted = next(iter(benchmark.forms)) if kind is None else kind
    if wanted not in benchmark.forms:
        raise ConfigError(f"{name}: has {' and '.join(benchmark.forms)}, got kind {kind!r}")
    parts = {}
    for part, place in benchmark.parts.items():
        found = _read(benchmark, place, root, wanted)
        if not found.rows:
            first = f": {found.problems[0]}" if found.problems else ""
            raise DatasetError(f"{root}: no labelled image in the {part} part of {name}{first}")
        config = DataConfig(
            path=root,
            sensor=benchmark.sensor,
            bands=_bands(benchmark.sensor, found),
            classes=dict(benchmark.classes),
            tile_size=tile_size,
        )
        parts[part] = as_data(number_objects(found, config), config, wanted)
    return parts


def _read(benchmark: ObjectBenchmark, part: Part, root: Path, kind: LabelKind) -> Found:
    form, rotated = benchmark.forms[kind], kind == "rotated-boxes"
    folder = _there(root, (part.images,), form)
    labels = _there(root, part.labels, form)
    if benchmark.format == "MOT":
        sequences = sorted(file.parent.parent for file in labels.glob("*/gt/gt.txt"))
        return read_mot(root, sequences, rotated)
    images = _files(folder, IMAGE_SUFFIXES, deep=benchmark.format == "DOTA")
    if benchmark.format == "COCO":
        found = read_coco(root, [labels], images, rotated)
        # The folder has the images of all parts: those of another are not amiss.
        found.problems = [p for p in found.problems if p.kind != "image without labels"]
        return found
    listed = _there(root, (part.names,), "") if part.names else None
    names = None if listed is None else read_names(listed)
    files = _of_part(root, names, images, _files(labels, {".xml", ".txt"}))
    if benchmark.format == "DOTA":
        return read_dota(files, rotated)
    found = read_voc(
        files, rotated, class_tag=benchmark.class_tag, first_pixel=benchmark.first_pixel
    )
    if listed is not None and names is not None:
        _report_lacking(listed, names, files, found)
    return _renamed(found, benchmark)


def _there(root: Path, places: tuple[str, ...], form: str) -> Path:
    """The first of some places that there is."""
    paths = [root / place.format(form) for place in places]
    for path in paths:
        if path.exists():
            return path
    raise DatasetError(f"{paths[0]}: there is no such file or folder: unpack the archives there")


def _files(
    folder: Path, suffixes: set[str] | frozenset[str], *, deep: bool = False
) -> tuple[Path, ...]:
    """Those in a folder; `deep`: also in the folders in it that archives of several parts make."""
    paths = sorted(folder.rglob("*") if deep else folder.glob("*"))
    return tuple(
        path
        for path in paths
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _of_part(
    root: Path, names: list[str] | None, images: tuple[Path, ...], labels: tuple[Path, ...]
) -> Files:
    """Only what the part's list names; without one, the labels of the part's images."""
    if names is not None:
        wanted = set(names)
        images = tuple(path for path in images if path.stem in wanted)
        labels = tuple(path for path in labels if path.stem in wanted)
    return Files(root, images, labels, parted=False)


def _report_lacking(listed: Path, names: list[str], files: Files, found: Found) -> None:
    """Say what a list names and neither an image nor a label file is called."""
    there = {path.stem for path in (*files.images, *files.labels)}
    for name in names:
        if name not in there:
            reason = f"it lists {name}, of which there is neither image nor labels"
            found.report("listed image that is not there", listed, reason)


def _renamed(found: Found, benchmark: ObjectBenchmark) -> Found:
    """Classes as the table has them: of one name, or with the table's capitals."""
    known = {name.lower(): name for name in benchmark.classes.values()}
    for index, said in enumerate(found.annotations):
        if benchmark.one_class:
            names = (benchmark.one_class,) * len(said.names)
        else:
            names = tuple(known.get(name.lower(), name) for name in said.names)
        found.annotations[index] = replace(said, names=names)
    return found


def _bands(sensor: str, found: Found) -> list[str]:
    """SAR amplitudes of unknown polarisation, which JPEG may have three times."""
    if not sensor.startswith("sar"):
        return []
    count = open_gdal(next(iter(found.rows[0].images.values()))).count
    return ["unknown", *["-"] * (count - 1)]
