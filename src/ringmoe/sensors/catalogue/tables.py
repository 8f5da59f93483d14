"""What several families of the catalogue share: rows of a table become channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ringmoe.sensors.channel import Calibration, Channel
from ringmoe.sensors.modality import POLARISATIONS

# (name, key, STAC common name or None, centre wavelength nm, full width at half maximum nm)
BandRow = tuple[str, str, str | None, float, float]
Statistics = Mapping[str, tuple[float, float]]  # key -> (mean, std)

REFLECTANCE = Calibration(source="the file holds reflectance")
SIGMA_NOUGHT = Calibration(source="the file holds the calibrated complex amplitude")

# How calibrated SAR amplitude comes in files: linear amplitude, power, or dB.
AMPLITUDE_ENCODINGS: Mapping[str, Calibration] = {
    "amplitude": Calibration(source="the file holds the square root of sigma nought"),
    "intensity": Calibration(form="intensity", source="the file holds sigma nought"),
    "decibel": Calibration(form="decibel", source="the file holds 10 log10 of sigma nought"),
}

# The brightest that a 16-bit Sentinel-1 GRD can hold: 65535 / 604, sigma nought of +41 dB.
# Corner reflectors and ships reach +38 dB, so other calibrated SAR is held to the same limit.
MAX_SAR_AMPLITUDE = 110.0

# An amplitude of -50 dB, far below the noise floor of spaceborne SAR (-20 to -35 dB): the variance
# of speckle's logarithm stays within 10 % of its theory down to -20 dB (at 4.4 looks), while a zero
# (noise removed, border) lands 5 to 7 standard deviations down instead of at minus infinity.
SIGMA_NOUGHT_LOG_FLOOR = 0.003

# Amplitude in digital numbers: one count, the finest step there is.
DIGITAL_NUMBER_LOG_FLOOR = 1.0


def optical_channels(
    rows: Iterable[BandRow], valid_range: tuple[float, float], statistics: Statistics
) -> tuple[Channel, ...]:
    """Reflectance channels, one per row; `statistics` gives mean and standard deviation by key."""
    return tuple(
        Channel(
            name=name,
            key=key,
            unit="reflectance",
            valid_range=valid_range,
            mean=statistics[key][0],
            std=statistics[key][1],
            common_name=common_name,
            wavelength_nm=wavelength,
            bandwidth_nm=bandwidth,
        )
        for name, key, common_name, wavelength, bandwidth in rows
    )


def complex_channels(
    scale: float, polarisations: Iterable[str] = POLARISATIONS
) -> tuple[Channel, ...]:
    """Calibrated complex channels; `scale` is the rms of I and Q, the same for all (phase!)."""
    return tuple(
        Channel(
            name=polarisation,
            key=polarisation,
            unit="complex_amplitude",
            valid_range=(-MAX_SAR_AMPLITUDE, MAX_SAR_AMPLITUDE),
            mean=0.0,
            std=scale,
            polarisation=polarisation,
        )
        for polarisation in polarisations
    )


def amplitude_channels(
    statistics: Statistics, polarisations: Iterable[str] = POLARISATIONS
) -> tuple[Channel, ...]:
    """Calibrated amplitude channels; `statistics` of log(amplitude + floor), "co" and "cross"."""
    return tuple(
        Channel(
            name=polarisation,
            key=polarisation,
            unit="amplitude",
            valid_range=(0.0, MAX_SAR_AMPLITUDE),
            mean=mean,
            std=std,
            log_floor=SIGMA_NOUGHT_LOG_FLOOR,
            polarisation=polarisation,
        )
        for polarisation in polarisations
        for mean, std in [statistics["co" if polarisation in ("HH", "VV") else "cross"]]
    )
