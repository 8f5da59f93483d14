"""Objects under what is done to their image: cut, scaled, mirrored, turned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ringmoe.boxes import (
    Objects,
    area,
    canonical,
    cxcywhr_to_corners,
    cxcywhr_to_xyxy,
    quadrilateral_to_cxcywhr,
)

# Of an object's area inside a cut, from which on it is to be found there. Of less, say the bow of
# a ship, neither class nor extent can be told, so that it is ignored: neither an object nor
# background. DOTA's development kit asks for 0.7, for tiles that overlap; here tiles do not, and
# with 0.7 a ship across the edge of two would be learnt from neither.
LEAST_SHARE = 0.3


def within(
    objects: Objects, left: float, top: float, width: float, height: float
) -> tuple[Objects, np.ndarray]:
    """What a rectangle of an image shows of its objects, in pixels of the rectangle.

    Horizontal boxes are cut off at its edges, rotated ones kept whole: cut, they would not be
    rectangles. An object less than `LEAST_SHARE` inside is ignored; one not inside is left out.

    Returns:
        The objects, and `(N,)` the share of each of the given ones that is inside.
    """
    shift = np.array([left, top, left, top] if not objects.rotated else [left, top, 0, 0, 0])
    moved = replace(objects, boxes=objects.boxes - shift)
    shares = share_inside(moved.boxes, width, height)
    kept = moved.take(shares > 0)
    ignored = shares[shares > 0] < LEAST_SHARE
    if kept.ignored is not None:
        ignored |= kept.ignored
    boxes = kept.boxes
    if not objects.rotated:
        boxes = np.clip(boxes, 0, [width, height, width, height])
    return replace(kept, boxes=boxes, ignored=ignored), shares


def share_inside(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Share of each box's area inside `[0, width] x [0, height]`, `(N,)`, 0 of an empty box."""
    outer = cxcywhr_to_xyxy(boxes) if boxes.shape[1] == 5 else boxes
    inner = np.clip(outer, 0, [width, height, width, height])
    whole = area(outer)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(whole > 0, area(inner) / whole, 0.0)
    if boxes.shape[1] == 4:
        return shares
    crossing = np.flatnonzero((shares > 0) & (shares < 1))
    if len(crossing):
        shares[crossing] = _rotated_share(boxes[crossing], width, height)
    return shares


def _rotated_share(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    import shapely

    polygons = shapely.polygons(cxcywhr_to_corners(boxes).reshape(-1, 4, 2))
    inside = shapely.area(shapely.intersection(polygons, shapely.box(0, 0, width, height)))
    return np.clip(inside / area(boxes), 0, 1)


def shifted(objects: Objects, x: float, y: float) -> Objects:
    """Moved right and down."""
    shift = [x, y, 0, 0, 0] if objects.rotated else [x, y, x, y]
    return replace(objects, boxes=objects.boxes + np.array(shift))


def scaled(objects: Objects, x: float, y: float) -> Objects:
    """Resized with their image.

    Unlike factors make a parallelogram of a rotated box, and its box is the smallest around that.
    """
    if not objects.rotated:
        return replace(objects, boxes=objects.boxes * [x, y, x, y])
    if x == y:
        return replace(objects, boxes=objects.boxes * [x, x, x, x, 1])
    corners = cxcywhr_to_corners(objects.boxes) * ([x, y] * 4)
    return replace(objects, boxes=quadrilateral_to_cxcywhr(corners))


def mirrored(objects: Objects, width: float) -> Objects:
    """Flipped left to right with an image of this width."""
    boxes = objects.boxes.copy()
    if not objects.rotated:
        boxes[:, [0, 2]] = width - objects.boxes[:, [2, 0]]
        return replace(objects, boxes=boxes)
    boxes[:, 0] = width - boxes[:, 0]
    boxes[:, 4] = math.pi - boxes[:, 4]
    return replace(objects, boxes=canonical(boxes))


def turned(objects: Objects, turns: int, size: float) -> Objects:
    """Turned by right angles, counter-clockwise, with a square image of this size."""
    boxes = objects.boxes.copy()
    for _ in range(turns % 4):  # (x, y) comes to (y, size - x)
        if objects.rotated:
            boxes[:, 0], boxes[:, 1] = boxes[:, 1].copy(), size - boxes[:, 0]
            boxes[:, 4] += math.pi / 2
        else:
            left, top, right, bottom = boxes.T.copy()
            boxes = np.stack([top, size - right, bottom, size - left], axis=1)
    return replace(objects, boxes=canonical(boxes) if objects.rotated else boxes)
