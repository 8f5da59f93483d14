"""`Scene`: a product on disk or behind a URL, read by window in physical units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from ringmoe.scenes.bands import Assignment
from ringmoe.scenes.raster import Raster
from ringmoe.scenes.source import Source, is_nodata
from ringmoe.scenes.window import Window
from ringmoe.sensors import Calibration, Channel, Sensor, calibrate


@dataclass(frozen=True)
class Scene:
    """A georeferenced image whose pixels stay on disk until a window is read.

    Made by `open_scene`. Holds no file open: it can be pickled and used from several threads.

    Attributes:
        name: For people: the file's name without its ending.
        sensor: What the values are.
        calibration: How the file's numbers become units.
        source: The reader.
        assignments: Which bands of the file hold each channel.
        nodata: Stands for "no data" in every band, in place of what the file declares.
    """

    name: str
    sensor: Sensor
    calibration: Calibration
    source: Source
    assignments: tuple[Assignment, ...]
    nodata: float | None = None

    @property
    def path(self) -> Path:
        """The file or folder."""
        return self.source.path

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What `read` gives, in order."""
        return tuple(assignment.channel for assignment in self.assignments)

    @property
    def height(self) -> int:
        """Rows."""
        return self.source.height

    @property
    def width(self) -> int:
        """Columns."""
        return self.source.width

    @property
    def dtype(self) -> np.dtype:
        """Of the digital values: the file's own, complex64 for complex channels."""
        if self.channels[0].is_complex:
            return np.dtype(np.complex64)
        return np.result_type(*(self.source.dtypes[i] for a in self.assignments for i in a.bands))

    @property
    def crs(self) -> CRS | None:
        """The coordinate reference system of `transform` or `gcps`."""
        return self.source.georeference.crs

    @property
    def transform(self) -> Affine | None:
        """From (column, row) to map coordinates; None for a scene that has none."""
        return self.source.georeference.transform

    @property
    def gcps(self) -> tuple[GroundControlPoint, ...]:
        """Ground control points, for a scene that has these in place of a transform."""
        return self.source.georeference.gcps

    def read(self, window: Window | None = None) -> Raster:
        """Calibrated values of a window, or of all.

        Values are what the file says: whether they can be in their unit is for
        `ringmoe.sensors.check_values` to tell.

        Raises:
            SceneReadError: The file is truncated, damaged or gone.
            ShapeError: The window reaches outside the scene.
        """
        window = self._inside(window)
        digital, valid = self.read_digital(window)
        with np.errstate(over="ignore", invalid="ignore"):  # of pixels without data
            values = calibrate(digital, self.calibration)
        if not valid.all():
            values[:, ~valid] = 0
        place = self.source.georeference.cut(window)
        return Raster(values, valid, self.channels, place.crs, place.transform, place.gcps)

    def read_digital(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The file's own numbers of a window, or of all.

        Returns:
            `(C, H, W)` of `dtype`, and `(H, W)` bool: false where a channel is "no data", NaN (for
            complex: I or Q is NaN, or both are "no data"), all channels hold the product's fill
            value, or the file's mask says so.

        Raises:
            SceneReadError: The file is truncated, damaged or gone.
            ShapeError: The window reaches outside the scene.
        """
        window = self._inside(window)
        bands = [band for assignment in self.assignments for band in assignment.bands]
        planes, mask = self.source.read(bands, window)
        valid = np.ones((window.height, window.width), bool) if mask is None else mask
        digital = np.empty((len(self.assignments), *valid.shape), self.dtype)
        rest = iter(planes)
        for out, assignment in zip(digital, self.assignments, strict=True):
            nodata = self._nodata(assignment.bands[0])
            if len(assignment.bands) == 2:
                out.real, out.imag = next(rest), next(rest)
            else:
                out[...] = next(rest)
            valid = valid & ~is_nodata(out, nodata)
        if self.calibration.fill is not None and self.nodata is None:
            valid = valid & ~(digital == self.calibration.fill).all(axis=0)
        return digital, valid

    def _inside(self, window: Window | None) -> Window:
        if window is None:
            return Window(0, 0, self.height, self.width)
        window.check_inside(self.height, self.width, str(self.path))
        return window

    def _nodata(self, band: int) -> float | None:
        return self.source.nodata[band] if self.nodata is None else self.nodata
