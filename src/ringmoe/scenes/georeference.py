"""Where the pixels of a scene lie on the ground."""

from __future__ import annotations

from dataclasses import dataclass

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
