"""The simulated sensors of `ringmoe.simulation`: one landscape seen in all four modalities."""

from __future__ import annotations

from ringmoe.sensors.catalogue.sentinel2 import BANDS, VALID_RANGE
from ringmoe.sensors.catalogue.tables import (
    AMPLITUDE_ENCODINGS,
    REFLECTANCE,
    SIGMA_NOUGHT,
    BandRow,
    amplitude_channels,
    complex_channels,
    optical_channels,
)
from ringmoe.sensors.sensor import Sensor

RGB_BANDS: tuple[BandRow, ...] = tuple(
    (common_name, common_name, common_name, wavelength, bandwidth)
    for wanted in ("red", "green", "blue")
    for _, _, common_name, wavelength, bandwidth in BANDS
    if common_name == wanted
)

_REFLECTANCE_STATISTICS = {
    "red": (0.12, 0.10),
    "green": (0.10, 0.08),
    "blue": (0.08, 0.07),
    "B01": (0.07, 0.06),
    "B02": (0.08, 0.07),
    "B03": (0.10, 0.08),
    "B04": (0.12, 0.10),
    "B05": (0.14, 0.10),
    "B06": (0.20, 0.12),
    "B07": (0.22, 0.13),
    "B08": (0.23, 0.14),
    "B8A": (0.24, 0.14),
    "B09": (0.24, 0.14),
    "B10": (0.002, 0.005),
    "B11": (0.20, 0.13),
    "B12": (0.14, 0.11),
}

# -12 dB co-polarised and -20 dB cross-polarised: log of 0.251 + 0.003 and of 0.1 + 0.003.
_AMPLITUDE_STATISTICS = {"co": (-1.37, 0.65), "cross": (-2.27, 0.65)}

# sqrt of half the mean of 10 ** -1.2 (twice) and 10 ** -2 (twice).
_COMPLEX_SCALE = 0.135

_DESIGN = "chosen: design values of the simulation (co-polarised -12 dB, cross-polarised -20 dB)"
_SOURCE = "ringmoe.simulation"

SENSORS = (
    Sensor(
        name="simulated-optical",
        title="Simulated RGB reflectance",
        modality="optical",
        channels=optical_channels(RGB_BANDS, VALID_RANGE, _REFLECTANCE_STATISTICS),
        encodings={"reflectance": REFLECTANCE},
        gsd=2.0,
        source=f"{_SOURCE}, with Sentinel-2's wavelengths",
        normalisation_source="chosen: design values of the simulation",
    ),
    Sensor(
        name="simulated-multispectral",
        title="Simulated Sentinel-2 reflectance",
        modality="multispectral",
        channels=optical_channels(BANDS, VALID_RANGE, _REFLECTANCE_STATISTICS),
        encodings={"reflectance": REFLECTANCE},
        gsd=2.0,
        source=f"{_SOURCE}, with Sentinel-2's wavelengths",
        normalisation_source="chosen: design values of the simulation",
    ),
    Sensor(
        name="simulated-sar-complex",
        title="Simulated quad-polarisation single-look complex",
        modality="sar_complex",
        channels=complex_channels(_COMPLEX_SCALE),
        encodings={"sigma-nought": SIGMA_NOUGHT},
        gsd=2.0,
        source=_SOURCE,
        normalisation_source=_DESIGN,
    ),
    Sensor(
        name="simulated-sar-amplitude",
        title="Simulated multi-looked amplitude",
        modality="sar_amplitude",
        channels=amplitude_channels(_AMPLITUDE_STATISTICS),
        encodings=AMPLITUDE_ENCODINGS,
        gsd=2.0,
        source=_SOURCE,
        normalisation_source=_DESIGN,
    ),
)
