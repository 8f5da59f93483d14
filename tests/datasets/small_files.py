"""Small labelled files in the usual layouts, of known content."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rasterio.crs import CRS
from rasterio.transform import from_origin

from ringmoe.scenes import write_raster


def rgb(seed: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Digital numbers `(3, H, W)`."""
    return np.random.default_rng(seed).integers(1, 255, (3, height, width), dtype=np.uint8)


def save_png(path: Path, values: np.ndarray) -> Path:
    """`(H, W)` or `(3, H, W)`, losslessly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values if values.ndim == 2 else values.transpose(1, 2, 0)).save(path)
    return path


def save_tif(
    path: Path, values: np.ndarray, *, pixel: float = 10.0, epsg: int = 32631, **options
) -> Path:
    """A GeoTIFF whose upper left corner is (500 000, 5 000 000)."""
    place = {"crs": CRS.from_epsg(epsg), "transform": from_origin(5e5, 5e6, pixel, pixel)}
    write_raster(path, values, **{**place, **options})
    return path


def stripes(height: int = 32, width: int = 32, classes: int = 2) -> np.ndarray:
    """Classes in columns 0, 1, ..., 0, 1, ...: every tile of so many columns has them all."""
    return np.tile(np.arange(width) % classes, (height, 1)).astype(np.uint8)


def write_csv(path: Path, columns: Sequence[str], *rows: Sequence[object]) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def write_pairs(root: Path, names: Mapping[str, int], masks: str = "masks") -> Path:
    """`images/NAME.png` and a striped mask for each, the image drawn with the given seed."""
    for name, seed in names.items():
        save_png(root / "images" / f"{name}.png", rgb(seed))
        save_png(root / masks / f"{name}.png", stripes())
    return root
