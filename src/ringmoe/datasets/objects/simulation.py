"""Objects of simulated scenes, and of their videos."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.objects.geometry import LEAST_SHARE
from ringmoe.datasets.objects.mot import add_frames, read_track_lines
from ringmoe.datasets.simulated import MANIFEST, read_manifest, still_files
from ringmoe.datasets.table import Row
from ringmoe.errors import DatasetError


def read_simulated_objects(folder: Path, sensors: Mapping[str, str], rotated: bool) -> Found:
    """The objects of every scene; ignored where less than `LEAST_SHARE` of one is seen.

    Args:
        folder: Where `simulation.json` is.
        sensors: Image name to sensor, which chooses the file.
        rotated: The form of the boxes.

    Raises:
        DatasetError: The manifest or a scene's labels cannot be read.
    """
    manifest = read_manifest(folder)
    found = Found(classes=tuple(manifest["object_classes"]))
    form = "rotated" if rotated else "horizontal"
    for scene in manifest["scenes"]:
        images, labels = still_files(folder, scene, sensors)
        path = folder / labels["boxes"]
        things = _load(path)
        row = Row(scene["name"], images, str(path), where=str(path))
        found.add(
            row,
            Annotations.of(
                [thing[form] for thing in things],
                [thing["class"] for thing in things],
                [thing["seen"] < LEAST_SHARE for thing in things],
                rotated,
                [thing["id"] for thing in things],
            ),
        )
    return found


def read_simulated_videos(folder: Path, sensors: Mapping[str, str], rotated: bool) -> Found:
    """The frames of every scene's video; ignored is of what less than `LEAST_SHARE` is seen.

    Args:
        folder: Where `simulation.json` is.
        sensors: Image name to sensor: the videos are of simulated-optical, close ones of
            simulated-video.
        rotated: The form of the boxes; tracks have horizontal ones.

    Raises:
        DatasetError: The manifest cannot be read, or the videos are of another sensor.
    """
    manifest = read_manifest(folder)
    classes = tuple(manifest["object_classes"])
    codes = tuple(str(number) for number in range(1, len(classes) + 1))
    found = Found(classes=classes, codes=codes)
    for scene in manifest["scenes"]:
        video = scene["video"]
        if list(sensors.values()) != [video["sensor"]]:
            raise DatasetError(
                f"{folder / MANIFEST}: the videos are of {video['sensor']}, got "
                f"{', '.join(sensors.values())}: name that one as data.sensor"
            )
        path = folder / video["labels"]["tracks"]
        frames = {number: folder / frame for number, frame in enumerate(video["frames"], 1)}
        lines = read_track_lines(path, found, least_visibility=LEAST_SHARE)
        add_frames(found, scene["name"], path, frames, lines, rotated)
    return found


def _load(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(
            f"{path}: not what `ringmoe simulate` writes ({error}): simulate {MANIFEST} anew"
        ) from None
