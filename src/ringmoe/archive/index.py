"""`index.json`: what an archive holds. It is written last: a folder without it is no archive."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.archive.shards import record_type
from ringmoe.errors import ArchiveError
from ringmoe.files import replacing
from ringmoe.sensors import Calibration, Channel, Sensor, get_sensor

FILE_NAME = "index.json"
FORMAT = "ringmoe-archive-1"


@dataclass(frozen=True)
class StreamKey:
    """What all tiles of a stream have in common.

    Attributes:
        sensor_name: A name of the sensor catalogue.
        channel_names: The sensor's names of the tiles' channels, in order.
        calibration: How the stored digital values become the channels' unit.
        dtype: Of the stored values, as numpy calls it: "uint16", "complex64".
        tile_size: Height and width in pixels.
    """

    sensor_name: str
    channel_names: tuple[str, ...]
    calibration: Calibration
    dtype: str
    tile_size: int

    @property
    def sensor(self) -> Sensor:
        """From the catalogue."""
        return get_sensor(self.sensor_name)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The sensor's channels that the tiles have."""
        return self.sensor.select(self.channel_names)

    @property
    def record(self) -> np.dtype:
        """The layout of one tile in a shard."""
        return record_type(len(self.channel_names), self.tile_size, np.dtype(self.dtype))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StreamKey:
        """What `dataclasses.asdict` made of one."""
        calibration = Calibration(**values["calibration"])
        names = tuple(values["channel_names"])
        return cls(**{**values, "calibration": calibration, "channel_names": names})

    @property
    def name(self) -> str:
        """Readable, unique, and a folder's name, e.g. "sentinel1-slc-VH-VV-complex64-128px"."""
        parts = [self.sensor_name]
        if self.channels != self.sensor.channels:
            parts += self.channel_names
        encodings = self.sensor.encodings
        if self.calibration != self.sensor.encoding():
            known = [name for name, c in encodings.items() if c == self.calibration]
            parts.append(known[0] if known else _short_hash(asdict(self.calibration)))
        return "-".join([*parts, self.dtype, f"{self.tile_size}px"])


@dataclass(frozen=True)
class StreamEntry:
    """A stream as the index has it.

    Attributes:
        key: What its tiles have in common.
        tiles: How many there are.
        tiles_per_shard: How many lie in a full shard.
        splits: Tiles of each split.
        digest: Hash of the side table, and through its checksums of the tiles.
        fully_valid: Whether no tile has an invalid pixel.
        statistics: Of the valid pixels, per stem channel (`ringmoe.archive.statistics`).
    """

    key: StreamKey
    tiles: int
    tiles_per_shard: int
    splits: dict[str, int]
    digest: str
    fully_valid: bool
    statistics: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Index:
    """What an archive holds.

    Attributes:
        plan: Hash of the sources, files and settings it was made from.
        streams: By name.
        files: Hash of what the files were like (`ringmoe.archive.changes`), no part of the
            fingerprint: the same pixels may come from a copy. None in archives of before.
    """

    plan: str
    streams: dict[str, StreamEntry]
    files: str | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of all of it: equal only for archives that give the same batches."""
        return _short_hash(self._as_json(), digest_size=16)

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        text = json.dumps(self._as_json() | {"files": self.files}, indent=1) + "\n"
        with replacing(folder / FILE_NAME) as path:
            path.write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Index:
        """The index of an archive.

        Raises:
            ArchiveError: There is none, or it is not one that this version can read.
        """
        path = folder / FILE_NAME
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise ArchiveError(
                    f"{path}: format {found['format']!r}, this version reads {FORMAT!r}: "
                    "ingest again into a new folder"
                )
            streams = {
                name: StreamEntry(**{**values, "key": StreamKey.from_dict(values["key"])})
                for name, values in found["streams"].items()
            }
            return cls(found["plan"], streams, found.get("files"))
        except FileNotFoundError:
            what = "an unfinished archive" if (folder / "journal.jsonl").exists() else "no archive"
            raise ArchiveError(
                f"{folder}: {what}, {FILE_NAME} is missing: run `ringmoe ingest SOURCE... "
                f"--out {folder}` (to its end)"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{path}: not an archive's index ({error!r})") from error

    def _as_json(self) -> dict[str, Any]:
        streams = {name: asdict(entry) for name, entry in self.streams.items()}
        for entry in streams.values():
            if entry["key"]["calibration"]["fill"] is None:  # younger than the format: archives
                del entry["key"]["calibration"]["fill"]  # of before keep their fingerprint
        return {"format": FORMAT, "plan": self.plan, "streams": streams}


def _short_hash(value: Any, digest_size: int = 3) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=digest_size).hexdigest()
