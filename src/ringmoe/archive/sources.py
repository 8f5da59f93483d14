"""What to ingest: which files, what they are, how to cut them."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ringmoe.archive.tiling import held_out_images
from ringmoe.errors import ConfigError, SceneReadError
from ringmoe.sensors import get_sensor

IMAGE_SUFFIXES = frozenset(
    {".tif", ".tiff", ".jp2", ".vrt", ".img", ".png", ".jpg", ".jpeg", ".npy"}
)
SIMULATION_MANIFEST = "simulation.json"


@dataclass(frozen=True)
class Source:
    """Files of one kind, and how to read and cut them.

    Attributes:
        paths: Files, URLs, folders and patterns (`aid/*/*.jpg`, `**` for any depth), absolute or
            relative to the ingest's root. A folder gives the images inside it; a PolSARpro folder
            is itself an image; a folder with a `simulation.json` gives the images of that
            simulation. An array of several dates needs the date: `stack.npy#2`.
        sensor: A name of the sensor catalogue; not needed for a simulation.
        bands: What each band of a file is, in file order (see `ringmoe.scenes.open_scene`).
        channels: Which of them to keep, in which order; None keeps all.
        encoding: How the digital values become the sensor's unit; None for the sensor's default.
        nodata: The digital value that means "no data", where the files do not say.
        derive: "single-look" or "total-power" of a T3 or C3 folder.
        seed: Of the single-look draws; each scene's is mixed with its name.
        tile_size: Overrides the ingest's.
        stride: Overrides the ingest's; by default the tile size, where that is overridden.
        holdout: Overrides the ingest's.
        group: What shows one place and is held out together: a "file", or all images of a "folder".
        file_list: A text file with one path a line, relative to the one folder in `paths`; what
            follows the path after a blank (a label) is not read.
        per_folder: Take only the first so many images of each folder, in natural order
            (`x_9.jpg` before `x_10.jpg`).
        exclude: Patterns of file names to leave out.
    """

    paths: tuple[str, ...]
    sensor: str = ""
    bands: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    encoding: str | None = None
    nodata: float | None = None
    derive: Literal["total-power", "single-look"] | None = None
    seed: int = 0
    tile_size: int | None = None
    stride: int | None = None
    holdout: float | None = None
    group: Literal["file", "folder"] = "file"
    file_list: str | None = None
    per_folder: int | None = None
    exclude: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Source:
        """A source as a configuration file has it; a single text stands for a list of one.

        Raises:
            ConfigError: A key is not known or `paths` is missing, or a value is of a wrong type.
        """
        known: dict[str, Any] = {}
        for key, value in values.items():
            if key not in _TYPES:
                near = get_close_matches(str(key), _TYPES, n=1)
                advice = (
                    f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(_TYPES)}"
                )
                raise ConfigError(f"source {values.get('paths')}: unknown key {key!r}: {advice}")
            several = tuple in _TYPES[key]
            value = tuple(value) if several and isinstance(value, list) else value
            value = (value,) if several and isinstance(value, str) else value
            value = float(value) if float in _TYPES[key] and isinstance(value, int) else value
            if not isinstance(value, _TYPES[key]):
                expected = " or ".join(kind.__name__ for kind in _TYPES[key])
                raise ConfigError(
                    f"source {values.get('paths')}: {key}: expected {expected}, got {value!r}"
                )
            known[key] = value
        if not known.get("paths"):
            raise ConfigError(f"source: `paths` is missing in {dict(values)}")
        return cls(**known)


# What each key of a source may be: `X | None`, `tuple[str, ...]` and `Literal` as plain classes.
_TYPES = {
    name: tuple(
        str if get_origin(kind) is Literal else get_origin(kind) or kind
        for kind in (get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,))
    )
    for name, hint in get_type_hints(Source).items()
}


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
            where = name if _is_remote(name) else str(root / name)
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
    if _is_remote(path):
        return [path]
    plain, date = split_date(path)
    literal = root / plain
    if literal.is_file() or _is_polsarpro(literal):
        return [plain + date]
    if literal.is_dir():
        images = filter(_is_image, literal.rglob("*"))
        found = [str(Path(plain, image.relative_to(literal))) for image in images]
    else:
        found = [n for n in glob.glob(path, root_dir=root, recursive=True) if (root / n).is_file()]
        found += [n for n in glob.glob(path, root_dir=root) if _is_polsarpro(root / n)]
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
    """
    manifest = root / path / SIMULATION_MANIFEST
    files: dict[str, list[str]] = {}
    try:
        for scene in json.loads(manifest.read_text(encoding="utf-8"))["scenes"]:
            for file in scene["files"]:
                files.setdefault(file["sensor"], []).append(str(Path(path, file["path"])))
    except (ValueError, KeyError, TypeError) as error:
        raise SceneReadError(f"{manifest}: not a simulation's manifest ({error!r})") from error
    for sensor, paths in files.items():
        yield Source(
            tuple(paths),
            sensor,
            tile_size=source.tile_size,
            stride=source.stride,
            holdout=source.holdout,
            group="folder",
        )


def _is_remote(path: str) -> bool:
    return "://" in path or path.startswith("/vsi")


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
