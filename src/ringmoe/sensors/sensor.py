"""A sensor: its channels, how its files are calibrated, checked and normalised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ringmoe.errors import ConfigError, DtypeError, ShapeError, UnknownChannelError, ValueRangeError
from ringmoe.sensors.channel import Calibration, Channel


@dataclass(frozen=True)
class Sensor:
    """What one instrument (or one of its product levels) measures.

    Attributes:
        name: The name in configurations and on the command line, e.g. "sentinel2-l2a".
        title: The name for people.
        modality: One of `ringmoe.sensors.MODALITIES`.
        channels: In the order of the product's bands. Complex sensors have one complex channel
            per polarisation; I and Q appear only in what enters a stem (`stem_channels`).
        encodings: How the numbers in files become units, by name; the first is the default.
        gsd: Nominal ground sampling distance in metres; None where it varies.
        source: The document that describes bands and calibration.
        normalisation_source: Where the means and standard deviations come from.
    """

    name: str
    title: str
    modality: str
    channels: tuple[Channel, ...]
    encodings: Mapping[str, Calibration] = field(default_factory=lambda: {"unit": Calibration()})
    gsd: float | None = None
    source: str = ""
    normalisation_source: str = ""

    @property
    def is_complex(self) -> bool:
        """Whether values are complex numbers."""
        return self.modality == "sar_complex"

    def channel(self, name: str) -> Channel:
        """The channel that a user calls `name` (product name, vocabulary name or common name).

        Raises:
            UnknownChannelError: The sensor has none; the message lists what it has.
        """
        # The sensor's own names first: Landsat's "B4" is not Sentinel-2's.
        for channel in self.channels:
            if channel.name == name:
                return channel
        for channel in self.channels:
            if channel.answers_to(name):
                return channel
        have = ", ".join(
            c.name if c.name == c.key else f"{c.name} ({c.common_name or c.key})"
            for c in self.channels
        )
        raise UnknownChannelError(f"sensor {self.name} has no channel {name!r}: it has {have}")

    def select(self, names: Iterable[str] | None = None) -> tuple[Channel, ...]:
        """The channels of those names, in that order; all of them for None.

        Raises:
            UnknownChannelError: One is not the sensor's, or is named twice.
        """
        if names is None:
            return self.channels
        chosen = tuple(self.channel(name) for name in names)
        if len(set(chosen)) < len(chosen):
            raise UnknownChannelError(
                f"sensor {self.name}: a channel is named twice in {list(names)}"
            )
        return chosen

    def encoding(self, name: str | None = None) -> Calibration:
        """The calibration of that name; the first for None.

        Raises:
            ConfigError: There is none; the message lists what there is.
        """
        if name is None:
            return next(iter(self.encodings.values()))
        try:
            return self.encodings[name]
        except KeyError:
            raise ConfigError(
                f"sensor {self.name} has no encoding {name!r}: "
                f"choose one of {', '.join(self.encodings)}"
            ) from None

    def stem_channels(self, channels: Sequence[Channel] | None = None) -> tuple[Channel, ...]:
        """What enters the stem: I and Q for each complex channel, the channels themselves else."""
        return tuple(
            part for c in (self.channels if channels is None else channels) for part in c.split()
        )


def calibrate(digital: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Digital numbers to the channel's unit.

    Args:
        digital: Any shape; integer, floating or complex.
        calibration: One of `Sensor.encodings`.

    Returns:
        The same shape, float32, or complex64 where the input is complex.

    Raises:
        DtypeError: A detected form (intensity, decibel) is asked of complex numbers.
    """
    if np.iscomplexobj(digital):
        if calibration.form != "linear":
            raise DtypeError(
                f"complex numbers cannot be calibrated as {calibration.form}: they carry a phase; "
                "use a complex sensor and a linear encoding"
            )
        return (digital * np.float32(calibration.scale)).astype(np.complex64, copy=False)
    values = digital.astype(np.float32)
    if calibration.form == "decibel":
        return np.power(np.float32(10), values / 20)
    if calibration.form == "intensity":
        with np.errstate(invalid="ignore"):  # a negative intensity becomes NaN: check_values tells
            return np.sqrt(values * np.float32(calibration.scale))
    return values * np.float32(calibration.scale) + np.float32(calibration.offset)


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
            f"{where}: expected {len(channels)} channels "
            f"({', '.join(c.name for c in channels)}), got an array of shape {values.shape}"
        )
    for plane, channel in zip(values, channels, strict=True):
        if channel.is_complex != np.iscomplexobj(plane):
            found, due = ("real", "complex") if channel.is_complex else ("complex", "real")
            raise DtypeError(
                f"{where}: channel {channel.name} is {found} but {due} values are due; "
                + (
                    "a detected product (amplitude, GRD) has lost its phase: use a SAR amplitude "
                    "sensor"
                    if channel.is_complex
                    else "use a complex sensor, or take the magnitude first"
                )
            )
        looked_at = plane if valid is None else plane[valid]
        if looked_at.size == 0:
            continue
        if np.iscomplexobj(looked_at):
            looked_at = np.stack([looked_at.real, looked_at.imag])
        low, high = float(looked_at.min()), float(looked_at.max())
        if np.isfinite(low) and np.isfinite(high):
            least, most = channel.valid_range
            if low >= least and high <= most:
                continue
            found = f"values from {low:.4g} to {high:.4g}"
        else:
            found = f"{int((~np.isfinite(looked_at)).sum())} NaN or infinite values"
        raise ValueRangeError(
            f"{where}: channel {channel.name} has {found}, expected {channel.unit} from "
            f"{channel.valid_range[0]:g} to {channel.valid_range[1]:g}; "
            + _advice(low, high, channel)
        )


def _advice(low: float, high: float, channel: Channel) -> str:
    """What to do about values outside the range, guessed from how they lie."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "declare the nodata value, or mask these pixels"
    if channel.unit == "reflectance" and high > 10:
        return "these look like digital numbers: choose the sensor's encoding that scales them"
    if channel.unit == "amplitude" and low < 0 and high < 100:
        return "these look like decibels: use encoding='decibel'"
    return "check the sensor, the encoding and the nodata value"


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
    """
    if np.iscomplexobj(values):
        parts = np.stack([values.real, values.imag], axis=-3)  # (..., C, 2, H, W)
        values = parts.reshape(*values.shape[:-3], -1, *values.shape[-2:])
        channels = tuple(part for c in channels for part in c.split())
    floor = channels[0].log_floor
    if floor is not None:
        values = np.log(np.maximum(values, 0) + np.float32(floor))
    mean = np.array([c.mean for c in channels], np.float32)[:, None, None]
    std = np.array([c.std for c in channels], np.float32)[:, None, None]
    return ((values - mean) / std).astype(np.float32, copy=False)
