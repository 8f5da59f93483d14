"""From the numbers in a file to what enters a stem, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ringmoe.errors import DtypeError
from ringmoe.sensors.channel import Calibration, Channel
from ringmoe.sensors.checks import check_kind, check_planes

_LEAST_DECIBEL = -200.0  # sensors reach -40; -9999 and the like mean "no data"


def calibrate(digital: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Digital numbers to the channel's unit.

    Args:
        digital: Any shape; integer, floating or complex.
        calibration: One of `Sensor.encodings`.

    Returns:
        The same shape, float32, or complex64 where the input is complex. Negative intensity (which
        noise subtraction leaves) becomes negative amplitude, and decibels that nobody can measure
        become NaN, so that `check_values` sees them.

    Raises:
        DtypeError: Complex numbers with an offset or as intensity or decibels: their phase would
            be lost.
    """
    scale, offset = np.float32(calibration.scale), np.float32(calibration.offset)
    if np.iscomplexobj(digital):
        if calibration.form != "linear" or calibration.offset != 0:
            raise DtypeError(
                f"complex numbers cannot be calibrated as {calibration.form} with offset "
                f"{calibration.offset:g}: their phase would be lost; take a complex sensor"
            )
        return (digital * scale).astype(np.complex64, copy=False)
    values = digital.astype(np.float32)
    values *= scale
    values += offset
    if calibration.form == "intensity":
        return np.copysign(np.sqrt(np.abs(values)), values)
    if calibration.form == "decibel":
        values = np.where(values < _LEAST_DECIBEL, np.float32(np.nan), values)
        with np.errstate(over="ignore"):  # becomes infinite: check_values tells
            return np.power(np.float32(10), values / np.float32(20))
    return values


def normalise(values: np.ndarray, channels: Sequence[Channel]) -> np.ndarray:
    """Calibrated values to what enters a stem.

    Reflectance and digital numbers: `(x - mean) / std`. SAR amplitude: the same of
    `log(x + log_floor)`, because speckle multiplies: its logarithm is additive with constant
    variance. Complex: I and Q divided by one real scale, so that phase is kept.

    Args:
        values: `(..., C, H, W)`, calibrated, real or complex.
        channels: One per channel axis of `values`; complex ones where the values are complex.

    Returns:
        float32 of the same shape; twice the channels (I, Q, I, Q, ...) for complex input.

    Raises:
        ShapeError: Not one channel per plane.
        DtypeError: Complex where real is due, or real where complex is due.
    """
    check_planes(values, channels)
    check_kind(values, channels, "normalise")
    if np.iscomplexobj(values):
        parts = np.stack([values.real, values.imag], axis=-3)  # (..., C, 2, H, W)
        values = parts.reshape(*values.shape[:-3], -1, *values.shape[-2:])
        channels = [part for channel in channels for part in channel.split()]
    result = np.empty(values.shape, np.float32)
    for index, channel in enumerate(channels):
        plane, out = values[..., index, :, :], result[..., index, :, :]
        if channel.log_floor is not None:
            plane = np.log(np.maximum(plane, 0) + np.float32(channel.log_floor))
        np.subtract(plane, np.float32(channel.mean), out=out)
        out /= np.float32(channel.std)
    return result


def denormalise(images: np.ndarray, channels: Sequence[Channel]) -> np.ndarray:
    """The inverse of `normalise`: what entered a stem, in the channels' units again.

    Args:
        images: `(..., C, H, W)` real, as `normalise` gives them.
        channels: One per channel axis of `images`: I and Q are two channels
            (`Sensor.stem_channels`), and stay two.

    Returns:
        float32 of the same shape.

    Raises:
        ShapeError: Not one channel per plane.
    """
    check_planes(images, channels)
    result = np.empty(images.shape, np.float32)
    for index, channel in enumerate(channels):
        plane = images[..., index, :, :] * np.float32(channel.std) + np.float32(channel.mean)
        if channel.log_floor is not None:
            plane = np.exp(plane) - np.float32(channel.log_floor)
        result[..., index, :, :] = plane
    return result
