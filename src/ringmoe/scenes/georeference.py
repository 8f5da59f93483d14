"""Where the pixels of a scene lie on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from ringmoe.scenes.window import Window


@dataclass(frozen=True)
class Georeference:
    """A coordinate system with a transform or with ground control points; or none at all.

    Attributes:
        crs: The coordinate reference system of what `transform` or `gcps` give.
        transform: From (column, row) of a pixel's upper left corner to map coordinates.
        gcps: Points of known position, where there is no transform (slant-range SAR).
    """

    crs: CRS | None = None
    transform: Affine | None = None
    gcps: tuple[GroundControlPoint, ...] = ()

    @property
    def is_placed(self) -> bool:
        """Whether there is a transform or there are points."""
        return self.transform is not None or bool(self.gcps)

    @property
    def words(self) -> str:
        """Where it lies, for messages."""
        if self.transform is not None:
            return f"corner {self.transform.c:.10g}, {self.transform.f:.10g}"
        if not self.gcps:
            return "no place"
        first = min(self.gcps, key=lambda point: (point.row, point.col))
        return (
            f"{len(self.gcps)} ground control points, the first at {first.x:.10g}, {first.y:.10g}"
        )

    def meets(self, other: Georeference, height: int, width: int) -> bool:
        """Whether pixels lie where those of another grid of as many pixels lie.

        All four corners agree within half a pixel; ground control points, of which two lists may
        have different pixels, are those of the same pixels at the same places. What has no place
        meets only what has none.

        Args:
            other: Its georeference.
            height: Rows of both.
            width: Columns of both.
        """
        if self.crs != other.crs:
            return False
        if self.transform is None or other.transform is None:
            points = [{(p.row, p.col, p.x, p.y) for p in place.gcps} for place in (self, other)]
            return self.transform is other.transform and points[0] == points[1]
        ours, others = (np.reshape(t[:6], (2, 3)) for t in (self.transform, other.transform))
        corners = np.array([(c, r, 1) for c in (0, width) for r in (0, height)]).T
        apart = np.linalg.solve(others[:, :2], (ours - others) @ corners)  # in its pixels
        return bool(np.abs(apart).max() < 0.5)

    def cut(self, window: Window) -> Georeference:
        """That of the window: the transform starts at its corner, so do the points' rows."""
        row, column = window.row, window.column
        transform = self.transform
        if transform is not None:
            a, b, c, d, e, f = transform[:6]
            transform = Affine(a, b, a * column + b * row + c, d, e, d * column + e * row + f)
        gcps = tuple(
            GroundControlPoint(
                row=p.row - row,
                col=p.col - column,
                x=p.x,
                y=p.y,
                z=p.z,
                id=p.id,
                info=p.info,
            )
            for p in self.gcps
        )
        return Georeference(self.crs, transform, gcps)
