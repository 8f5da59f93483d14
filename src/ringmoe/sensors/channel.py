"""One channel of a sensor: what it measures, in which unit, within which limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

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

    @property
    def is_complex(self) -> bool:
        """Whether a value of this channel is a complex number."""
        return self.unit == "complex_amplitude" and self.component is None

    def split(self) -> tuple[Channel, ...]:
        """What enters a stem: I and Q of a complex channel, otherwise the channel itself."""
        if not self.is_complex:
            return (self,)
        return (
            replace(self, name=f"{self.name}_I", key=f"{self.key}_I", component="I"),
            replace(self, name=f"{self.name}_Q", key=f"{self.key}_Q", component="Q"),
        )

    def answers_to(self, name: str) -> bool:
        """Whether a user may mean this channel by `name`: its name, key or common name."""
        wanted = name.casefold()
        return wanted in {n.casefold() for n in (self.name, self.key, self.common_name) if n}


@dataclass(frozen=True)
class Calibration:
    """How the numbers in a file become the channel's unit.

    Attributes:
        scale: Multiplies the digital number (`form="linear"`).
        offset: Added after scaling (`form="linear"`).
        form: "linear": `scale * DN + offset`. "intensity": the file holds linear intensity, the
            square root is taken. "decibel": the file holds intensity in dB, `10 ** (DN / 20)`.
        source: The document that defines it.
    """

    scale: float = 1.0
    offset: float = 0.0
    form: Literal["linear", "intensity", "decibel"] = "linear"
    source: str = ""
