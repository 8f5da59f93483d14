"""Polygons with properties on disk: GeoJSON and GeoParquet."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from rasterio.crs import CRS
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.polygon import orient

from ringmoe.deployment.degrees import cut, straightened, to_degrees

logger = logging.getLogger(__name__)

_DECIMALS = 9  # of degrees: a tenth of a millimetre

AREAS = {"class": pa.string(), "class_index": pa.int32(), "area_m2": pa.float64()}
"""Properties of the areas of a map."""


class GeoJSON:
    """Features line by line: https://www.rfc-editor.org/rfc/rfc7946.

    Args:
        path: The file.
        crs: Of the geometries that `add` is given. None for those that have no place on Earth: the
            coordinates stay as they are, and the collection says `"crs": null`, by which GeoJSON
            of 2008 means that none can be assumed.
    """

    def __init__(self, path: Path, crs: CRS | None) -> None:
        self._crs, self._before, self._lost = crs, "\n", 0
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> GeoJSON:
        system = "" if self._crs is not None else ' "crs": null,'
        self._file.write(f'{{"type": "FeatureCollection",{system} "features": [')
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.write("\n]}\n")
        if self._lost:
            logger.warning(
                "%d features reach past the edge of the Earth, where there is no longitude: left "
                "out; a .parquet file has them",
                self._lost,
            )

    def add(
        self,
        features: list[dict[str, Any]],
        geometries: np.ndarray,
        pixels: np.ndarray | None = None,
    ) -> None:
        """Write features: their properties, and their polygons.

        Args:
            features: Properties.
            geometries: Polygons.
            pixels: The area of each in pixels where it has more vertices than corners, else 0; of
                these vertices those are kept that longitude and latitude need. None for 0.
        """
        placed = geometries
        if self._crs is not None:
            points, owner = shapely.get_coordinates(geometries, return_index=True)
            degrees = np.round(to_degrees(self._crs, points), _DECIMALS)
            lost = np.bincount(owner, np.isnan(degrees).any(axis=1), len(geometries)) > 0
            self._lost += int(lost.sum())
            features = [feature for feature, gone in zip(features, lost, strict=True) if not gone]
            pixels = None if pixels is None else pixels[~lost]
            placed = shapely.set_coordinates(geometries[~lost], degrees[~lost[owner]])
            placed = np.array([cut(geometry) for geometry in placed], object)
        shapes = [_oriented(geometry) for geometry in _straight(placed, pixels)]
        for properties, geometry in zip(features, shapely.to_geojson(shapes), strict=True):
            about = f'"type": "Feature", "properties": {json.dumps(properties)}'
            self._file.write(f'{self._before}{{{about}, "geometry": {geometry}}}')
            self._before = ",\n"


class GeoParquet:
    """Well-known binary with metadata: https://geoparquet.org/releases/v1.1.0/.

    Args:
        path: The file.
        crs: Of the geometries that `add` is given, and of the file; None for unknown.
        columns: Properties and their types.
    """

    def __init__(
        self, path: Path, crs: CRS | None, columns: Mapping[str, pa.DataType] = AREAS
    ) -> None:
        geometry = {
            "encoding": "WKB",
            "geometry_types": ["MultiPolygon", "Polygon"],
            "crs": None if crs is None else crs.to_dict(projjson=True),
            "orientation": "counterclockwise",
        }
        about = {
            "version": "1.1.0",
            "primary_column": "geometry",
            "columns": {"geometry": geometry},
        }
        fields = [*columns.items(), ("geometry", pa.binary())]
        schema = pa.schema(fields, {"geo": json.dumps(about)})
        self._writer = pq.ParquetWriter(path, schema)

    def __enter__(self) -> GeoParquet:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(
        self,
        features: list[dict[str, Any]],
        geometries: np.ndarray,
        pixels: np.ndarray | None = None,
    ) -> None:
        """Write features: their properties, and their polygons; see `GeoJSON.add`."""
        straight = _straight(geometries, pixels)
        shapes = shapely.to_wkb([_oriented(geometry) for geometry in straight])
        rows = [p | {"geometry": shape} for p, shape in zip(features, shapes, strict=True)]
        self._writer.write_table(pa.Table.from_pylist(rows, self._writer.schema))


def _straight(geometries: np.ndarray, pixels: np.ndarray | None) -> np.ndarray:
    return geometries if pixels is None else straightened(geometries, pixels)


def _oriented(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """The same with rings counter-clockwise outside, clockwise inside."""
    if isinstance(geometry, Polygon):
        return orient(geometry)
    return MultiPolygon([orient(part) for part in geometry.geoms])
