"""Drawing shapes on the grid of cells.

A landscape is drawn on cells of 1 m, two to a pixel, so that one number is both a position in
metres and in cells: x right, y down, the first cell's centre at (0.5, 0.5). Headings turn
counter-clockwise as displayed from the x axis, as in `ringmoe.boxes`.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.interpolate import CubicSpline

Array = np.ndarray
Patch = tuple[slice, slice]  # rows and columns of the cells that a shape may touch

CELL = 1.0  # metres
CELLS_PER_PIXEL = 2
GSD = CELL * CELLS_PER_PIXEL  # metres; the simulated sensors' ground sampling distance


def patch(shape: tuple[int, int], left: float, top: float, right: float, bottom: float) -> Patch:
    """The cells of the grid whose centres can lie inside a horizontal box; may be empty."""
    rows = slice(max(math.floor(top), 0), max(min(math.ceil(bottom), shape[0]), 0))
    columns = slice(max(math.floor(left), 0), max(min(math.ceil(right), shape[1]), 0))
    return rows, columns


def centres(where: Patch) -> tuple[Array, Array]:
    """X as a row and y as a column: the centres of the cells of a patch."""
    rows, columns = where
    x = np.arange(columns.start, columns.stop) + 0.5
    y = np.arange(rows.start, rows.stop) + 0.5
    return x[None, :], y[:, None]


def to_world(points: Array, x: float, y: float, heading: float) -> Array:
    """Points of a body's own frame (ahead, to the left), `(..., 2)`, on the grid."""
    cos, sin = math.cos(heading), math.sin(heading)
    return points @ np.array([[cos, -sin], [-sin, -cos]]) + (x, y)


def polygon(shape: tuple[int, int], vertices: Array) -> tuple[Patch, Array]:
    """The cells whose centre lies inside a polygon (even-odd rule).

    Args:
        shape: Rows and columns of the grid.
        vertices: `(N, 2)` x and y, in order.

    Returns:
        A patch of the grid and, of that size, whether each cell is inside.
    """
    where = patch(shape, *vertices.min(0), *vertices.max(0))
    x, y = centres(where)
    x1, y1 = vertices.T[:, :, None, None]
    x2, y2 = vertices[[*range(1, len(vertices)), 0]].T[:, :, None, None]
    crosses = (y1 > y) != (y2 > y)
    level = np.where(y1 == y2, 1.0, y2 - y1)  # a level edge is never crossed
    left_of = x < x1 + (y - y1) * ((x2 - x1) / level)
    return where, np.logical_xor.reduce(crosses & left_of, axis=0)


def rectangle(length: float, width: float) -> Array:
    """Corners of a rectangle in its own frame, `(4, 2)`."""
    return np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * (length / 2, width / 2)


def frame(
    shape: tuple[int, int], x: float, y: float, heading: float, length: float, width: float
) -> tuple[Patch, Array, Array]:
    """The cells around a rectangle, with their position ahead of and left of its centre."""
    corners = to_world(rectangle(length, width), x, y, heading)
    where = patch(shape, *corners.min(0), *corners.max(0))
    right, down = (axis - origin for axis, origin in zip(centres(where), (x, y), strict=True))
    cos, sin = math.cos(heading), math.sin(heading)
    return where, right * cos - down * sin, -right * sin - down * cos


class Path:
    """A smooth line on the ground with a point every metre.

    Attributes:
        points: `(N, 2)` x and y.
        headings: `(N,)` direction of travel.
    """

    def __init__(self, points: Array) -> None:
        step = np.hypot(*np.diff(points, axis=0).T)
        along = np.concatenate([[0], np.cumsum(step)])
        metres = np.arange(0, along[-1])
        self.points = np.stack([np.interp(metres, along, axis) for axis in points.T], axis=1)
        x, y = np.gradient(self.points, axis=0).T
        self.headings = np.arctan2(-y, x)

    @classmethod
    def through(cls, control: Array) -> Path:
        """The cubic spline through some points, `(N, 2)`."""
        control = np.asarray(control, float)
        if len(control) < 3:
            return cls(control)
        steps = np.arange(len(control))
        fine = np.linspace(0, len(control) - 1, 60 * len(control))
        return cls(CubicSpline(steps, control)(fine))

    @property
    def length(self) -> float:
        """In metres."""
        return float(len(self.points) - 1)

    def pose(self, along: float, left: float = 0.0) -> tuple[float, float, float]:
        """x, y and heading at a distance from the start, some metres to the left of the line."""
        place = min(max(along, 0.0), self.length)
        index = min(int(place), len(self.points) - 2)
        heading = float(self.headings[index])
        rest = along - index  # goes straight on where the path ends
        start = self.points[index]
        x, y = to_world(np.array([rest, left]), float(start[0]), float(start[1]), heading)
        return float(x), float(y), heading

    def beside(self, left: float) -> Path:
        """The line some metres to the left, with metres of its own: shorter inside a bend."""
        away = np.stack([-np.sin(self.headings), -np.cos(self.headings)], axis=1)
        return Path(self.points + left * away)

    def distance(self, shape: tuple[int, int], reach: float) -> tuple[Array, Array]:
        """Distance of each cell to the line where it is below `reach` (infinite elsewhere).

        Returns:
            The distance in metres and the place along the line of the nearest point (to some
            metres), `(H, W)` float32.
        """
        stride = max(1, int(reach // 3))
        offsets = np.arange(-math.ceil(reach) - stride, math.ceil(reach) + stride + 1)
        points, headings = self.points[::stride], self.headings[::stride]
        corner = np.floor(points).astype(int)
        columns = (corner[:, 0, None] + offsets)[:, None, :]
        rows = (corner[:, 1, None] + offsets)[:, :, None]
        right = (columns + 0.5 - points[:, 0, None, None]).astype(np.float32)
        down = (rows + 0.5 - points[:, 1, None, None]).astype(np.float32)
        cos, sin = (f(headings).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
        # Beside its own stretch of the line a point gives the exact distance to a straight line.
        beyond = np.maximum(np.abs(right * cos - down * sin) - stride, 0)
        squared = np.square(right * sin + down * cos) + np.square(beyond)
        near = squared < reach**2
        near &= (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        cells = (rows * shape[1] + columns)[near]
        nearest = largest(shape, cells, -squared[near], np.nonzero(near)[0])
        away = np.full(shape, np.inf, np.float32)
        np.minimum.at(away.reshape(-1), cells, squared[near])
        return np.sqrt(away), np.maximum(nearest, 0).astype(np.float32) * stride


def largest(shape: tuple[int, int], cells: Array, values: Array, numbers: Array) -> Array:
    """Of the entries that fall on each cell, the number of the one with the largest value.

    Args:
        shape: Rows and columns.
        cells: Flat index of each entry's cell.
        values: Compared to about a thousandth, in (-1e6, 1e6).
        numbers: Of each entry, in [0, 2^20).

    Returns:
        `(H, W)` int64, -1 where nothing falls.
    """
    key = (values.astype(np.float64) * 1024).astype(np.int64) * 2**20 + numbers
    nothing = np.iinfo(np.int64).min
    best = np.full(shape[0] * shape[1], nothing)
    np.maximum.at(best, cells, key)
    return np.where(best > nothing, best % 2**20, -1).reshape(shape)
