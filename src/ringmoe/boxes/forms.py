"""Conversions between the forms of boxes; `ringmoe.boxes` says what each form is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ringmoe.errors import ShapeError

Boxes = np.ndarray

# Front left, front right, back right, back left, in halves of the long and the short edge, with
# the long edge along the direction r and "left" a quarter turn counter-clockwise from it.
_CORNERS = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / 2


def cxcywhr_to_corners(boxes: ArrayLike) -> Boxes:
    """The four corners of rotated boxes.

    Args:
        boxes: `(..., 5)`: centre, edges and angle; not necessarily canonical.

    Returns:
        `(..., 8)`.
    """
    boxes = _checked(boxes, 5, "cxcywhr")
    cos, sin = np.cos(boxes[..., 4:]), np.sin(boxes[..., 4:])
    along = _CORNERS[:, 0] * boxes[..., 2:3]
    left = _CORNERS[:, 1] * boxes[..., 3:4]
    x = boxes[..., 0:1] + along * cos - left * sin
    y = boxes[..., 1:2] - along * sin - left * cos
    return np.stack([x, y], axis=-1).reshape(*boxes.shape[:-1], 8)


def corners_to_cxcywhr(corners: ArrayLike) -> Boxes:
    """Canonical rotated boxes of four corners.

    Exact for rectangles. Of another quadrilateral (DOTA's hand-drawn ones) it keeps the centre of
    gravity of the corners, the mean direction of the two longer of the opposite edges, and the mean
    lengths of opposite edges.

    Args:
        corners: `(..., 8)`, in order around the box, clockwise or not.

    Returns:
        `(..., 5)`, canonical.
    """
    points = _checked(corners, 8, "corners").reshape(*np.shape(corners)[:-1], 4, 2)
    edges = np.roll(points, -1, axis=-2) - points
    lengths = np.linalg.norm(edges, axis=-1)
    width, height = np.moveaxis(lengths[..., :2] + lengths[..., 2:], -1, 0) / 2
    first, second = np.moveaxis(edges[..., :2, :] - edges[..., 2:, :], -2, 0)
    # A pixel that a corner is off turns the short edges most; one of no length has no direction.
    along = np.where((width >= height)[..., None], first, second)
    angle = np.arctan2(-along[..., 1], along[..., 0])
    long, short = np.maximum(width, height), np.minimum(width, height)
    centre = points.mean(axis=-2)
    return canonical(np.stack([centre[..., 0], centre[..., 1], long, short, angle], axis=-1))


def canonical(boxes: ArrayLike) -> Boxes:
    """The same rotated boxes with the long edge first and the angle in [-pi/2, pi/2).

    Args:
        boxes: `(..., 5)`, edges in any order, any angle.

    Returns:
        `(..., 5)`. A square keeps its edges' order.
    """
    boxes = _checked(boxes, 5, "cxcywhr").copy()
    swap = boxes[..., 3] > boxes[..., 2]
    boxes[swap, 2], boxes[swap, 3] = boxes[swap, 3], boxes[swap, 2]
    boxes[..., 4] += np.where(swap, math.pi / 2, 0)
    turn = (boxes[..., 4] + math.pi / 2) % math.pi  # may be rounded to pi itself
    boxes[..., 4] = np.where(turn < math.pi, turn, 0) - math.pi / 2
    return boxes


def xyxy_to_cxcywhr(boxes: ArrayLike) -> Boxes:
    """Horizontal boxes as canonical rotated ones, `(..., 4)` to `(..., 5)`."""
    left, top, right, bottom = np.moveaxis(_checked(boxes, 4, "xyxy"), -1, 0)
    upright = np.zeros_like(left)
    x, y = (left + right) / 2, (top + bottom) / 2
    return canonical(np.stack([x, y, right - left, bottom - top, upright], axis=-1))


def xyxy_to_corners(boxes: ArrayLike) -> Boxes:
    """Horizontal boxes as corners, clockwise from the top left: `(..., 4)` to `(..., 8)`."""
    return _checked(boxes, 4, "xyxy")[..., [0, 1, 2, 1, 2, 3, 0, 3]]


def cxcywhr_to_xyxy(boxes: ArrayLike) -> Boxes:
    """The smallest horizontal boxes around rotated ones, `(..., 5)` to `(..., 4)`."""
    return enclosing(cxcywhr_to_corners(boxes))


def enclosing(points: ArrayLike) -> Boxes:
    """The smallest horizontal boxes around points.

    Args:
        points: `(..., 2 N)`: x1 y1 x2 y2 ..., such as corners or an outline.

    Returns:
        `(..., 4)` xyxy.
    """
    points = np.asarray(points, np.float64)
    x, y = points[..., 0::2], points[..., 1::2]
    return np.stack([x.min(-1), y.min(-1), x.max(-1), y.max(-1)], axis=-1)


def centres(boxes: np.ndarray) -> np.ndarray:
    """The centres of xyxy `(..., 4)` or cxcywhr `(..., 5)`: `(..., 2)` x and y."""
    if boxes.shape[-1] == 5:
        return boxes[..., :2]
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def area(boxes: ArrayLike) -> np.ndarray:
    """Areas in square pixels of xyxy `(..., 4)`, cxcywhr `(..., 5)` or corners `(..., 8)`.

    Raises:
        ShapeError: The last axis is of no such form.
    """
    boxes = np.asarray(boxes, np.float64)
    size = boxes.shape[-1] if boxes.ndim else 0
    if size == 4:
        return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    if size == 5:
        return boxes[..., 2] * boxes[..., 3]
    x, y = (_checked(boxes, 8, "xyxy, cxcywhr or corners")[..., i::2] for i in (0, 1))
    doubled = x * np.roll(y, -1, axis=-1) - np.roll(x, -1, axis=-1) * y  # the shoelace formula
    return np.abs(doubled.sum(-1)) / 2


def _checked(boxes: ArrayLike, size: int, form: str) -> Boxes:
    array = np.asarray(boxes, np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ShapeError(
            f"boxes in the form {form} have {size} numbers on the last axis, "
            f"got shape {array.shape}"
        )
    return array
