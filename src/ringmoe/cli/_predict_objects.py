"""`ringmoe predict` with a detector: a list of objects, and a picture of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringmoe.boxes import Objects
from ringmoe.cli._overview import LONGEST_OF_OBJECTS, overview, step_of
from ringmoe.deployment import ObjectsResult, predict_objects
from ringmoe.errors import ConfigError
from ringmoe.reports.objects import check_picture, draw_objects, write_picture
from ringmoe.scenes import Scene
from ringmoe.tasks import ObjectTask, TaskModel


def find_objects(
    model: TaskModel,
    task: ObjectTask,
    scenes: Mapping[str, Scene],
    out: Path,
    *,
    nms_threshold: float | None,
    score_threshold: float,
    picture: Path | None,
    **options: Any,
) -> None:
    """Write the objects of a scene, and print how many of each class there are.

    Raises:
        ConfigError: A file's ending does not fit, or the score threshold is under the model's own.
    """
    if picture is not None:
        check_picture(picture)
    if score_threshold < task.score_threshold:
        raise ConfigError(
            f"score_threshold: the model gives only what it is {task.score_threshold:g} sure of: "
            f"expected that or more, got {score_threshold:g}"
        )
    result = predict_objects(
        lambda observations: task.decode(model(observations)),
        scenes,
        out,
        classes=task.classes,
        nms_threshold=task.nms_threshold if nms_threshold is None else nms_threshold,
        score_threshold=score_threshold,
        **options,
    )
    _tell(result)
    if picture is not None:
        write_picture(picture, drawn(next(iter(scenes.values())), result.objects, task.classes))
        print(f"picture: {picture}")


def drawn(scene: Scene, objects: Objects, classes: tuple[str, ...]) -> Any:
    """Objects on a scene that is small enough to look at, `(H, W, 3)` uint8."""
    boxes = objects.boxes.copy()
    boxes[:, :4] /= step_of(scene.height, scene.width, LONGEST_OF_OBJECTS)  # an angle stays
    image = overview(scene, LONGEST_OF_OBJECTS)
    return draw_objects(image, boxes, objects.classes, objects.scores, names=classes)


def _tell(result: ObjectsResult) -> None:
    print(f"objects: {result.path} ({len(result.objects)})")
    width = max(map(len, result.counts))
    for name, count in result.counts.items():
        print(f"  {name:{width}}  {count}")
    if result.resumed_rows:
        print(f"{result.resumed_rows} rows were there already")
    rate = result.tiles / result.seconds if result.seconds else 0.0
    print(f"{result.tiles} tiles in {result.seconds:.1f} s ({rate:.1f} a second)")
