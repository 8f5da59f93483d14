"""`open_scene`: find the reader, name the bands."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ringmoe.errors import (
    ConfigError,
    DtypeError,
    GeoreferenceError,
    RingmoeWarning,
    SceneReadError,
    ShapeError,
    UnknownChannelError,
)
from ringmoe.scenes.bands import assign_bands, due_counts
from ringmoe.scenes.derived import derive_single_look, derive_total_power
from ringmoe.scenes.gdal import check_file, is_remote, open_gdal
from ringmoe.scenes.numpy_stack import open_numpy
from ringmoe.scenes.polsarpro import ORDERS, kind_of, open_folder
from ringmoe.scenes.scene import Scene
from ringmoe.scenes.source import Source, Stack
from ringmoe.sensors import POLARISATIONS, Calibration, Sensor, get_sensor

Derivation = Literal["total-power", "single-look"]

_FINE_SCALE = 1e-3  # of a number's step; 255 such steps are next to nothing


def open_scene(
    source: str | Path | Sequence[str | Path],
    sensor: str | Sensor,
    *,
    bands: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    encoding: str | None = None,
    nodata: float | None = None,
    derive: Derivation | None = None,
    seed: int = 0,
) -> Scene:
    """Open a product, to be read by window in physical units.

    Args:
        source: A file or URL that GDAL reads (GeoTIFF, COG, ENVI, PNG, JPEG, ...); an `.npy` file,
            "FILE.npy#2" for its third date; a PolSARpro folder (T3, C3, C2, S2); or a list of
            files of one grid, which are stacked.
        sensor: What the values are: a name of `ringmoe.sensors.list_sensors()`, or a `Sensor`.
        bands: What each band of the file is, in file order: channel names, "VH_I" and "VH_Q" for
            bands that hold I and Q, "-" for a band to skip. None: the file's own band names (in a
            list of files, the part of a file's name) where they name channels of the sensor; else
            the sensor's order if the counts agree. For `derive="single-look"` of a C2 folder: its
            two polarisations.
        channels: Which to give, in that order; None for all that the file has, in file order.
        encoding: How numbers become units, a name of `Sensor.encodings`; None for the first.
        nodata: The number that means "no data", in place of what the file and the sensor's
            products declare; NaN for none.
        derive: What to compute from a T3, C3 or C2 folder. "total-power": the span, read as
            amplitude (its square root) of the sensor "sar-total-power"; digital values are the
            span itself. "single-look": complex single looks drawn from the matrices; a draw, not a
            measurement (see `ringmoe.scenes.single_look`).
        seed: Of the draw, 0 or more. Scenes that are to be independent need different seeds.

    Raises:
        SceneReadError: The product is absent, empty, truncated or of an unknown format.
        UnknownSensorError, UnknownChannelError, ConfigError: A name is not known.
        ShapeError: The number of bands does not tell what they are.
        DtypeError: Real values for a complex sensor, or complex for a real one.
        GeoreferenceError: Files of a list lie on different grids.
    """
    sensor = get_sensor(sensor) if isinstance(sensor, str) else sensor
    calibration = sensor.encoding(encoding)
    found: Source
    if isinstance(source, str | Path):
        found = _open_one(str(source), sensor, bands)
    else:
        found = _open_list([str(part) for part in source], sensor)
    if isinstance(found, Stack) and (kind := _matrix_kind(found)):
        found, sensor, calibration = _derive(
            found, kind, sensor, calibration, bands, nodata, derive, seed
        )
        bands, nodata = None, None
    elif derive is not None:
        raise ConfigError(
            f"{found.path}: derive={derive!r} needs matrices (a T3, C3 or C2 folder); take "
            "`Raster.total_power()` of a scene with polarisations"
        )
    scene = Scene(
        name=_scene_name(source, found.path),
        sensor=sensor,
        calibration=calibration,
        source=found,
        assignments=assign_bands(found, sensor, bands, channels),
        nodata=nodata,
    )
    _refuse_bytes(scene)
    if encoding is None:
        _warn_of_scaling(scene)
    return scene


def _open_one(name: str, sensor: Sensor, bands: Sequence[str] | None) -> Source:
    if is_remote(name):
        return open_gdal(name, bands=bands)
    path = Path(name)
    date = re.fullmatch(r"(.+\.npy)#(\d+)", name)
    if date and not path.exists():
        return open_numpy(Path(date[1]), int(date[2]), due_counts(sensor, bands))
    check_file(path)
    if path.is_dir():
        return open_folder(path, kind_of(path))
    if path.suffix == ".npy":
        return open_numpy(path, None, due_counts(sensor, bands))
    return open_gdal(name, bands=bands)


def _open_list(names: Sequence[str], sensor: Sensor) -> Stack:
    """Files of one grid as one source; a band is named by its file where it has no name."""
    if not names:
        raise SceneReadError("an empty list of files was given: name at least one")
    parts = [open_gdal(name) for name in names]
    first = parts[0]
    for part in parts[1:]:
        same_size = (part.height, part.width) == (first.height, first.width)
        place = part.georeference
        if not (same_size and place.meets(first.georeference, part.height, part.width)):
            raise GeoreferenceError(
                f"{part.path}: its grid ({part.grid_words}) is not that of {first.path} "
                f"({first.grid_words}): leave it out or resample it first"
            )
    band_names: list[str | None] = []
    for part in parts:
        own = part.count == 1 and part.names[0] is None
        band_names += [_name_in(part.path.stem, sensor)] if own else part.names
    return Stack(
        path=first.path,
        height=first.height,
        width=first.width,
        names=tuple(band_names),
        dtypes=tuple(dtype for part in parts for dtype in part.dtypes),
        nodata=tuple(nodata for part in parts for nodata in part.nodata),
        georeference=first.georeference,
        scaling=tuple(scaling for part in parts for scaling in part.scaling),
        parts=tuple(parts),
    )


def _name_in(stem: str, sensor: Sensor) -> str | None:
    """The part of a file name that names a channel, as in "T33UXP_20200101T100031_B02_10m"."""
    for word in reversed(re.split(r"[^A-Za-z0-9]+", stem)):
        try:
            return sensor.channel(word).name
        except UnknownChannelError:
            continue
    return None


def _matrix_kind(planes: Stack) -> str | None:
    """The kind of a folder of matrices, told by its elements."""
    kind = {"T33": "T3", "C33": "C3", "C22": "C2"}
    return next((kind[name] for name in reversed(planes.names) if name in kind), None)


def _derive(
    planes: Stack,
    kind: str,
    sensor: Sensor,
    calibration: Calibration,
    bands: Sequence[str] | None,
    nodata: float | None,
    derive: Derivation | None,
    seed: int,
) -> tuple[Source, Sensor, Calibration]:
    if derive not in ("total-power", "single-look"):
        raise ConfigError(
            f"{planes.path}: {kind} holds products of scattering amplitudes, no pixel values: "
            "choose derive='total-power' or derive='single-look'"
        )
    if nodata is not None:
        planes = replace(planes, nodata=(nodata,) * planes.count)
    if derive == "total-power":
        power = get_sensor("sar-total-power")
        scale = calibration.scale**2 if sensor.is_complex else 1.0
        return derive_total_power(planes, kind), power, replace(power.encoding(), scale=scale)
    if not sensor.is_complex:
        raise ConfigError(
            f"{planes.path}: single looks are complex: choose a complex sensor, not {sensor.name}"
        )
    if seed < 0:
        raise ConfigError(f"{planes.path}: the seed of a draw must be 0 or more, got {seed}")
    polarisations: tuple[str, ...] = POLARISATIONS
    if kind == "C2":
        if bands is None or len(bands) != 2:
            raise ShapeError(
                f"{planes.path}: nothing in a C2 folder tells its polarisations: name the two, as "
                "in bands=['VV', 'VH']"
            )
        polarisations = tuple(sensor.channel(name).name for name in bands)
    elif bands is not None:
        raise ShapeError(f"{planes.path}: {kind} fixes the polarisations: leave bands away")
    return derive_single_look(planes, kind, polarisations, seed), sensor, calibration


def _scene_name(source: str | Path | Sequence[str | Path], path: Path) -> str:
    if isinstance(source, str | Path) and (date := re.search(r"\.npy(#\d+)$", str(source))):
        return path.stem + date[1]
    if path.name in {*ORDERS, "S2"}:  # the folder above has the name of the product
        return f"{path.absolute().parent.name}-{path.name}"
    return path.stem


def _refuse_bytes(scene: Scene) -> None:
    """255 of 10000 is 0.03: 8-bit pictures are no reflectance, whoever made them."""
    scale = scene.calibration.scale
    if scene.dtype == np.uint8 and scale <= _FINE_SCALE:
        kind = "multispectral" if scene.sensor.modality == "multispectral" else "rgb"
        raise DtypeError(
            f"{scene.path}: holds 8-bit numbers, expected 16 bits of {scene.sensor.name}, scaled "
            f"by {scale:g}: an 8-bit picture of a product has no unit: use the sensor {kind}-dn8"
        )


def _warn_of_scaling(scene: Scene) -> None:
    """Warn where the file's own scale and offset are not those of the sensor's first encoding."""
    scalings = {
        scene.source.scaling[band]
        for assignment in scene.assignments
        for band in assignment.bands
        if scene.source.scaling
    }
    used = scene.calibration.scale, scene.calibration.offset
    for declared in scalings - {(1.0, 0.0), used}:
        fitting = [n for n, c in scene.sensor.encodings.items() if (c.scale, c.offset) == declared]
        advice = f"encoding={fitting[0]!r} is the file's" if fitting else "none of the sensor's is"
        warnings.warn(
            f"{scene.path}: declares scale {declared[0]:g} and offset {declared[1]:g}, but "
            f"{used[0]:g} and {used[1]:g} of {scene.sensor.name} are used: choose an encoding "
            f"({advice})",
            RingmoeWarning,
            stacklevel=3,
        )
