"""One kind of files to ingest: what they are and how to cut them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ringmoe.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """Files of one kind, and how to read and cut them.

    Attributes:
        paths: Files, URLs, folders and patterns (`aid/*/*.jpg`, `**` for any depth), absolute or
            relative to the ingest's root. A folder gives the images inside it; a PolSARpro folder
            is itself an image (and what lies in it is none); a folder with a `simulation.json`
            gives the images of that simulation. An array of several dates needs the date:
            `stack.npy#2`; GDAL's name of a part of a file (`NETCDF:"/data/a.nc":B1`) its whole
            path.
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

    Of a simulation `sensor` chooses the images, and may be left away; `bands`, `encoding`,
    `nodata`, `derive` and `file_list` have no meaning there.

    Raises:
        ConfigError: A value that cannot be.
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

    def __post_init__(self) -> None:
        if isinstance(self.paths, str):
            raise ConfigError(
                f"source {self.paths}: paths: expected several, got a text: ({self.paths!r},)"
            )
        for name in ("tile_size", "stride", "per_folder"):
            value = getattr(self, name)
            self._check(name, value is None or value > 0, "1 or more")
        self._check("seed", self.seed >= 0, "0 or more")
        self._check("holdout", self.holdout is None or 0 <= self.holdout <= 1, "0 to 1")
        for name, choice in _CHOICES.items():
            value = getattr(self, name)
            self._check(name, value is None or value in choice, " or ".join(map(repr, choice)))

    def _check(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            paths = ", ".join(self.paths)
            raise ConfigError(
                f"source {paths}: {name}: expected {expected}, got {getattr(self, name)!r}"
            )

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

# What the keys that choose may be: `Literal` and `Literal | None`.
_CHOICES = {
    name: get_args(kind)
    for name, hint in get_type_hints(Source).items()
    for kind in (hint, *get_args(hint))
    if get_origin(kind) is Literal
}
