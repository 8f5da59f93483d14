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
    manifest = read_manifest(folder)
    changes = tuple(sensors) == DATES
    read = _change if changes else _still
    rows = [read(folder, scene, kind, sensors) for scene in manifest["scenes"]]
    return rows, CHANGE if changes else tuple(manifest["land_cover"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `ringmoe simulate` has written into a folder.

    Raises:
        DatasetError: The manifest cannot be read.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        return {key: manifest[key] for key in ("scenes", "land_cover", "object_classes")}
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path}: not what `ringmoe simulate` writes ({error!r})") from None


def still_files(
    folder: Path, scene: Any, sensors: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The images of a scene by their names, and its labels as the manifest has them.

    Raises:
        DatasetError: There is no image of a sensor.
    """
    files = {
        get_sensor(file["sensor"]).name: file for file in scene["files"] if "mask" in file["labels"]
    }
    lacking = [sensor for sensor in sensors.values() if sensor not in files]
    if lacking:
        raise DatasetError(
            f"{folder / MANIFEST}: no image of {', '.join(lacking)}: the simulated sensors are "
            f"{', '.join(files)}"
        )
    images = {name: str(folder / files[sensor]["path"]) for name, sensor in sensors.items()}
    return images, next(iter(files.values()))["labels"]


def _still(folder: Path, scene: Any, kind: LabelKind, sensors: Mapping[str, str]) -> Row:
    images, label = still_files(folder, scene, sensors)
    return Row(
        name=scene["name"],
        images=images,
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
