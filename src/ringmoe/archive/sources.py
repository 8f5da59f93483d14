"""Which files the sources of an ingest stand for."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path, PurePosixPath

from ringmoe.archive.source import Source
from ringmoe.archive.tiling import held_out_images
from ringmoe.errors import ConfigError, SceneReadError
from ringmoe.scenes.gdal import is_remote
from ringmoe.sensors import get_sensor

IMAGE_SUFFIXES = frozenset(
    {".tif", ".tiff", ".jp2", ".vrt", ".img", ".png", ".jpg", ".jpeg", ".npy"}
)
SIMULATION_MANIFEST = "simulation.json"


@dataclass(frozen=True)
class SourceFile:
    """One scene to ingest.

    Attributes:
        name: Its path as provenance: relative to the ingest's root.
        path: Where it is.
        source: How to read and cut it.
        place: What it shows: scenes of the same place are held out alike.
        holdout: 1 to hold it out whole, 0 to train on it whole, between to hold out a part of it.
    """

    name: str
    path: str
    source: Source
    place: str
    holdout: float


def list_files(
    sources: Sequence[Source], root: Path, holdout: float, seed: int
) -> list[SourceFile]:
    """All scenes of the sources, in a fixed order, each with how much of it is held out.

    Where a source shows several places, whole ones are held out; of a single one, a part.

    Raises:
        SceneReadError: A path or pattern fits no file.
        ConfigError: A source without a sensor, or a file list without its one folder.
    """
    files: list[SourceFile] = []
    for source in _with_simulations_opened(sources, root):
        _check_names(source)
        share = holdout if source.holdout is None else source.holdout
        names = list(_names(source, root))
        places = [_place(name, source) for name in names]
        several = len(set(places)) > 1
        held = held_out_images(places, share, seed) if several else set()
        for name, place in zip(names, places, strict=True):
            part = float(place in held) if several else share
            where = name if is_remote(name) else str(root / name)
            files.append(SourceFile(name, where, source, place, part))
    return files


def _check_names(source: Source) -> None:
    """Refuse a misspelt name once, instead of with every file.

    Raises:
        ConfigError: No sensor, or an encoding that it lacks.
        UnknownSensorError: The catalogue has no such sensor.
        UnknownChannelError: The sensor has no such channel.
    """
    if not source.sensor:
        raise ConfigError(
            f"{', '.join(source.paths)}: which sensor? Give --sensor NAME, or `sensor:` in the "
            "configuration"
        )
    sensor = get_sensor(source.sensor)
    sensor.encoding(source.encoding)
    sensor.select(source.channels)


def _place(name: str, source: Source) -> str:
    file, _ = split_date(name)
    return str(PurePosixPath(file).parent) if source.group == "folder" else file


def _names(source: Source, root: Path) -> Iterator[str]:
    """The scenes of a source, relative to the root, in natural order within each pattern."""
    if source.file_list is not None:
        found = _listed(source, root)
    else:
        found = [name for path in source.paths for name in _fitting(path, root)]
    kept = (n for n in found if not any(fnmatch(Path(n).name, p) for p in source.exclude))
    for _, group in groupby(kept, key=lambda name: str(Path(name).parent)):
        yield from list(group)[: source.per_folder]


def _fitting(path: str, root: Path) -> list[str]:
    """The scenes that one path or pattern stands for.

    Raises:
        SceneReadError: There are none.
    """
    if is_remote(path):
        return [path]
    plain, date = split_date(path)
    literal = root / plain
    if literal.is_file() or _is_polsarpro(literal):
        return [plain + date]
    if literal.is_dir():
        inside = [str(Path(plain, place.relative_to(literal))) for place in literal.rglob("*")]
    else:
        inside = glob.glob(path, root_dir=root, recursive=True)
    found = [name.rstrip(os.sep) for name in inside if _is_polsarpro(root / name)]
    folders = {Path(name) for name in found}  # what lies in them are planes and pictures of these
    wanted = _is_image if literal.is_dir() else Path.is_file
    found += [n for n in inside if wanted(root / n) and Path(n).parent not in folders]
    if not found:
        raise SceneReadError(
            f"{root / path}: expected a file, a folder with images in it, or a pattern that fits "
            "some; found nothing"
        )
    return sorted(found, key=_natural)


def _listed(source: Source, root: Path) -> list[str]:
    """The scenes of a file list; backslashes of a list written on Windows become slashes.

    Raises:
        ConfigError: There is not one folder to which the list's paths are relative.
        SceneReadError: The list cannot be read.
    """
    if len(source.paths) != 1 or not (root / source.paths[0]).is_dir():
        raise ConfigError(
            f"file_list {source.file_list}: `paths` must be the one folder that its lines are "
            f"relative to, got {list(source.paths)}"
        )
    path = root / str(source.file_list)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SceneReadError(f"{path}: not a readable list of files: {error}") from error
    names = [line.split()[0].replace("\\", "/") for line in lines if line.strip()]
    return [f"{source.paths[0].rstrip('/')}/{name}" for name in names]


def _with_simulations_opened(sources: Sequence[Source], root: Path) -> Iterator[Source]:
    """Folders that `ringmoe simulate` wrote, as one source for each of their sensors."""
    for source in sources:
        simulations = [p for p in source.paths if (root / p / SIMULATION_MANIFEST).is_file()]
        for path in simulations:
            yield from _simulation(source, path, root)
        others = tuple(path for path in source.paths if path not in simulations)
        if others:
            yield replace(source, paths=others)


def _simulation(source: Source, path: str, root: Path) -> Iterator[Source]:
    """The images that a simulation's manifest lists; those of one scene show one place.

    Raises:
        SceneReadError: It is not a manifest.
        ConfigError: The source says what the simulation knows, or names a sensor that it lacks.
    """
    for name in ("bands", "encoding", "nodata", "derive", "file_list"):
        if getattr(source, name) is not None:
            raise ConfigError(
                f"{path}: a simulation, which has no use for {name}: leave it out, or give the "
                "simulation a source of its own"
            )
    manifest = root / path / SIMULATION_MANIFEST
    files: dict[str, list[str]] = {}
    try:
        for scene in json.loads(manifest.read_text(encoding="utf-8"))["scenes"]:
            for file in scene["files"]:
                files.setdefault(file["sensor"], []).append(str(Path(path, file["path"])))
    except (ValueError, KeyError, TypeError) as error:
        raise SceneReadError(f"{manifest}: not a simulation's manifest ({error!r})") from error
    if source.sensor and source.sensor not in files:
        raise ConfigError(
            f"{path}: a simulation without images of {source.sensor!r}: choose from "
            f"{', '.join(files)}, leave the sensor out, or give the simulation a source of its own"
        )
    for sensor, paths in files.items():
        if source.sensor in ("", sensor):
            yield replace(source, paths=tuple(paths), sensor=sensor, group="folder")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _is_polsarpro(path: Path) -> bool:
    return path.is_dir() and any(path.glob("[TCs][0-9][0-9].bin"))


def split_date(path: str) -> tuple[str, str]:
    """`stack.npy#2` as `stack.npy` and `#2`."""
    found = re.fullmatch(r"(.*\.npy)(#\d+)", path)
    return (found[1], found[2]) if found else (path, "")


def _natural(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]
