"""Types of ships, aircraft and vehicles: shapes, sizes and colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

OBJECT_CLASSES = ("ship", "aircraft", "vehicle")


@dataclass(frozen=True)
class Part:
    """A flat-topped part of an object.

    Attributes:
        outline: `(N, 2)` ahead and left, in lengths and widths of the object: [-0.5, 0.5].
        height: Of its top, relative to the object's height.
        colour: Number of the colour in the object's livery.
    """

    outline: Array
    height: float
    colour: int = 0


@dataclass(frozen=True)
class Model:
    """A type of object.

    Attributes:
        name: The type.
        kind: One of `OBJECT_CLASSES`.
        length: The least and greatest length in metres.
        slimness: The least and greatest length over width (beam, span).
        height: Over length.
        parts: Drawn in order; the first outlines reach all four sides of the object.
        liveries: Materials of the parts' colours, one of which is drawn.
    """

    name: str
    kind: str
    length: tuple[float, float]
    slimness: tuple[float, float]
    height: float
    parts: tuple[Part, ...]
    liveries: tuple[tuple[str, ...], ...]


def _box(back: float, front: float, right: float, left: float) -> Array:
    return np.array([[front, left], [front, right], [back, right], [back, left]])


def _mirrored(*left_side: tuple[float, float]) -> Array:
    """A symmetric outline from its left half, given from the front to the back."""
    half = np.array(left_side)
    return np.concatenate([half, half[::-1] * (1, -1)])


_HULL = _mirrored((0.5, 0.0), (0.44, 0.28), (0.34, 0.5), (-0.42, 0.5), (-0.5, 0.36))
_HOLDS = tuple(
    Part(_box(back, back + 0.13, -0.4, 0.4), 0.55, 2 + number % 3)
    for number, back in enumerate((-0.22, -0.07, 0.08, 0.23))
)
_WINGS = _mirrored((0.14, 0.06), (-0.12, 0.5), (-0.17, 0.5), (-0.06, 0.06))
_TAIL = _mirrored((-0.37, 0.02), (-0.46, 0.18), (-0.5, 0.18), (-0.47, 0.02))
_FUSELAGE = _mirrored((0.5, 0.0), (0.46, 0.04), (0.38, 0.055), (-0.3, 0.055), (-0.5, 0.015))
_PROPELLER_WINGS = _mirrored((0.13, 0.05), (0.09, 0.5), (0.0, 0.5), (-0.02, 0.05))
_CARS = ("white paint", "white paint", "grey paint", "grey paint", "dark paint", "dark paint",
         "red paint", "blue paint")  # fmt: skip

MODELS: tuple[Model, ...] = (
    Model("cargo ship", "ship", (58, 115), (5.6, 6.8), 0.16,
          (Part(_HULL, 0.4), *_HOLDS, Part(_box(-0.45, -0.30, -0.42, 0.42), 1.0, 1)),
          (("rust", "white paint", "grey paint", "blue paint", "rust"),
           ("green paint", "white paint", "red paint", "grey paint", "yellow paint"),
           ("dark paint", "white paint", "rust", "rust", "rust"))),
    Model("barge", "ship", (50, 86), (7.2, 8.6), 0.05,
          (Part(_HULL, 0.5), Part(_box(-0.30, 0.36, -0.38, 0.38), 0.7, 1),
           Part(_box(-0.46, -0.35, -0.36, 0.36), 1.0, 2)),
          (("dark paint", "rust", "white paint"), ("grey paint", "dark paint", "white paint"))),
    Model("fishing boat", "ship", (16, 34), (3.4, 4.2), 0.2,
          (Part(_HULL, 0.4), Part(_box(-0.1, 0.2, -0.3, 0.3), 1.0, 1)),
          (("blue paint", "white paint"), ("red paint", "white paint"),
           ("grey paint", "white paint"), ("green paint", "white paint"))),
    Model("motor boat", "ship", (7, 14), (2.8, 3.4), 0.2,
          (Part(_HULL, 0.6), Part(_box(-0.15, 0.15, -0.3, 0.3), 1.0, 1)),
          (("white paint", "grey paint"), ("white paint", "blue paint"))),
    Model("airliner", "aircraft", (31, 45), (1.0, 1.12), 0.3,
          (Part(_WINGS, 0.35), Part(_TAIL, 0.55), Part(_FUSELAGE, 0.5),
           Part(_box(0.02, 0.10, 0.17, 0.20), 0.3, 1), Part(_box(0.02, 0.10, -0.20, -0.17), 0.3, 1),
           Part(_box(-0.48, -0.36, -0.02, 0.02), 1.0, 2)),
          (("white paint", "grey paint", "blue paint"), ("white paint", "grey paint", "red paint"),
           ("white paint", "dark paint", "yellow paint"))),
    Model("turboprop", "aircraft", (14, 24), (0.9, 1.0), 0.28,
          (Part(_PROPELLER_WINGS, 0.45), Part(_TAIL, 0.7), Part(_FUSELAGE, 0.5),
           Part(_box(-0.47, -0.38, -0.02, 0.02), 1.0, 1)),
          (("white paint", "blue paint"), ("white paint", "red paint"))),
    Model("car", "vehicle", (4.2, 5.0), (2.4, 2.6), 0.32,
          (Part(_box(-0.5, 0.5, -0.5, 0.5), 0.7), Part(_box(-0.3, 0.2, -0.4, 0.4), 1.0)),
          tuple((colour,) for colour in _CARS)),
    Model("van", "vehicle", (5.4, 7.0), (2.7, 3.0), 0.4,
          (Part(_box(-0.5, 0.5, -0.5, 0.5), 1.0),),
          (("white paint",), ("white paint",), ("yellow paint",), ("grey paint",))),
    Model("lorry", "vehicle", (9.0, 16.5), (3.8, 6.4), 0.26,
          (Part(_box(-0.5, 0.34, -0.5, 0.5), 1.0), Part(_box(0.36, 0.5, -0.46, 0.46), 0.75, 1)),
          (("white paint", "blue paint"), ("grey paint", "red paint"),
           ("white paint", "white paint"), ("blue paint", "blue paint"),
           ("red paint", "white paint"))),
)  # fmt: skip

MODEL = {model.name: model for model in MODELS}
