"""The smallest rotated boxes around points: of hand-drawn quadrilaterals, polygons, masks.

One edge of the smallest rectangle lies along an edge of the convex hull (Freeman and Shapira 1975,
doi:10.1145/360881.360919), so that each of these directions is tried. Back from a box to a polygon
it is `cxcywhr_to_corners`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from ringmoe.boxes.forms import canonical
from ringmoe.errors import ShapeError


def polygon_to_cxcywhr(points: ArrayLike) -> np.ndarray:
    """The smallest rotated box around a polygon, or around any points.

    Points on one line give a box without width.

    Args:
        points: `(N, 2)` x and y, in any order, at least one.

    Returns:
        `(5,)`, canonical.

    Raises:
        ShapeError: The points are not `(N, 2)`, or there is none.
    """
    import shapely

    array = np.array(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ShapeError(f"expected points (N, 2), at least one, got shape {array.shape}")
    hull = shapely.get_coordinates(shapely.convex_hull(shapely.multipoints(array)))
    edges = np.diff(hull, axis=0) if len(hull) > 1 else np.array([[1.0, 0]])
    return _smallest(hull, edges)


def quadrilateral_to_cxcywhr(corners: ArrayLike) -> np.ndarray:
    """The smallest rotated boxes around four points.

    Where people drew quadrilaterals that are no rectangles, as in DOTA, this has more in common
    with what they drew than the mean edges of `corners_to_cxcywhr` (docs/boxes.md has figures).

    Args:
        corners: `(..., 8)`, in any order.

    Returns:
        `(..., 5)`, canonical.

    Raises:
        ShapeError: The corners are not `(..., 8)`.
    """
    array = np.array(corners, np.float64)
    if array.ndim == 0 or array.shape[-1] != 8:
        raise ShapeError(f"expected 8 numbers on the last axis, got shape {array.shape}")
    points = array.reshape(*array.shape[:-1], 4, 2)
    first, second = np.array(list(combinations(range(4), 2))).T  # an edge of the hull joins two
    return _smallest(points, points[..., second, :] - points[..., first, :])


def _smallest(points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The smallest box around `(..., P, 2)` points with an edge along one of `(..., D, 2)`."""
    angles = np.arctan2(-directions[..., 1], directions[..., 0])
    cos, sin = np.cos(angles)[..., None], np.sin(angles)[..., None]
    x, y = points[..., None, :, 0], points[..., None, :, 1]
    spans = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-2)  # along, across; of points
    low, high = spans.min(-1), spans.max(-1)  # (..., D, 2)
    best = (high - low).prod(-1).argmin(-1)[..., None]
    angle = np.take_along_axis(angles, best, -1)[..., 0]
    low, high = (np.take_along_axis(end, best[..., None], -2)[..., 0, :] for end in (low, high))
    along, across = np.moveaxis((low + high) / 2, -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    centre = along * cos + across * sin, across * cos - along * sin
    return canonical(np.stack([*centre, *np.moveaxis(high - low, -1, 0), angle], axis=-1))
