"""Polygons with properties on disk: GeoJSON and GeoParquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform as reproject
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.polygon import orient

_DECIMALS = 9  # of degrees: a tenth of a millimetre


class GeoJSON:
    """Features line by line: https://www.rfc-editor.org/rfc/rfc7946.

    Args:
        path: The file.
        crs: Of the geometries that `add` is given.
    """

    def __init__(self, path: Path, crs: CRS) -> None:
        self._crs, self._before = crs, "\n"
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> GeoJSON:
        self._file.write('{"type": "FeatureCollection", "features": [')
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.write("\n]}\n")

    def add(self, features: list[dict[str, Any]], geometries: np.ndarray) -> None:
        """Write features: their properties, and their polygons."""
        for properties, geometry in zip(
            features, shapely.transform(geometries, self._to_degrees), strict=True
        ):
            feature = {
                "type": "Feature",
                "properties": properties,
                "geometry": mapping(_oriented(_cut(geometry))),
            }
            self._file.write(self._before + json.dumps(feature))
            self._before = ",\n"

    def _to_degrees(self, points: np.ndarray) -> np.ndarray:
        x, y = reproject(self._crs, "EPSG:4326", points[:, 0], points[:, 1])
        return np.round(np.stack([x, y], axis=1), _DECIMALS)


class GeoParquet:
    """Well-known binary with metadata: https://geoparquet.org/releases/v1.1.0/.

    Args:
        path: The file.
        crs: Of the geometries that `add` is given, and of the file.
    """

    def __init__(self, path: Path, crs: CRS) -> None:
        columns = {
            "class": pa.string(),
            "class_index": pa.int32(),
            "area_m2": pa.float64(),
            "geometry": pa.binary(),
        }
        self._crs, self._kinds, self._bounds = crs, set[str](), list[np.ndarray]()
        self._writer = pq.ParquetWriter(path, pa.schema(list(columns.items())))

    def __enter__(self) -> GeoParquet:
        return self

    def __exit__(self, *_: object) -> None:
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": sorted(self._kinds),
            "crs": self._crs.to_dict(projjson=True),
            "orientation": "counterclockwise",
        }
        if self._bounds:
            low, high = np.split(np.array(self._bounds), 2, axis=1)
            column["bbox"] = [*low.min(0).tolist(), *high.max(0).tolist()]
        about = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
        self._writer.add_key_value_metadata({"geo": json.dumps(about)})
        self._writer.close()

    def add(self, features: list[dict[str, Any]], geometries: np.ndarray) -> None:
        """Write features: their properties, and their polygons."""
        oriented = [_oriented(geometry) for geometry in geometries]
        rows = [
            properties | {"geometry": wkb}
            for properties, wkb in zip(features, shapely.to_wkb(oriented), strict=True)
        ]
        self._kinds.update(geometry.geom_type for geometry in oriented)
        self._bounds.append(shapely.total_bounds(oriented))
        self._writer.write_table(pa.Table.from_pylist(rows, self._writer.schema))


def _oriented(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """The same with rings counter-clockwise outside, clockwise inside."""
    if isinstance(geometry, Polygon):
        return orient(geometry)
    return MultiPolygon([orient(part) for part in geometry.geoms])


def _cut(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """The same in two where it crosses the antimeridian, where longitudes jump (section 3.1.9)."""
    west, _, east, _ = geometry.bounds
    if east - west <= 180:
        return geometry
    eastward = shapely.transform(
        geometry, lambda points: points + np.where(points[:, :1] < 0, (360, 0), (0, 0))
    )
    sides = []
    for shift in (0, 360):
        side = shapely.intersection(eastward, box(shift - 180, -90, shift + 180, 90))
        side = shapely.transform(side, lambda points, shift=shift: points - (shift, 0))
        sides += [part for part in shapely.get_parts(side) if isinstance(part, Polygon)]
    return MultiPolygon(sides)
