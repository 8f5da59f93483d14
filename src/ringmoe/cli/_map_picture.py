"""`ringmoe predict --picture` of a map: the scene, and the map beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio

from ringmoe.cli._overview import map_overview, overview
from ringmoe.reports.maps import ClassPanel, Panel, ValuePanel, write_map_picture
from ringmoe.scenes import Scene
from ringmoe.sensors import MODALITIES
from ringmoe.tasks import Task


def draw_map(path: Path, scenes: Mapping[str, Scene], map_path: Path, task: Task) -> None:
    """Draw scenes of one place and the map that was made of them.

    Args:
        path: The picture.
        scenes: By the names that the model knows them by.
        map_path: What `predict_scene` has written.
        task: What the map is of.

    Raises:
        WriteError: The picture cannot be written.
    """
    images = {_title(name, scene): overview(scene) for name, scene in scenes.items()}
    values = map_overview(map_path)
    name = {"change": "what has changed", "height": "height"}.get(task.name, "the map")
    if task.label_kind == "height":
        write_map_picture(path, images, [ValuePanel(name, values, "m above ground")])
    else:
        with rasterio.open(map_path) as file:
            table = file.colormap(1)
        colours = [table[index][:3] for index in range(len(task.classes))]
        panel: Panel = ClassPanel(name, np.nan_to_num(values, nan=-1).astype(np.int64), colours)
        write_map_picture(path, images, [panel], list(zip(task.classes, colours, strict=True)))
    print(f"picture: {path}")


def _title(name: str, scene: Scene) -> str:
    return name if name in ("before", "after") else MODALITIES[scene.sensor.modality].title
