"""Where a scene's pixels lie: in its system, and on the ground."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.transform import GCPTransformer
from shapely.geometry import Point, box

from ringmoe.deployment.degrees import SEMI_MAJOR, ground_area, has_degrees, poles_in, to_degrees
from ringmoe.scenes import Scene

_PARTS = 64  # at least, of an edge along a scene: a polynomial of control points may bend it
_NEAR_POLE = 8  # pixels; and vertices a pixel there

Project = Callable[[np.ndarray], np.ndarray]


@contextmanager
def to_map(scene: Scene) -> Iterator[Project]:
    """From `(N, 2)` columns and rows of a scene that has a place to x and y in its system."""
    if scene.transform is not None:
        a, b, c, d, e, f = scene.transform[:6]
        yield lambda pixels: pixels @ np.array([[a, d], [b, e]]) + (c, f)
        return
    with GCPTransformer(scene.gcps) as transformer:
        yield lambda pixels: np.stack(
            transformer.xy(pixels[:, 1], pixels[:, 0], offset="ul"), axis=1
        )


def plane_around(longitude: float, latitude: float) -> str:
    """A system of metres on the ground around a place (azimuthal equidistant)."""
    return f"+proj=aeqd +lat_0={latitude:.9f} +lon_0={longitude:.9f} +datum=WGS84 +units=m"


@dataclass(frozen=True)
class Places:
    """Where areas of a scene lie, with vertices also between their corners.

    An edge that is straight in the scene is not in longitude and latitude: between vertices it may
    be off by a sixteenth of a pixel.

    Attributes:
        project: From pixels to the scene's system.
        crs: That system; None if nobody knows where on Earth it lies.
        spacing: Pixels between vertices, at most.
        poles: In pixels, of those in the scene or beside it. What passes one needs vertices there,
            as longitude turns.
    """

    project: Project
    crs: CRS | None
    spacing: float = np.inf
    poles: tuple[Point, ...] = ()

    @classmethod
    @contextmanager
    def of(cls, scene: Scene) -> Iterator[Places]:
        """Those of a scene that has a place, while the context lasts."""
        assert scene.crs is not None
        with to_map(scene) as project:
            if not has_degrees(scene.crs):
                yield cls(project, None)
                return
            yield cls(project, scene.crs, _spacing(scene, project), _poles(scene))

    def of_areas(self, geometries: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[float | None]]:
        """Areas of pixels in the scene's system.

        Args:
            geometries: `(N,)` polygons in pixels.

        Returns:
            The same with more vertices; of each, its area in pixels if it has got any, else 0; and
            its area on the ground in square metres, None where nobody knows.
        """
        dense = self._dense(geometries)
        placed = shapely.transform(dense, self.project)
        longer = shapely.get_num_coordinates(dense) > shapely.get_num_coordinates(geometries)
        pixels = np.where(longer, shapely.area(geometries), 0.0)
        if self.crs is None:
            return placed, pixels, [None] * len(placed)
        areas = ground_area(dense, partial(_degrees, self.crs, self.project))
        return placed, pixels, [a if np.isfinite(a) else None for a in areas.tolist()]

    def _dense(self, geometries: np.ndarray) -> np.ndarray:
        if self.crs is None:
            return geometries
        dense = shapely.segmentize(geometries, self.spacing)
        for pole in self.poles:
            near = shapely.distance(shapely.boundary(dense), pole) < _NEAR_POLE
            dense[near] = shapely.segmentize(dense[near], 1 / _NEAR_POLE)
        return dense


def _spacing(scene: Scene, project: Project) -> float:
    """Pixels of an edge that bend by less than a sixteenth of a pixel.

    A great circle of d metres is off the line between its ends, in longitude and latitude, by
    d^2 tan(latitude) / 8 R; lines that are straight in a map bend about as much.
    """
    assert scene.crs is not None
    columns, rows = np.meshgrid(*(np.linspace(0, n, 9) for n in (scene.width, scene.height)))
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    latitudes = _degrees(scene.crs, project, pixels)[:, 1]
    latitude = np.abs(latitudes[np.isfinite(latitudes)]).max(initial=45)
    if scene.transform is not None and scene.crs.is_geographic:
        latitude = np.array(45.0)  # lines of longitude and latitude are straight up to the poles
    column, row = scene.width // 2, scene.height // 2
    pixel = np.array([box(column, row, column + 1, row + 1)])
    (area,) = ground_area(pixel, partial(_degrees, scene.crs, project))
    if not area > 0:
        return 1.0
    bend = np.tan(np.radians(np.minimum(latitude, 89.999))) / SEMI_MAJOR
    spacing = max(1.0, np.sqrt(1 / (2 * bend * np.sqrt(area))))
    if scene.transform is not None:
        return spacing
    return min(spacing, max(1.0, max(scene.height, scene.width) / _PARTS))


def _poles(scene: Scene) -> tuple[Point, ...]:
    """The poles of the Earth in pixels, of those that are near the scene."""
    if scene.transform is None or scene.crs is None:
        return ()
    whole = box(0, 0, scene.width, scene.height).buffer(_NEAR_POLE)
    poles = [Point(~scene.transform @ tuple(pole)) for pole in poles_in(scene.crs)]
    return tuple(pole for pole in poles if whole.contains(pole))


def _degrees(crs: CRS, project: Project, pixels: np.ndarray) -> np.ndarray:
    return to_degrees(crs, project(pixels))
