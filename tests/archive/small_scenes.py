"""Small scenes of known content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import from_origin

from ringmoe.archive import Source
from ringmoe.scenes import write_raster


def write_scene(path: Path, values: np.ndarray, **options) -> Path:
    """A GeoTIFF with 10 m pixels in UTM 31 N."""
    georeference = {"crs": CRS.from_epsg(32631), "transform": from_origin(5e5, 5e6, 10, 10)}
    write_raster(path, values, **{**georeference, **options})
    return path


def reflectance(rng: np.random.Generator, height: int, width: int, bands: int = 13) -> np.ndarray:
    """Sentinel-2 digital numbers, uint16."""
    return rng.integers(100, 4000, (bands, height, width), dtype=np.uint16)


def rgb(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(1, 255, (3, height, width), dtype=np.uint8)


def single_look(rng: np.random.Generator, height: int, width: int, bands: int = 4) -> np.ndarray:
    parts = rng.normal(0, 0.1, (2, bands, height, width))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


SOURCES = [
    Source(("rgb",), "rgb-dn8"),
    Source(("chips",), "rgb-dn8", tile_size=48),
    Source(("s2.tif",), "sentinel2-l1c"),
    Source(("slc.tif",), "airsar"),
]


def write_scenes(folder: Path, seed: int = 0) -> list[Source]:
    """The scenes of `SOURCES`: three modalities, two streams of optical, one padded with nodata."""
    rng = np.random.default_rng(seed)
    for i in range(6):
        write_scene(folder / "rgb" / f"scene-{i}.tif", rgb(rng, 64, 96))
    for i in range(3):
        values = rgb(rng, 40, 20)
        values[:, :4] = 0
        write_scene(folder / "chips" / f"chip-{i}.tif", values, nodata=0)
    write_scene(folder / "s2.tif", reflectance(rng, 64, 160))
    write_scene(folder / "slc.tif", single_look(rng, 64, 64))
    return SOURCES


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
