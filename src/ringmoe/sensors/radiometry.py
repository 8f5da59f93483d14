"""From the numbers in a file to what enters a stem: calibrate, check, normalise, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ringmoe.errors import DtypeError, ShapeError, ValueRangeError
from ringmoe.sensors.channel import Calibration, Channel

# Calibrated float32 values may leave their range by a rounding or two.
_ROUNDING = 1e-6


def calibrate(digital: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Digital numbers to the channel's unit.

    Args:
        digital: Any shape; integer, floating or complex.
        calibration: One of `Sensor.encodings`.

    Returns:
        The same shape, float32, or complex64 where the input is complex. Negative intensity (which
        noise subtraction leaves) becomes negative amplitude, so that `check_values` sees it.

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
    values = digital.astype(np.float32) * scale + offset
    if calibration.form == "intensity":
        return np.copysign(np.sqrt(np.abs(values)), values)
    if calibration.form == "decibel":
        with np.errstate(over="ignore"):  # becomes infinite: check_values tells
            return np.power(np.float32(10), values / np.float32(20))
    return values


def check_values(
    values: np.ndarray,
    channels: Sequence[Channel],
    valid: np.ndarray | None = None,
    where: str = "these values",
) -> None:
    """Raise if values cannot be in the unit their channels declare.

    Args:
        values: `(C, H, W)`, calibrated.
        channels: One per first axis of `values`.
        valid: `(H, W)` bool; pixels where it is false are not looked at.
        where: Names the source in the message, e.g. the file.

    Raises:
        ShapeError: Not one plane per channel.
        DtypeError: Complex where real is due, or real where complex is due.
        ValueRangeError: A value is NaN, infinite or outside `Channel.valid_range`; the message
            says which channel, the values found, what was expected and what to do.
    """
    if values.ndim != 3 or values.shape[0] != len(channels):
        raise ShapeError(
            f"{where}: expected {len(channels)} channels {_names(channels)} as (C, H, W), got an "
            f"array of shape {values.shape}; name the bands in the order they have"
        )
    if valid is not None and valid.shape != values.shape[1:]:
        raise ShapeError(
            f"{where}: the validity mask is {valid.shape}, the image {values.shape[1:]}; "
            "give one (H, W) mask for all channels"
        )
    _check_kind(values, channels, where)
    for plane, channel in zip(values, channels, strict=True):
        _check_range(plane if valid is None else plane[valid], channel, where)


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
    _check_planes(values, channels)
    _check_kind(values, channels, "normalise")
    if np.iscomplexobj(values):
        parts = np.stack([values.real, values.imag], axis=-3)  # (..., C, 2, H, W)
        values = parts.reshape(*values.shape[:-3], -1, *values.shape[-2:])
        channels = [part for channel in channels for part in channel.split()]
    result = np.empty(values.shape, np.float32)
    for index, channel in enumerate(channels):
        plane = values[..., index, :, :]
        if channel.log_floor is not None:
            plane = np.log(np.maximum(plane, 0) + np.float32(channel.log_floor))
        result[..., index, :, :] = (plane - np.float32(channel.mean)) / np.float32(channel.std)
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
    _check_planes(images, channels)
    result = np.empty(images.shape, np.float32)
    for index, channel in enumerate(channels):
        plane = images[..., index, :, :] * np.float32(channel.std) + np.float32(channel.mean)
        if channel.log_floor is not None:
            plane = np.exp(plane) - np.float32(channel.log_floor)
        result[..., index, :, :] = plane
    return result


def _names(channels: Sequence[Channel]) -> str:
    return f"({', '.join(channel.name for channel in channels)})"


def _check_planes(values: np.ndarray, channels: Sequence[Channel]) -> None:
    """Raise unless the third axis from the right has one plane per channel."""
    if values.ndim < 3 or values.shape[-3] != len(channels):
        raise ShapeError(
            f"expected (..., {len(channels)}, H, W) for channels {_names(channels)}, got "
            f"{values.shape}; give one channel per plane (Sensor.stem_channels for I and Q)"
        )


def _check_kind(values: np.ndarray, channels: Sequence[Channel], where: str) -> None:
    """Raise if values are complex where real is due, or real where complex is due."""
    for channel in channels:
        if channel.is_complex and not np.iscomplexobj(values):
            raise DtypeError(
                f"{where}: channel {channel.name} is real but complex values are due; detected "
                "products (amplitude, GRD) have lost their phase: use a SAR amplitude sensor"
            )
        if np.iscomplexobj(values) and not channel.is_complex:
            raise DtypeError(
                f"{where}: channel {channel.name} is complex but real values are due; use a "
                "complex sensor (e.g. sentinel1-slc), or take the magnitude first"
            )


def _check_range(looked_at: np.ndarray, channel: Channel, where: str) -> None:
    """Raise unless all values of one channel are finite and within its range."""
    if looked_at.size == 0:
        return
    low, high = _extremes(looked_at)
    least, most = channel.valid_range
    margin = _ROUNDING * max(abs(least), abs(most))
    if low >= least - margin and high <= most + margin:  # false for NaN
        return
    if np.isfinite(low) and np.isfinite(high):
        found = f"values from {low:.4g} to {high:.4g}"
    else:
        found = f"{np.count_nonzero(~np.isfinite(looked_at))} NaN or infinite values"
    raise ValueRangeError(
        f"{where}: channel {channel.name} has {found}, expected {_UNIT_NAMES[channel.unit]} from "
        f"{least:g} to {most:g}; {_advice(low, high, channel)}"
    )


def _extremes(values: np.ndarray) -> tuple[float, float]:
    """The lowest and highest value (of I and Q, if complex); NaN if there is any."""
    parts = (values.real, values.imag) if np.iscomplexobj(values) else (values,)
    return (
        float(np.min([part.min() for part in parts])),
        float(np.max([part.max() for part in parts])),
    )


_UNIT_NAMES = {
    "reflectance": "reflectance",
    "amplitude": "amplitude",
    "complex_amplitude": "I and Q of complex amplitude",
    "digital_number": "digital numbers",
}


def _advice(low: float, high: float, channel: Channel) -> str:
    """What to do about values outside the range, guessed from how they lie."""
    most = channel.valid_range[1]
    if not (np.isfinite(low) and np.isfinite(high)):
        return "declare the nodata value, or mask these pixels"
    if low <= -999 and channel.unit != "complex_amplitude":
        return f"declare the nodata value if it is {low:g}"
    if channel.unit == "amplitude" and low < 0:
        if high < 60:
            return "these look like decibels: use encoding='decibel'"
        return "amplitude is never negative: use a complex sensor for I and Q bands, or mask"
    if channel.unit == "digital_number":
        if low < 0:
            return "digital numbers are never negative: name the sensor if the file is calibrated"
        if most < high <= 65535:
            return "use the 16-bit sensor (...-dn16) in place of the 8-bit one"
        return "check the sensor and the nodata value"
    if max(high, -low) > 1.2 * most:
        return (
            "these look like digital numbers: choose the encoding that scales them, or an "
            "uncalibrated sensor (...-dn8, ...-dn16) if none does"
        )
    return "check the sensor, the encoding and the nodata value"
