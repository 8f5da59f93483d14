"""Polygons in longitude and latitude: across the antimeridian, around a pole, and their area.

Longitudes jump where a ring crosses the antimeridian. So a ring is followed by the shorter way from
each vertex to the next, of which there must be enough; it has gone around a pole if it ends 360
degrees from where it began.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import shapely
from rasterio._err import CPLE_BaseError  # what GDAL's own errors come out as
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

# The ellipsoid of WGS 84: NGA.STND.0036, table 3.1.
SEMI_MAJOR = 6378137.0
FLATTENING = 1 / 298.257223563

_AT_THE_POLE = 90 - 1e-9
_STRAIGHT = 1 / 64  # of a pixel, by which an edge may be off

Array = np.ndarray


def has_degrees(crs: CRS) -> bool:
    """Whether a system's place on Earth is known."""
    try:
        transform(crs, "EPSG:4326", [0.0], [0.0])
    except (CRSError, CPLE_BaseError):
        return False
    return True


def poles_in(crs: CRS) -> Array:
    """Where a system has the poles as points: x and y `(N, 2)`."""
    if crs.is_geographic:
        return np.zeros((0, 2))
    poles = reproject("EPSG:4326", crs, np.array([[0.0, 90], [0, -90]]))
    return poles[np.isfinite(poles).all(axis=1)]


def to_degrees(crs: CRS, points: Array) -> Array:
    """Longitudes, from -180 to 180, and latitudes `(N, 2)` of x and y in a system.

    NaN where there is no place; see `reproject`.
    """
    x, y = reproject(crs, "EPSG:4326", points).T
    return np.stack([np.where(np.abs(x) > 180, x - 360 * np.round(x / 360), x), y], axis=1)


def reproject(source: CRS | str, target: CRS | str, points: Array) -> Array:
    """Points `(N, 2)` of one system in another, NaN where there is no place.

    A satellite sees past the edge of the Earth; GDAL then raises over all points instead of one.
    """
    try:
        moved = np.reshape(transform(source, target, points[:, 0], points[:, 1]), (2, -1)).T
    except CPLE_BaseError:
        if len(points) == 1:
            return np.full((1, 2), np.nan)
        halves = np.array_split(points, 2)
        return np.concatenate([reproject(source, target, half) for half in halves])
    return np.where(np.isfinite(moved), moved, np.nan)


def ground_area(polygons: Array, place: Callable[[Array], Array]) -> Array:
    """Square metres on the ellipsoid of WGS 84.

    The integral along each ring of how much of the ellipsoid lies between its latitude and the
    equator (Snyder, Map Projections: A Working Manual, USGS 1987, eq. 3-12), by Simpson's rule.

    Args:
        polygons: `(N,)` polygons or multi-polygons, in pixels or a map's system; with vertices
            enough for longitude and latitude to be all but straight from one to the next.
        place: From `(N, 2)` points there to longitude and latitude in degrees.

    Returns:
        `(N,)`, NaN where a vertex has no place.
    """
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    edge = np.diff(ring, append=-1) == 0  # from this vertex to the next
    first = np.searchsorted(ring, np.arange(len(rings)))
    begin = np.radians(place(points))
    middle = np.radians(place((points + np.roll(points, -1, axis=0)) / 2))
    end = np.roll(begin, -1, axis=0)
    half, other = _step(begin, middle), _step(middle, end)
    # From each ring's first vertex on: small numbers, so that small areas keep their digits.
    origin = _share(begin[first, 1])
    q0, q1, q2 = (_share(at[:, 1]) - origin[ring] for at in (begin, middle, end))
    strip = q0 * (3 * half - other) + 4 * q1 * (half + other) + q2 * (3 * other - half)
    swept = np.bincount(ring[edge], strip[edge] / 6, len(rings))
    turned = np.bincount(ring[edge], (half + other)[edge], len(rings))
    pole = np.sign(np.bincount(ring, begin[:, 1], len(rings))) * _share(np.pi / 2)
    areas = np.abs(swept + turned * (origin - pole)) * SEMI_MAJOR**2 / 2
    outside = np.diff(part, prepend=-1) != 0
    return np.bincount(owner[part], np.where(outside, areas, -areas), len(polygons))


def _step(start: Array, stop: Array) -> Array:
    """The shorter way from longitude to longitude, exact where they are close."""
    step = stop[:, 0] - start[:, 0]
    return step - 2 * np.pi * np.round(step / (2 * np.pi))


