"""Ships, aircraft and vehicles in a scene: where they are, and how they are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ringmoe import boxes
from ringmoe.simulation.materials import INDEX
from ringmoe.simulation.object_models import MODEL
from ringmoe.simulation.raster import CELLS_PER_PIXEL, Patch, centres, polygon, to_world

Array = np.ndarray


@dataclass(frozen=True)
class SceneObject:
    """One object at one moment.

    Attributes:
        id: The same over the frames of a video and, where it stays, over dates; from 1.
        model: Its type.
        x: Centre in metres on the grid of cells.
        y: Centre in metres.
        heading: Radians, counter-clockwise as displayed.
        length: Metres.
        width: Metres.
        livery: Number of the model's livery.
        speed: In m/s.
        shape_seed: Determines where it scatters radar waves.
    """

    id: int
    model: str
    x: float
    y: float
    heading: float
    length: float
    width: float
    livery: int
    speed: float = 0.0
    shape_seed: int = 0

    @property
    def kind(self) -> str:
        """One of `OBJECT_CLASSES`."""
        return MODEL[self.model].kind

    @property
    def height(self) -> float:
        """Of its highest part in metres."""
        return MODEL[self.model].height * self.length

    @cached_property
    def outlines(self) -> list[tuple[Array, float, str]]:
        """Of each part: the outline on the grid `(N, 2)`, its height in metres, its material."""
        model = MODEL[self.model]
        size = (self.length, self.width)
        return [
            (
                to_world(part.outline * size, self.x, self.y, self.heading),
                part.height * self.height,
                model.liveries[self.livery][part.colour],
            )
            for part in model.parts
        ]

    @property
    def rotated_box(self) -> Array:
        """`cxcywhr` in pixels."""
        place = np.array([self.x, self.y, self.length, self.width]) / CELLS_PER_PIXEL
        return boxes.canonical([*place, self.heading])

    @cached_property
    def horizontal_box(self) -> Array:
        """`xyxy` in pixels: the smallest around the outline."""
        points = np.concatenate([outline for outline, _, _ in self.outlines])
        return boxes.enclosing(points.ravel() / CELLS_PER_PIXEL)


def new_object(
    rng: np.random.Generator, number: int, model: str, x: float, y: float, heading: float,
    longest: float = math.inf, speed: float = 0.0,
) -> SceneObject:  # fmt: skip
    """An object of a model with a size and a livery drawn from what it has."""
    kind = MODEL[model]
    most = max(min(kind.length[1], longest), kind.length[0])
    length = rng.uniform(kind.length[0], most)
    width = length / rng.uniform(*kind.slimness)
    livery = int(rng.integers(len(kind.liveries)))
    shape_seed = int(rng.integers(2**31))
    return SceneObject(number, model, x, y, heading, length, width, livery, speed, shape_seed)


@lru_cache(maxsize=1024)
def cells_of(thing: SceneObject, shape: tuple[int, int]) -> list[tuple[Patch, Array, float, int]]:
    """Of each part: a patch of the grid, the cells it covers, its height, its material's index.

    Remembered, because most objects stand still from frame to frame.
    """
    return [
        (*polygon(shape, outline), top, INDEX[colour]) for outline, top, colour in thing.outlines
    ]


def draw_objects(
    objects: Sequence[SceneObject],
    material: Array,
    height: Array,
    mix: Array,
    deck: Array,
    water: Array,
) -> Array:
    """Draw objects on rasters of the landscape, with the wakes of ships under way.

    Ships pass under bridges: they and their wakes are drawn on water alone.

    Args:
        objects: Drawn in order.
        material: Index of material, `(H, W)` uint8; changed in place.
        height: Above the ground in metres, `(H, W)` float32; changed in place.
        mix: Share of the material's partner, `(H, W)` float32; changed in place.
        deck: Height of bridges, on which objects may stand, `(H, W)`.
        water: Where there is water, `(H, W)` bool.

    Returns:
        `(H, W)` int32: the id of the object on each cell, 0 for none.
    """
    ids = np.zeros(material.shape, np.int32)
    shape = (material.shape[0], material.shape[1])
    for thing in objects:
        if thing.kind == "ship" and thing.speed > 0:
            _draw_wake(thing, material, mix, water)
    for thing in objects:
        for where, covered, top, colour in cells_of(thing, shape):
            inside = covered & water[where] if thing.kind == "ship" else covered
            material[where][inside] = colour
            ids[where][inside] = thing.id
            height[where][inside] = deck[where][inside] + top
    return ids


def _draw_wake(thing: SceneObject, material: Array, mix: Array, water: Array) -> None:
    """The turbulent wake: foam behind the stern that fades over two and a half lengths."""
    stern, reach = -0.4 * thing.length, 2.5 * thing.length + 20
    near, far = 0.42 * thing.width, 0.75 * thing.width
    end = stern - reach
    trail = np.array([[stern, near], [stern, -near], [end, -far], [end, far]])
    shape = (material.shape[0], material.shape[1])
    where, inside = polygon(shape, to_world(trail, thing.x, thing.y, thing.heading))
    inside &= water[where]
    x, y = centres(where)
    behind = np.hypot(x - thing.x, y - thing.y) - 0.4 * thing.length
    material[where][inside] = INDEX["foam"]
    mix[where][inside] = np.clip(0.45 + 0.6 * behind / reach, 0, 1)[inside]


def seen_share(thing: SceneObject, ids: Array) -> float:
    """How much of an object can be seen: inside the image, and not under something else.

    Args:
        thing: The object.
        ids: What `draw_objects` returned.

    Returns:
        In [0, 1], of the area of its horizontal box inside the image times the drawn share there.
    """
    rows, columns = (length // CELLS_PER_PIXEL for length in ids.shape)
    left, top, right, bottom = thing.horizontal_box
    across = min(right, columns) - max(left, 0)
    down = min(bottom, rows) - max(top, 0)
    if across <= 0 or down <= 0:
        return 0.0
    drawn = covered = 0
    for where, inside, _, _ in cells_of(thing, (ids.shape[0], ids.shape[1])):
        covered += int(inside.sum())
        drawn += int((inside & (ids[where] == thing.id)).sum())
    inside_image = float(across * down / ((right - left) * (bottom - top)))
    return inside_image * drawn / covered if covered else 0.0
