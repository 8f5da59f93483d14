"""What cannot be: values outside their unit, and arrays that do not fit their channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ringmoe.errors import DtypeError, ShapeError, ValueRangeError
from ringmoe.sensors.channel import Channel

# Calibrated float32 values may leave their range by a rounding or two.
_ROUNDING = 1e-6

# Within their range, values can still betray the wrong encoding. No image is darker throughout than
# -0.1 (8-bit numbers read as Landsat's 16-bit ones are), nor than two counts of 0.0001 (reflectance
# scaled once more is), nor has half of its pixels above +14 dB (uncalibrated SAR has), nor all of
# them at or above 0 dB (amplitudes taken for decibels have).
_DARKEST_IMAGE = -0.1
_FAINTEST_IMAGE = 2e-4
_BRIGHTEST_MEDIAN = 5.0
_SOME_PIXELS = 64  # of which one at least is under 0 dB, as no image of so many pixels has none


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
        ValueRangeError: A value is NaN, infinite or outside `Channel.valid_range`, or the values
            as a whole cannot be in their unit, as when the wrong encoding was chosen; the message
            says what was found, what was expected and what to do.
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
    check_kind(values, channels, where)
    looked_at = values if valid is None else values[:, valid]
    for plane, channel in zip(looked_at, channels, strict=True):
        _check_range(plane, channel, where)
    _check_plausible(looked_at, channels, where)


def check_planes(values: np.ndarray, channels: Sequence[Channel]) -> None:
    """Raise unless the third axis from the right has one plane per channel."""
    if values.ndim < 3 or values.shape[-3] != len(channels):
        raise ShapeError(
            f"expected (..., {len(channels)}, H, W) for channels {_names(channels)}, got "
            f"{values.shape}; give one channel per plane (Sensor.stem_channels for I and Q)"
        )


def check_kind(values: np.ndarray, channels: Sequence[Channel], where: str) -> None:
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


def _check_plausible(values: np.ndarray, channels: Sequence[Channel], where: str) -> None:
    """Raise if the values as a whole show that the encoding does not fit the file."""
    if values.size == 0:
        return
    if all(channel.unit == "reflectance" for channel in channels):
        brightest = float(values.max())
        if brightest < _DARKEST_IMAGE or 0 < brightest < _FAINTEST_IMAGE:
            raise ValueRangeError(
                f"{where}: no reflectance is above {brightest:.4g}, expected some above "
                f"{_FAINTEST_IMAGE:g}; the encoding does not fit the file: if it already holds "
                "reflectance use the encoding 'reflectance', if digital numbers of another product "
                "an uncalibrated sensor (...-dn8, ...-dn16)"
            )
    for plane, channel in zip(values, channels, strict=True):
        if channel.unit not in ("amplitude", "complex_amplitude"):
            continue
        median = float(np.median(np.abs(plane)))
        if median > _BRIGHTEST_MEDIAN:
            raise ValueRangeError(
                f"{where}: channel {channel.name} has a median amplitude of {median:.4g}, expected "
                f"at most {_BRIGHTEST_MEDIAN:g}; {_UNCALIBRATED}"
            )
        if channel.unit == "amplitude" and plane.size >= _SOME_PIXELS and plane.min() >= 1:
            raise ValueRangeError(
                f"{where}: channel {channel.name} has no amplitude under {plane.min():.4g}, "
                "expected some under 1 (0 dB); the encoding does not fit the file: if it holds "
                "amplitude and no decibels use the encoding 'amplitude'"
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


_UNCALIBRATED = (
    "these look like digital numbers: choose the encoding that scales them, or an uncalibrated "
    "sensor (...-dn8, ...-dn16) if none does"
)


def _advice(low: float, high: float, channel: Channel) -> str:
    """What to do about values outside the range, guessed from how they lie."""
    most = channel.valid_range[1]
    if not (np.isfinite(low) and np.isfinite(high)):
        return "declare the nodata value, or mask these pixels"
    if low <= -999 and channel.unit != "complex_amplitude":
        return f"declare the nodata value if it is {low:g}"
    if channel.unit == "amplitude" and low < 0:
        if high < 60:
            return "these look like decibels: use the encoding 'decibel'"
        return "amplitude is never negative: use a complex sensor for I and Q bands, or mask"
    if channel.unit == "digital_number":
        if low < 0:
            return "digital numbers are never negative: name the sensor if the file is calibrated"
        if most < high <= 65535:
            return "use the 16-bit sensor (...-dn16) in place of the 8-bit one"
        return "check the sensor and the nodata value"
    if max(high, -low) > 1.2 * most:
        return _UNCALIBRATED
    return "check the sensor, the encoding and the nodata value"


def _names(channels: Sequence[Channel]) -> str:
    return f"({', '.join(channel.name for channel in channels)})"
