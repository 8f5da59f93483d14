"""Objects of simulated scenes, and of their videos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.objects.geometry import LEAST_SHARE
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
    for scene in manifest["scenes"]:
        images, labels = still_files(folder, scene, sensors)
        path = folder / labels["boxes"]
        row = Row(scene["name"], images, str(path), where=str(path))
        found.add(row, _annotations(_load(path), rotated))
    return found


def read_simulated_videos(folder: Path, sensors: Mapping[str, str], rotated: bool) -> Found:
    """The frames of every scene's video; ignored is of what less than `LEAST_SHARE` is seen.

    Args:
        folder: Where `simulation.json` is.
        sensors: Image name to sensor: the videos are of simulated-optical, close ones of
            simulated-video.
        rotated: The form of the boxes.

    Raises:
        DatasetError: The manifest or a video's labels cannot be read, or the videos are of another
            sensor.
    """
    manifest = read_manifest(folder)
    found = Found(classes=tuple(manifest["object_classes"]))
    for scene in manifest["scenes"]:
        video, name = scene["video"], scene["name"]
        if list(sensors.values()) != [video["sensor"]]:
            raise DatasetError(
                f"{folder / MANIFEST}: the videos are of {video['sensor']}, got "
                f"{', '.join(sensors.values())}: name that one as data.sensor"
            )
        if "boxes" not in video["labels"]:
            raise DatasetError(
                f"{folder / MANIFEST}: an older version wrote it, without rotated boxes of the "
                "videos: simulate anew"
            )
        path = folder / video["labels"]["boxes"]
        frames = zip(video["frames"], _load(path), strict=True)
        for number, (picture, things) in enumerate(frames, 1):
            images = {"image": str(folder / picture)}
            row = Row(f"{name}/{number:06d}", images, str(path), where=str(path), sequence=name)
            found.add(row, _annotations(things, rotated))
    return found


def _annotations(things: Sequence[Mapping[str, Any]], rotated: bool) -> Annotations:
    return Annotations.of(
        [thing["rotated" if rotated else "horizontal"] for thing in things],
        [thing["class"] for thing in things],
        [thing["seen"] < LEAST_SHARE for thing in things],
        rotated,
        [thing["id"] for thing in things],
    )


def _load(path: Path) -> list[Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(
            f"{path}: not what `ringmoe simulate` writes ({error}): simulate {MANIFEST} anew"
        ) from None
