"""Areas of one class as polygons, found strip by strip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from rasterio.features import shapes
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry import MultiPolygon, Polygon, shape

from ringmoe.deployment.degrees import has_degrees
from ringmoe.deployment.features import GeoJSON, GeoParquet
from ringmoe.deployment.places import Places
from ringmoe.errors import ConfigError, GeoreferenceError
from ringmoe.files import replacing
from ringmoe.scenes import Scene

ENDINGS = (".geojson", ".json", ".parquet")

Strips = Iterable[tuple[int, np.ndarray]]
Area = tuple[int, Polygon | MultiPolygon]  # class, and where it lies, in pixels


def check_polygons(path: Path, scene: Scene) -> None:
    """Raise if polygons of a scene cannot be written to a file of this name.

    Raises:
        ConfigError: It ends in none of `ENDINGS`.
        GeoreferenceError: The scene has no place, or for GeoJSON none on Earth.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: polygons are written as {', '.join(ENDINGS)}; choose one")
    if scene.crs is None or (scene.transform is None and not scene.gcps):
        raise GeoreferenceError(
            f"{scene.path}: has no coordinate reference system, which polygons need: give it one "
            "(gdal_edit.py -a_srs), or leave the polygons away"
        )
    if path.suffix.lower() != ".parquet" and not has_degrees(scene.crs):
        raise GeoreferenceError(
            f"{scene.path}: nobody knows where on Earth its coordinate reference system "
            f"{scene.crs} lies, so {path.name} cannot be in degrees: write a .parquet"
        )


def write_polygons(
    path: Path, strips: Strips, scene: Scene, classes: Sequence[str], nodata: int
) -> int:
    """Write each connected area of one class as a polygon.

    Pixels are connected by their sides. GeoJSON is in longitude and latitude (RFC 7946: rings
    counter-clockwise outside, cut at the antimeridian, closed over a pole), GeoParquet (version
    1.1) in the scene's own system. Where an edge that is straight in the scene is not so in the
    file, it has vertices between its corners. Each has its class (`class`, `class_index`) and, if
    the system's place on Earth is known, its area on the ground in square metres (`area_m2`).

    Args:
        path: The file, whole or not at all; `.geojson`, `.json` or `.parquet`.
        strips: First row and classes `(rows, width)` of one strip after the other.
        scene: Where the map lies.
        classes: Names of the classes.
        nodata: Not a class.

    Returns:
        How many polygons.

    Raises:
        ConfigError, GeoreferenceError: See `check_polygons`.
        WriteError: Disk full, no permission and the like; an old file stands untouched.
    """
    check_polygons(path, scene)
    count, is_table = 0, path.suffix.lower() == ".parquet"
    make = GeoParquet if is_table else GeoJSON
    with (
        Places.of(scene) as places,
        replacing(path) as partial,
        make(partial, scene.crs) as out,
    ):
        for areas in trace(strips, nodata):
            if areas:
                geometries = np.array([geometry for _, geometry in areas], object)
                placed, pixels, extents = places.of_areas(geometries)
                features = [
                    {"class": classes[number], "class_index": number, "area_m2": extent}
                    for (number, _), extent in zip(areas, extents, strict=True)
                ]
                if is_table and scene.transform is not None:  # straight as it is
                    out.add(features, shapely.transform(geometries, places.project))
                else:
                    out.add(features, placed, pixels)
                count += len(features)
    return count


def trace(strips: Strips, nodata: int) -> Iterator[list[Area]]:
    """The areas that are complete after each strip, in pixels: x to the right, y down.

    What is held in memory is areas that reach the last row of a strip; these go on below.
    """
    unfinished: list[tuple[int, list[Polygon]]] = []  # class, and its parts in the strips so far
    above = np.zeros(0, np.int32)  # which of them, counted from 1, lie in the last row
    for row, labels in strips:
        ids, classes = _label(labels, nodata, len(unfinished) + 1)
        areas = [*unfinished, *((number, []) for number in classes)]
        place = Affine.translation(0, row)
        for geometry, area in shapes(ids, ids > 0, connectivity=4, transform=place):
            areas[int(area) - 1][1].append(shape(geometry))
        joined = _join(above, ids[0], np.array([0, *(number for number, _ in areas)]))
        whole: dict[int, tuple[int, list[Polygon]]] = {}
        for area, (number, parts) in zip(joined[1:].tolist(), areas, strict=True):
            whole.setdefault(area, (number, []))[1].extend(parts)
        last = joined[ids[-1]]
        going_on = [area for area in np.unique(last).tolist() if area in whole]
        unfinished = [whole.pop(area) for area in going_on]
        renumbered = np.zeros(len(joined), np.int32)
        renumbered[going_on] = np.arange(1, len(going_on) + 1)
        above = renumbered[last]
        yield [(number, _union(parts)) for number, parts in whole.values()]
    yield [(number, _union(parts)) for number, parts in unfinished]


def _label(labels: np.ndarray, nodata: int, first: int) -> tuple[np.ndarray, list[int]]:
    """Number the connected areas of a strip from `first`, 0 for nodata; and the class of each."""
    ids, classes = np.zeros(labels.shape, np.int32), list[int]()
    for number in np.unique(labels).tolist():
        if number == nodata:
            continue
        areas, count = ndimage.label(labels == number)
        np.copyto(ids, areas + np.int32(first + len(classes) - 1), where=areas > 0)
        classes += [number] * count
    return ids, classes


def _join(above: np.ndarray, below: np.ndarray, class_of: np.ndarray) -> np.ndarray:
    """Which areas are one: those of a class whose pixels touch across two rows.

    Args:
        above: The areas in the upper row, 0 for nodata; empty if there is no upper row.
        below: Those in the lower row.
        class_of: Of each area, by its number.

    Returns:
        A number for each area, equal for those that are one.
    """
    below = below[: len(above)]
    touch = (above > 0) & (below > 0) & (class_of[above] == class_of[below])
    pairs = above[touch], below[touch]
    graph = csr_array((np.ones(len(pairs[0]), bool), pairs), shape=(len(class_of),) * 2)
    return connected_components(graph, directed=False)[1]


def _union(parts: list[Polygon]) -> Polygon | MultiPolygon:
    """One area of its parts in the strips, without the corners that only strips have.

    A ring that meets itself in a corner is split there: standards allow no such ring.
    """
    valid = [part if part.is_valid else shapely.make_valid(part) for part in parts]
    return (valid[0] if len(valid) == 1 else shapely.union_all(valid)).simplify(0)
