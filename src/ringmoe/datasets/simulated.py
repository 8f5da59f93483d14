"""Simulated scenes (`ringmoe simulate`) as the same table of rows that a CSV file gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringmoe.datasets.config import DATES
from ringmoe.datasets.labelled import LabelKind
from ringmoe.datasets.table import Row
from ringmoe.errors import DatasetError
from ringmoe.sensors import get_sensor

MANIFEST = "simulation.json"
CHANGE = ("unchanged", "changed")


def is_simulation(folder: Path) -> bool:
    """Whether `ringmoe simulate` wrote the folder."""
    return (folder / MANIFEST).is_file()


def read_simulation(
    folder: Path, kind: LabelKind, sensors: Mapping[str, str]
) -> tuple[list[Row], tuple[str, ...]]:
    """The rows of a folder of simulated scenes, and the classes of a mask.

    Args:
        folder: Where `simulation.json` is.
        kind: What a label is: the kind of scene, its land cover, heights; for images "before" and
            "after" a mask is what has changed.
        sensors: Image name to sensor, which chooses the file.

    Raises:
        DatasetError: The manifest cannot be read, or has no image of a sensor.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        scenes, land_cover = manifest["scenes"], tuple(manifest["land_cover"])
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path}: not what `ringmoe simulate` writes ({error!r})") from None
    changes = tuple(sensors) == DATES
    read = _change if changes else _still
    rows = [read(folder, scene, kind, sensors) for scene in scenes]
    return rows, CHANGE if changes else land_cover


def _still(folder: Path, scene: Any, kind: LabelKind, sensors: Mapping[str, str]) -> Row:
    files = {
        get_sensor(file["sensor"]).name: file for file in scene["files"] if "mask" in file["labels"]
    }
    lacking = [sensor for sensor in sensors.values() if sensor not in files]
    if lacking:
        raise DatasetError(
            f"{folder / MANIFEST}: no image of {', '.join(lacking)}: the simulated sensors are "
            f"{', '.join(files)}"
        )
    label = next(iter(files.values()))["labels"]
    return Row(
        name=scene["name"],
        images={name: str(folder / files[sensor]["path"]) for name, sensor in sensors.items()},
        label=label["class"] if kind == "class" else str(folder / label[kind]),
        where=str(folder / MANIFEST),
    )


def _change(folder: Path, scene: Any, kind: LabelKind, sensors: Mapping[str, str]) -> Row:
    later = [
        file
        for file in scene["files"]
        if "change" in file["labels"] and file["sensor"] == sensors["after"]
    ]
    if not later or kind != "mask":
        raise DatasetError(
            f"{folder / MANIFEST}: no {kind} of two dates of {sensors['after']}: changes are seen "
            "by simulated-optical"
        )
    labels = later[0]["labels"]
    return Row(
        name=scene["name"],
        images={"before": str(folder / labels["before"]), "after": str(folder / later[0]["path"])},
        label=str(folder / labels["change"]),
        where=str(folder / MANIFEST),
    )
