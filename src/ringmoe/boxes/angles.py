"""Rotated boxes as files and other libraries have them, to and from canonical cxcywhr.

All have a centre, two edges and an angle; they differ in the sense of rotation, the unit, the range
of the angle, and whether the first edge is the long one. Each convention is a row of `CONVENTIONS`,
with where it is defined. Files with corners (DOTA, DIOR-R, SSDD) need no convention, but their
quadrilaterals are drawn by hand and not always rectangles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ringmoe.boxes.forms import canonical
from ringmoe.errors import ConfigError, ShapeError


@dataclass(frozen=True)
class Convention:
    """How rotated boxes are written down: centre x and y, two edges, and an angle.

    The angle is that of the first edge to the x axis; y runs down in all of them.

    Attributes:
        clockwise: Whether it grows clockwise, as displayed.
        degrees: Whether it is in degrees.
        begin: Where its range begins, in radians; None for no range.
        long_first: Whether the first edge is the long one and the range half a turn. Otherwise
            either edge comes first, and a quarter turn is enough.
        excluded: Whether the range leaves out its beginning and has its end, not the reverse.
        source: Where it is defined.
    """

    clockwise: bool
    degrees: bool
    begin: float | None
    long_first: bool
    excluded: bool
    source: str


def _clockwise(
    source: str,
    begin: float | None = None,
    *,
    degrees: bool = False,
    long_first: bool = True,
    excluded: bool = False,
) -> Convention:
    return Convention(True, degrees, begin, long_first, excluded, source)


CONVENTIONS = {
    "hrsc2016": _clockwise("HRSC2016's mbox_cx, _cy, _w, _h, _ang", -math.pi / 2),
    "rolabelimg": _clockwise("roLabelImg's robndbox: libs/shape.py, Shape.rotate", 0.0),
    "opencv": _clockwise(
        # 5.0 has gone back to [-90, 0), which is read all the same.
        "OpenCV's RotatedRect as minAreaRect of 4.5.1 gives it; SSDD's rotated_bbox_theta",
        0.0,
        degrees=True,
        long_first=False,
        excluded=True,
    ),
    "mmrotate-oc": _clockwise("mmrotate, angle version oc", 0.0, long_first=False, excluded=True),
    "mmrotate-le90": _clockwise("mmrotate, angle version le90", -math.pi / 2),
    "mmrotate-le135": _clockwise("mmrotate, angle version le135", -math.pi / 4),
    "torchvision": Convention(
        False, True, None, True, False, "torchvision's BoundingBoxFormat.CXCYWHR"
    ),
}


def from_convention(boxes: ArrayLike, name: str) -> np.ndarray:
    """Canonical rotated boxes of those that a file or another library has.

    Args:
        boxes: `(..., 5)`: centre, edges and angle; angles out of range and edges in either order
            are understood too.
        name: One of `CONVENTIONS`.

    Returns:
        `(..., 5)` canonical cxcywhr.

    Raises:
        ConfigError: There is no such convention.
        ShapeError: The boxes are not `(..., 5)`.
    """
    convention, boxes = _convention(name), _boxes(boxes, 5)
    angle = np.radians(boxes[..., 4]) if convention.degrees else boxes[..., 4]
    boxes[..., 4] = -angle if convention.clockwise else angle
    return canonical(boxes)


def to_convention(boxes: ArrayLike, name: str) -> np.ndarray:
    """Rotated boxes as a file or another library wants them; the reverse of `from_convention`.

    Args:
        boxes: `(..., 5)` cxcywhr, not necessarily canonical.
        name: One of `CONVENTIONS`.

    Returns:
        `(..., 5)`: centre, edges and angle.

    Raises:
        ConfigError: There is no such convention.
        ShapeError: The boxes are not `(..., 5)`.
    """
    convention, boxes = _convention(name), canonical(_boxes(boxes, 5))
    angle = -boxes[..., 4] if convention.clockwise else boxes[..., 4]
    if convention.begin is not None:
        period = math.pi if convention.long_first else math.pi / 2
        turns = (angle - convention.begin) / period
        # From -1 to 0 where the range has its end, from 0 to 1 where it has its beginning.
        turns = -np.floor(-turns) - 1 if convention.excluded else np.floor(turns)
        angle = angle - turns * period
        if not convention.long_first:
            odd = turns % 2 == 1
            boxes[..., 2:4] = np.where(odd[..., None], boxes[..., [3, 2]], boxes[..., 2:4])
    boxes[..., 4] = np.degrees(angle) if convention.degrees else angle
    return boxes


def _convention(name: str) -> Convention:
    if name not in CONVENTIONS:
        raise ConfigError(
            f"convention of rotated boxes: one of {', '.join(CONVENTIONS)}, got {name!r}"
        )
    return CONVENTIONS[name]


def _boxes(boxes: ArrayLike, size: int) -> np.ndarray:
    array = np.array(boxes, np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ShapeError(f"expected {size} numbers on the last axis, got shape {array.shape}")
    return array
