"""Areas of one class as polygons, found strip by strip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from rasterio.features import shapes
from rasterio.transform import GCPTransformer
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry import MultiPolygon, Polygon, shape

from ringmoe.deployment.features import GeoJSON, GeoParquet
from ringmoe.errors import ConfigError, GeoreferenceError
from ringmoe.files import replacing
from ringmoe.scenes import Scene

ENDINGS = (".geojson", ".json", ".parquet")

Strips = Iterable[tuple[int, np.ndarray]]
Area = tuple[int, Polygon | MultiPolygon]  # class, and where it lies, in pixels
Project = Callable[[np.ndarray], np.ndarray]


def check_polygons(path: Path, scene: Scene) -> None:
    """Raise if polygons of a scene cannot be written to a file of this name.

    Raises:
        ConfigError: It ends in none of `ENDINGS`.
        GeoreferenceError: The scene has no place on Earth.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: polygons are written as {', '.join(ENDINGS)}; choose one")
    if scene.crs is None or (scene.transform is None and not scene.gcps):
        raise GeoreferenceError(
            f"{scene.path}: has no coordinate reference system, which polygons need: give it one "
            "(gdal_edit.py -a_srs), or leave the polygons away"
        )


def write_polygons(
    path: Path, strips: Strips, scene: Scene, classes: Sequence[str], nodata: int
) -> int:
    """Write each connected area of one class as a polygon.

    Pixels are connected by their sides. GeoJSON is in longitude and latitude (RFC 7946: rings
    counter-clockwise outside, cut at the antimeridian), GeoParquet (version 1.1) in the scene's own
    system. Each has its class (`class`, `class_index`) and, where the system is projected, the area
    of its pixels in square metres (`area_m2`).

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
    pixel_area, count = _pixel_area(scene), 0
    make = GeoParquet if path.suffix.lower() == ".parquet" else GeoJSON
    with (
        to_map(scene) as project,
        replacing(path) as partial,
        make(partial, scene.crs) as out,
    ):
        for areas in trace(strips, nodata):
            if areas:
                geometries = np.array([geometry for _, geometry in areas])
                features = [
                    {
                        "class": classes[number],
                        "class_index": number,
                        "area_m2": pixel_area and pixel_area * geometry.area,
                    }
                    for number, geometry in areas
                ]
                out.add(features, shapely.transform(geometries, project))
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


def _pixel_area(scene: Scene) -> float | None:
    """Square metres of a pixel, if the scene's system is projected."""
    if scene.crs is None or scene.transform is None or not scene.crs.is_projected:
        return None
    a, b, _, d, e, _ = scene.transform[:6]
    return abs(a * e - b * d) * scene.crs.linear_units_factor[1] ** 2
