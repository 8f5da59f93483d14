"""One channel of a sensor: what it measures, in which unit, within which limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from ringmoe.errors import ConfigError

Unit = Literal["reflectance", "amplitude", "complex_amplitude", "digital_number"]


@dataclass(frozen=True)
class Channel:
    """One measured quantity of a sensor.

    Attributes:
        name: The band's name in the sensor's own products, e.g. "B4" for Landsat's.
        key: The name in the modality's vocabulary (`ringmoe.sensors.MODALITIES`), which says
            which stem weights serve it; for a complex channel, the polarisation.
        unit: What a calibrated value means. Amplitude is the square root of calibrated
            intensity (sigma nought), linear, not decibels.
        valid_range: The lowest and highest value that a product can hold, in `unit`; for a
            complex channel, the limits of its I and Q.
        mean: Subtracted when normalising; 0 for complex.
        std: Divided by when normalising; for complex the one real scale of the sensor.
        log_floor: For SAR amplitudes: `mean` and `std` are those of `log(value + log_floor)`, in
            which speckle is additive. None: no logarithm is taken.
        common_name: The STAC common name ("red", "nir", "swir16"), where there is one.
        wavelength_nm: Centre wavelength in nanometres, of optical channels.
        bandwidth_nm: Full width at half maximum in nanometres, of optical channels.
        polarisation: "HH", "HV", "VH", "VV", of SAR channels where it is known.
        component: "I" or "Q", of one half of a complex channel.

    Raises:
        ConfigError: `std` is not positive, or `valid_range` is empty.
    """

    name: str
    key: str
    unit: Unit
    valid_range: tuple[float, float]
    mean: float
    std: float
    log_floor: float | None = None
    common_name: str | None = None
    wavelength_nm: float | None = None
    bandwidth_nm: float | None = None
    polarisation: str | None = None
    component: Literal["I", "Q"] | None = None

    def __post_init__(self) -> None:
        if not self.std > 0 or not self.valid_range[0] < self.valid_range[1]:
            raise ConfigError(
                f"channel {self.name}: expected a positive std and a valid_range (low, high), got "
                f"{self.std:g} and {self.valid_range}"
            )

    @property
    def is_complex(self) -> bool:
        """Whether a value of this channel is a complex number."""
        return self.unit == "complex_amplitude" and self.component is None

    @property
    def is_described(self) -> bool:
        """Whether it says what enters a stem: wavelength, or polarisation (I and Q being split)."""
        known = self.wavelength_nm is not None or self.polarisation is not None
        return known and not self.is_complex

    def split(self) -> tuple[Channel, ...]:
        """What enters a stem: I and Q of a complex channel, otherwise the channel itself."""
        if not self.is_complex:
            return (self,)
        return (
            replace(self, name=f"{self.name}_I", key=f"{self.key}_I", component="I"),
            replace(self, name=f"{self.name}_Q", key=f"{self.key}_Q", component="Q"),
        )

    def answers_to(self, name: str) -> bool:
        """Whether a user may mean this channel by `name`: its own or its common name.

        Case does not matter, nor zeros: "b2" is "B02". The key does not count: Sentinel-2's
        "B11" is short-wave infrared, Landsat 8's own B11 a thermal band.
        """
        return _plain(name) in {_plain(n) for n in (self.name, self.common_name) if n}


def _plain(name: str) -> str:
    """A band name without what writers differ in: "B02", "b2" and "B2" are the same."""
    return re.sub(r"^b0+(?=\d)", "b", name.casefold())


@dataclass(frozen=True)
class Calibration:
    """How the numbers in a file become the channel's unit.

    Attributes:
        scale: Multiplies the digital number.
        offset: Added after scaling.
        form: What `x = scale * DN + offset` is. "linear": the value itself. "intensity": linear
            intensity, whose square root is the amplitude. "decibel": intensity in dB, whose
            amplitude is `10 ** (x / 20)`.
        source: The document that defines it.
        fill: The digital number that products of this kind hold in all channels where nothing was
            measured, whether or not a file declares it.
    """

    scale: float = 1.0
    offset: float = 0.0
    form: Literal["linear", "intensity", "decibel"] = "linear"
    source: str = ""
    fill: float | None = None