def _share(latitude: Array | float) -> Array:
    """Snyder's q."""
    squared = FLATTENING * (2 - FLATTENING)
    sine, eccentricity = np.sin(latitude), np.sqrt(squared)
    inner = sine / (1 - squared * sine**2) + np.arctanh(eccentricity * sine) / eccentricity
    return (1 - squared) * inner


def cut(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """The same cut at the antimeridian, and closed over a pole (RFC 7946, section 3.1.9).

    Args:
        geometry: In degrees, with vertices enough to tell the shorter way from one to the next.
    """
    longitude = shapely.get_coordinates(geometry)[:, 0]
    if not (np.abs(np.diff(longitude)) > 180).any():
        return geometry
    whole = []
    for polygon in shapely.get_parts(geometry):
        outside, *holes = (_flat(shapely.get_coordinates(r)) for r in shapely.get_rings(polygon))
        whole += _polygons(shapely.difference(outside, shapely.union_all(holes)))
    return MultiPolygon(whole)


def cut_line(line: Array, decimals: int) -> list[Array]:
    """A line in parts that do not cross the antimeridian (RFC 7946, section 3.1.9).

    Args:
        line: `(K, 2)` degrees.
        decimals: Of the latitudes at which it is cut.
    """
    nothing = np.zeros((0, 2))
    parts, start, before = [], 0, nothing
    for k in np.flatnonzero(np.abs(np.diff(line[:, 0])) > 180).tolist():
        side = np.sign(line[k, 0])  # 1 where it leaves eastward
        step = line[k + 1, 0] + side * 360 - line[k, 0]
        share = (side * 180 - line[k, 0]) / step if step else 0.0
        latitude = round(line[k, 1] + share * (line[k + 1, 1] - line[k, 1]), decimals)
        parts.append(_between(before, line[start : k + 1], np.array([[side * 180, latitude]])))
        start, before = k + 1, np.array([[-side * 180, latitude]])
    parts.append(_between(before, line[start:], nothing))
    # A vertex on the antimeridian is no line, but for an object that stays there.
    return [part for part in parts if len(part) > 1] or [line]


def _between(before: Array, part: Array, after: Array) -> Array:
    """A part of a line with the vertices at which it was cut, where it has none there itself."""
    if (before == part[:1]).all():
        before = before[:0]
    if (after == part[-1:]).all():
        after = after[:0]
    return np.concatenate([before, part, after])


def _flat(ring: Array) -> BaseGeometry:
    """What a ring encloses, between longitudes of -180 and 180."""
    ring = _past_poles(ring)
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    turn = ring[-1, 0] - ring[0, 0]
    if abs(turn) > 180:  # the pole is that of the hemisphere in which the ring lies
        pole = np.copysign(90, ring[:, 1].mean())
        around = np.array([turn, 0])
        ring = np.concatenate([ring - around, ring, ring + around])
        ring = np.concatenate([ring, [[ring[-1, 0], pole], [ring[0, 0], pole]]])
    area = shapely.make_valid(Polygon(ring))
    west, _, east, _ = area.bounds
    turns = np.arange(np.floor((west + 180) / 360), np.floor((east + 180) / 360) + 1)
    sides = []
    for shift in 360 * turns:
        side = shapely.intersection(area, box(shift - 180, -90, shift + 180, 90))
        sides += _polygons(shapely.transform(side, lambda p, shift=shift: p - (shift, 0)))
    return shapely.union_all(sides) if abs(turn) > 180 else MultiPolygon(sides)


def _past_poles(ring: Array) -> Array:
    """A vertex that lies on a pole twice, with the longitudes of those before and after it."""
    ring = ring[:-1]
    polar = np.abs(ring[:, 1]) > _AT_THE_POLE
    polar &= ~np.roll(polar, 1) & ~np.roll(polar, -1)
    before, after = np.roll(ring[:, 0], 1)[polar], np.roll(ring[:, 0], -1)[polar]
    longer = np.repeat(ring, 1 + polar, axis=0)
    second = np.flatnonzero(polar) + np.arange(1, polar.sum() + 1)
    longer[second - 1, 0], longer[second, 0] = before, after
    return np.concatenate([longer, longer[:1]])


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    """The polygons of what may hold lines and points too."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return [part for part in parts if isinstance(part, Polygon) and not part.is_empty]


def straightened(geometries: Array, pixels: Array) -> Array:
    """The same without vertices that change next to nothing.

    Args:
        geometries: `(N,)`.
        pixels: `(N,)` areas in pixels; 0 for those to leave as they are.
    """
    some, result = pixels > 0, geometries.copy()
    tolerance = _STRAIGHT * np.sqrt(shapely.area(geometries[some]) / pixels[some])
    result[some] = shapely.simplify(geometries[some], tolerance)
    return result
