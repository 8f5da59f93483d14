"""Objects of a scene as GeoJSON or GeoParquet: where and how they lie, and how long they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from rasterio.crs import CRS

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.deployment.degrees import FLATTENING, SEMI_MAJOR, has_degrees, reproject
from ringmoe.deployment.features import GeoJSON, GeoParquet
from ringmoe.deployment.places import to_map
from ringmoe.deployment.polygons import ENDINGS
from ringmoe.errors import ConfigError, GeoreferenceError
from ringmoe.files import replacing
from ringmoe.scenes import Scene

COLUMNS = {
    "class": pa.string(),
    "class_index": pa.int32(),
    "score": pa.float64(),
    "column": pa.float64(),
    "row": pa.float64(),
    "angle": pa.float64(),
    "azimuth_deg": pa.float64(),
    "length_m": pa.float64(),
    "width_m": pa.float64(),
}
"""Properties of objects."""

Array = np.ndarray


def check_objects(path: Path, scene: Scene) -> None:
    """Raise if objects of a scene cannot be written to a file of this name.

    Raises:
        ConfigError: It ends in none of `ENDINGS`.
        GeoreferenceError: The scene's system has no known place on Earth.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"{path}: objects are written as {', '.join(ENDINGS)}: choose one (a .tif is a map, "
            "which a detector does not make)"
        )
    if not has_place(scene):
        return
    assert scene.crs is not None
    if not has_degrees(scene.crs):
        raise GeoreferenceError(
            f"{scene.path}: nobody knows where on Earth its coordinate reference system "
            f"{scene.crs} lies: give it another (gdal_edit.py -a_srs), or none"
        )


def has_place(scene: Scene) -> bool:
    """Whether a scene's pixels have coordinates."""
    return scene.crs is not None and (scene.transform is not None or bool(scene.gcps))


def write_objects(path: Path, objects: Objects, scene: Scene, classes: Sequence[str]) -> None:
    """Write objects with what can be said of each.

    GeoJSON is in longitude and latitude (RFC 7946), GeoParquet (version 1.1) in the scene's own
    system. Of a scene without a place both are in its pixels, x to the right and y down, and say
    that there is no system (`"crs": null`).

    Args:
        path: The file, whole or not at all; `.geojson`, `.json` or `.parquet`.
        objects: With scores, in pixels of the scene.
        scene: Where they lie.
        classes: Names of the classes.

    Raises:
        ConfigError, GeoreferenceError: See `check_objects`.
        WriteError: Disk full, no permission and the like; an old file stands untouched.
    """
    check_objects(path, scene)
    rotated = objects.boxes if objects.rotated else boxes.xyxy_to_cxcywhr(objects.boxes)
    corners = boxes.cxcywhr_to_corners(rotated).reshape(-1, 4, 2)
    placed, crs = corners, None
    size = np.full((len(objects), 3), np.nan)
    if has_place(scene):
        assert scene.crs is not None
        crs = scene.crs
        with to_map(scene) as project:
            placed = project(corners.reshape(-1, 2)).reshape(corners.shape)
        if len(objects):
            size = np.stack(measured(placed, crs), axis=1)
    features = [_properties(objects, classes, rotated, size, i) for i in range(len(objects))]
    with replacing(path) as partial:
        is_table = path.suffix.lower() == ".parquet"
        writer = GeoParquet(partial, crs, COLUMNS) if is_table else GeoJSON(partial, crs)
        with writer as out:
            out.add(features, shapely.polygons(placed))


def measured(corners: Array, crs: CRS) -> tuple[Array, Array, Array]:
    """Length, width and azimuth on the ground of boxes on a map.

    Lengths are those on the ellipsoid of WGS 84, whatever the system of the map: maps stretch, that
    of the web (EPSG:3857) at 60 degrees of latitude twofold. They are those of straight lines
    between the corners in space, which for boxes of 10 km is good to a millionth, at the poles too
    (geocentric coordinates by Snyder, Map Projections: A Working Manual, USGS 1987, eq. 4-20).

    Args:
        corners: `(N, 4, 2)` x and y in the map's system, in the order of `ringmoe.boxes`.
        crs: The map's system.

    Returns:
        Metres of the long and the short edge, the mean of opposite ones; and the direction of the
        long one in degrees clockwise from north, in [0, 180). Each `(N,)`, NaN off the Earth.
    """
    degrees = reproject(crs, "EPSG:4326", corners.reshape(-1, 2))
    longitude, latitude = np.radians(degrees).reshape(-1, 4, 2).transpose(2, 0, 1)
    equator = [np.cos(longitude), np.sin(longitude)]
    upward = np.stack([*(np.cos(latitude) * equator), np.sin(latitude)], axis=2)
    squared = FLATTENING * (2 - FLATTENING)
    radius = SEMI_MAJOR / np.sqrt(1 - squared * np.sin(latitude) ** 2)
    points = radius[..., None] * upward * [1, 1, 1 - squared]
    # Corners are front left, front right, back right, back left: see `ringmoe.boxes`.
    along = (points[:, 0] - points[:, 3] + points[:, 1] - points[:, 2]) / 2
    across = (points[:, 0] - points[:, 1] + points[:, 3] - points[:, 2]) / 2
    lengths = np.linalg.norm([along, across], axis=2)
    longer = np.where(lengths[:1].T >= lengths[1:].T, along, across)  # on the ground
    middle = upward.mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    east = np.cross([0, 0, 1], middle)
    north = np.cross(middle, east)  # as long as east is, whatever that is
    azimuth = np.degrees(np.arctan2((longer * east).sum(1), (longer * north).sum(1))) % 180
    return lengths.max(axis=0), lengths.min(axis=0), azimuth


def _properties(
    objects: Objects, classes: Sequence[str], rotated: Array, size: Array, i: int
) -> dict[str, Any]:
    assert objects.scores is not None
    length, width, azimuth = (None if np.isnan(value) else float(value) for value in size[i])
    index = int(objects.classes[i])
    return {
        "class": classes[index],
        "class_index": index,
        "score": float(objects.scores[i]),
        "column": float(rotated[i, 0]),
        "row": float(rotated[i, 1]),
        "angle": float(rotated[i, 4]),
        "azimuth_deg": azimuth,
        "length_m": length,
        "width_m": width,
    }
