"""Boxes around outlines: polygons, and the pixels of an instance."""

from __future__ import annotations

import numpy as np
import shapely

from ringmoe.boxes import canonical


def smallest_rectangle(points: np.ndarray) -> np.ndarray:
    """The rectangle of least area around points, canonical `(5,)` cxcywhr.

    One of its edges lies along an edge of the convex hull (Freeman and Shapira 1975,
    doi:10.1145/360881.360919), so that each of these directions is tried. Points on one line give
    a box without width.

    Args:
        points: `(N, 2)` x and y, at least one.
    """
    hull = shapely.get_coordinates(shapely.convex_hull(shapely.multipoints(points)))
    edges = np.diff(hull, axis=0)
    angles = np.arctan2(-edges[:, 1], edges[:, 0]) if len(edges) else np.zeros(1)
    along = np.stack([np.cos(angles), -np.sin(angles)])
    across = np.stack([np.sin(angles), np.cos(angles)])
    first, second = hull @ along, hull @ across  # (points, directions)
    low = np.stack([first.min(0), second.min(0)])
    high = np.stack([first.max(0), second.max(0)])
    best = np.prod(high - low, axis=0).argmin()
    centre = (low + high)[:, best] / 2
    x, y = centre[0] * along[:, best] + centre[1] * across[:, best]
    width, height = (high - low)[:, best]
    return canonical([x, y, width, height, angles[best]])
