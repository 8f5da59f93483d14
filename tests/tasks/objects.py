"""Small images with bright rotated rectangles on noise, and what is where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tests.tasks.labelled import make_backbone

from ringmoe.boxes import ObjectBatch, Objects, cxcywhr_to_xyxy
from ringmoe.datasets import Example, Image, LabelKind, Source
from ringmoe.observation import Observation
from ringmoe.sensors import get_sensor
from ringmoe.tasks import ObjectTask, TaskModel, TaskSource

SIZE = 64
CLASSES = ("bright", "dark")
SOURCE = TaskSource("rgb-dn8", ("red", "green", "blue"))

# Of three images: centre, edges and angle; the third has none.
BOXES = [
    np.array([[18, 20, 24, 9, 0.4], [46, 44, 16, 12, -1.2]], np.float64),
    np.array([[32, 34, 30, 10, 1.5]], np.float64),
    np.zeros((0, 5)),
]
KINDS = [np.array([0, 1]), np.array([1]), np.zeros(0, np.int64)]


def draw_images() -> torch.Tensor:
    """`(3, 3, 64, 64)`: objects of class 0 brighter, of class 1 darker than their surroundings."""
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.3, (len(BOXES), 3, SIZE, SIZE))
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    for image, boxes, kinds in zip(images, BOXES, KINDS, strict=True):
        for (cx, cy, w, h, r), kind in zip(boxes, kinds, strict=True):
            along = (x - cx) * np.cos(r) - (y - cy) * np.sin(r)
            across = (x - cx) * np.sin(r) + (y - cy) * np.cos(r)
            image[:, (abs(along) < w / 2) & (abs(across) < h / 2)] += 3 - 6 * kind
    return torch.from_numpy(images).float()


def labels_of(rotated: bool, which: slice = slice(None)) -> ObjectBatch:
    """Of the images that `draw_images` draws."""
    objects = [
        Objects(boxes if rotated else cxcywhr_to_xyxy(boxes).reshape(-1, 4), kinds)
        for boxes, kinds in zip(BOXES, KINDS, strict=True)
    ]
    names = ("one", "two", "three")
    return ObjectBatch.stack(objects[which], names[which])


def observe(images: torch.Tensor) -> dict[str, Observation]:
    return {"image": Observation(images, "optical", ("red", "green", "blue"))}


def make_model(task: ObjectTask) -> TaskModel:
    torch.manual_seed(0)
    return TaskModel(make_backbone(image_size=SIZE), task, {"image": SOURCE})


def no_objects(batch: int, rotated: bool, names: tuple[str, ...] | None = None) -> ObjectBatch:
    """So many images without an object; none at all for 0."""
    form = 5 if rotated else 4
    return ObjectBatch(
        boxes=torch.zeros(0, form),
        classes=torch.zeros(0, dtype=torch.int64),
        ignored=torch.zeros(0, dtype=torch.bool),
        images=torch.zeros(0, dtype=torch.int64),
        ids=torch.zeros(0, dtype=torch.int64),
        names=names or tuple(map(str, range(batch))),
        draws=(0,) * (len(names) if names else batch),
    )


@dataclass
class Drawn:
    """The same images as labelled data: 8-bit pictures, each thing on them as often as asked."""

    rotated: bool
    count: int = 6
    classes: tuple[str, ...] = CLASSES

    @property
    def kind(self) -> LabelKind:
        return "rotated-boxes" if self.rotated else "boxes"

    @property
    def sources(self) -> dict[str, Source]:
        sensor = get_sensor("rgb-dn8")
        return {"image": Source(sensor, sensor.channels)}

    @property
    def names(self) -> list[str]:
        return [f"{number:02d}" for number in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        which = index % len(BOXES)
        values = (0.5 + 0.1 * draw_images()[which].numpy()).clip(0, 1)
        image = Image(values.astype(np.float32), np.ones(values.shape[1:], bool))
        label = labels_of(self.rotated).of(which)
        return Example(self.names[index], {"image": image}, label)
