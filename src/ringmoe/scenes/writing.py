"""`write_raster`: a georeferenced file, whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.dtypes import check_dtype, in_dtype_range
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from ringmoe.errors import DtypeError, GeoreferenceError, ShapeError, WriteError
from ringmoe.files import replacing

_SIDECARS = (".aux.xml", ".ovr", ".msk")  # of GDAL and QGIS: they described the old file


def write_raster(
    path: str | Path,
    values: np.ndarray,
    *,
    crs: CRS | str | None = None,
    transform: Affine | None = None,
    gcps: Sequence[GroundControlPoint] | None = None,
    nodata: float | None = None,
    channel_names: Sequence[str] | None = None,
    colormap: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, Any] | None = None,
    cog: bool = True,
) -> None:
    """Write an array as GeoTIFF; a file of that name stays as it is until the new one is whole.

    Args:
        path: The file; folders above it are made where they lack.
        values: `(C, H, W)` or `(H, W)`: bool (as uint8), integer, float32, float64, complex64 or
            complex128.
        crs: The coordinate reference system of `transform` or `gcps`.
        transform: From (column, row) to map coordinates.
        gcps: Ground control points, in place of a transform.
        nodata: The number in `values` that means "no data".
        channel_names: Band descriptions, one a channel; `open_scene` finds the bands by them.
        colormap: Class to (red, green, blue), 0 to 255; for one band of uint8 or uint16.
        tags: Metadata of the file.
        cog: Cloud-optimised, with overviews (nearest for complex numbers, one band of integers and
            colour maps, average else). False: a plain tiled file.

    Raises:
        ShapeError: Not two or three axes, or not one name a channel.
        DtypeError: GeoTIFF does not hold this type, or the type not this `nodata`.
        GeoreferenceError: `crs` is no coordinate reference system.
        WriteError: Disk full, no permission and the like; an old file stands untouched.
    """
    path = Path(path)
    values = np.asarray(values)
    planes = values[None] if values.ndim == 2 else values
    planes = planes.astype(np.uint8) if planes.dtype == bool else planes
    _check(path, planes, nodata, channel_names, colormap)
    categorical = colormap is not None or (len(planes) == 1 and planes.dtype.kind in "iu")
    nearest = categorical or planes.dtype.kind == "c"
    layout: dict[str, Any] = (
        {"driver": "COG", "overview_resampling": "nearest" if nearest else "average"}
        if cog
        else {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512}
    )
    profile = {
        **layout,
        "count": planes.shape[0],
        "height": planes.shape[1],
        "width": planes.shape[2],
        "dtype": planes.dtype.name,
        "compress": "deflate",
        "bigtiff": "if_safer",
        "crs": _crs(path, crs),
        "nodata": nodata,
        **({"gcps": list(gcps)} if gcps else {"transform": transform}),
    }
    # Made in memory, then written by Python: GDAL does not tell of every full disk.
    try:
        with MemoryFile() as memory:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with memory.open(**profile) as dataset:
                    dataset.write(planes)
                    for index, name in enumerate(channel_names or (), start=1):
                        dataset.set_band_description(index, name)
                    if colormap is not None:
                        dataset.write_colormap(1, dict(colormap))
                    if tags:
                        dataset.update_tags(**{key: str(value) for key, value in tags.items()})
            with replacing(path) as partial:
                partial.write_bytes(memory.getbuffer())
    except RasterioError as error:
        raise WriteError(f"{path}: cannot be written ({error})") from error
    for ending in _SIDECARS:
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _crs(path: Path, crs: CRS | str | None) -> CRS | None:
    try:
        return None if crs is None else CRS.from_user_input(crs)
    except (CRSError, ValueError) as error:
        raise GeoreferenceError(
            f"{path}: {crs!r} is no coordinate reference system: write it as 'EPSG:32633'"
        ) from error


def _check(
    path: Path,
    planes: np.ndarray,
    nodata: float | None,
    channel_names: Sequence[str] | None,
    colormap: Mapping[int, tuple[int, int, int]] | None,
) -> None:
    if planes.ndim != 3 or 0 in planes.shape:
        raise ShapeError(f"{path}: expected values (C, H, W) or (H, W), got {planes.shape}")
    if channel_names is not None and len(channel_names) != len(planes):
        raise ShapeError(
            f"{path}: {len(planes)} channels but {len(channel_names)} names: name each one"
        )
    if not check_dtype(planes.dtype):
        raise DtypeError(f"{path}: GeoTIFF holds no {planes.dtype}: cast it, e.g. to float32")
    if nodata is not None and not in_dtype_range(nodata, planes.dtype.name):
        raise DtypeError(f"{path}: {planes.dtype} cannot hold nodata={nodata}: choose another")
    if colormap is not None and (len(planes) > 1 or planes.dtype.name not in ("uint8", "uint16")):
        raise DtypeError(
            f"{path}: a colour map is for one band of uint8 or uint16, not {len(planes)} of "
            f"{planes.dtype}"
        )
