"""`Raster`: calibrated pixels in memory, with their mask and place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from ringmoe.errors import ShapeError
from ringmoe.sensors import Channel


@dataclass(frozen=True)
class Raster:
    """What `Scene.read` gives.

    Attributes:
        values: `(C, H, W)` float32 or complex64 in the channels' units; 0 where not valid.
        valid: `(H, W)` bool: every channel holds data.
        channels: One per first axis of `values`.
        crs: The coordinate reference system, if there is one.
        transform: From (column, row) of these pixels to map coordinates, if there is one.
        gcps: Ground control points, their rows and columns counted from this raster's corner.

    Raises:
        ShapeError: The shapes do not agree.
    """

    values: np.ndarray
    valid: np.ndarray
    channels: tuple[Channel, ...]
    crs: CRS | None = None
    transform: Affine | None = None
    gcps: tuple[GroundControlPoint, ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.channels), *self.valid.shape) or self.valid.ndim != 2:
            raise ShapeError(
                f"Raster: {len(self.channels)} channels, values {self.values.shape} and valid "
                f"{self.valid.shape} do not agree: (C, H, W) and (H, W) are due"
            )

    def total_power(self) -> np.ndarray:
        """Power of all channels together (the span of quad-pol SAR): `(H, W)` float32, linear."""
        power = np.square(self.values.real) + np.square(self.values.imag)
        return power.sum(axis=0).astype(np.float32, copy=False)
