"""What an ingest let in, what it refused and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ringmoe.archive.index import Index
from ringmoe.archive.journal import FileRecord
from ringmoe.errors import ArchiveError
from ringmoe.files import replacing

FILE_NAME = "report.json"


@dataclass
class IngestReport:
    """The result of an ingest; the archive keeps it as `report.json`.

    Attributes:
        files: How many files were read whole, and how many refused.
        tiles: How many tiles were let in, for training and held out, and how many of them are
            padded.
        refused: How many tiles were refused, by reason.
        refused_files: Each refused file with the error.
        refused_tiles: Each file with refused tiles: reason, how many, and what the first one held.
        not_held_out: Files too small to hold out a part of: all of them is used for training.
        streams: Name, modality, sensor, channels, type, tile size, tiles of each split and the
            statistics of each channel.
        fingerprint: Of the archive.
    """

    files: dict[str, int] = field(default_factory=lambda: {"read": 0, "refused": 0})
    tiles: dict[str, int] = field(default_factory=lambda: {"train": 0, "heldout": 0, "padded": 0})
    refused: dict[str, int] = field(default_factory=dict)
    refused_files: list[dict[str, str]] = field(default_factory=list)
    refused_tiles: list[dict[str, Any]] = field(default_factory=list)
    not_held_out: list[str] = field(default_factory=list)
    streams: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: str = ""

    @classmethod
    def of(cls, records: Sequence[FileRecord], index: Index) -> IngestReport:
        """The report of finished files and the archive that they became."""
        report = cls(fingerprint=index.fingerprint)
        for record in records:
            report.files["refused" if record.error else "read"] += 1
            if record.error:
                report.refused_files.append({"file": record.file, "error": record.error})
            if record.not_held_out:
                report.not_held_out.append(record.file)
            for reason, (tiles, detail) in record.refused.items():
                report.refused[reason] = report.refused.get(reason, 0) + tiles
                report.refused_tiles.append(
                    {"file": record.file, "reason": reason, "tiles": tiles, "first": detail}
                )
            if record.key is not None:
                columns = record.columns
                report.tiles["train"] += columns["split"].count("train")
                report.tiles["heldout"] += columns["split"].count("heldout")
                sides = zip(columns["height"], columns["width"], strict=True)
                report.tiles["padded"] += sum(min(side) < record.key.tile_size for side in sides)
        report.streams = [
            {
                "name": name,
                "modality": entry.key.sensor.modality,
                "sensor": entry.key.sensor_name,
                "channels": list(entry.key.channel_names),
                "dtype": entry.key.dtype,
                "tile_size": entry.key.tile_size,
                **entry.splits,
                "statistics": entry.statistics,
            }
            for name, entry in index.streams.items()
        ]
        return report

    def write(self, folder: Path) -> None:
        """Write it to an archive's folder, whole or not at all."""
        with replacing(folder / FILE_NAME) as path:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> IngestReport:
        """The report of an archive.

        Raises:
            ArchiveError: There is none that can be read.
        """
        try:
            return cls(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ArchiveError(f"{folder / FILE_NAME}: not a readable report: {error}") from error
