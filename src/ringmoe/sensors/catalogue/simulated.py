"""The simulated sensors of `ringmoe.simulation`: one landscape seen in all four modalities."""

from __future__ import annotations

from dataclasses import replace

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
    "red": (0.096, 0.081),
    "green": (0.094, 0.067),
    "blue": (0.069, 0.060),
    "B01": (0.059, 0.045),
    "B02": (0.069, 0.060),
    "B03": (0.094, 0.067),
    "B04": (0.096, 0.081),
    "B05": (0.131, 0.075),
    "B06": (0.187, 0.096),
    "B07": (0.220, 0.117),
    "B08": (0.231, 0.133),
    "B8A": (0.237, 0.129),
    "B09": (0.084, 0.040),
    "B10": (0.0016, 0.0009),
    "B11": (0.189, 0.109),
    "B12": (0.133, 0.094),
}

# Of log(amplitude + floor), 4 looks; about -13 dB co-polarised and -21 dB cross-polarised.
_AMPLITUDE_STATISTICS = {"co": (-1.53, 0.54), "cross": (-2.41, 0.59)}

_COMPLEX_SCALE = 0.166  # rms of I and Q over the four polarisations

_MEASURED = "measured: 32 simulated scenes of 192 pixels, four of each kind"
_SOURCE = "ringmoe.simulation"

_OPTICAL = Sensor(
    name="simulated-optical",
    title="Simulated RGB reflectance",
    modality="optical",
    channels=optical_channels(RGB_BANDS, VALID_RANGE, _REFLECTANCE_STATISTICS),
    encodings={"reflectance": REFLECTANCE},
    gsd=2.0,
    source=f"{_SOURCE}, with Sentinel-2's wavelengths",
    normalisation_source=_MEASURED,
)

SENSORS = (
    _OPTICAL,
    replace(
        _OPTICAL,
        name="simulated-video",
        title="Simulated RGB reflectance, close views",
        gsd=None,  # of the zoom
        normalisation_source="borrowed: simulated-optical",
    ),
    Sensor(
        name="simulated-multispectral",
        title="Simulated Sentinel-2 reflectance",
        modality="multispectral",
        channels=optical_channels(BANDS, VALID_RANGE, _REFLECTANCE_STATISTICS),
        encodings={"reflectance": REFLECTANCE},
        gsd=2.0,
        source=f"{_SOURCE}, with Sentinel-2's wavelengths",
        normalisation_source=_MEASURED,
    ),
    Sensor(
        name="simulated-sar-complex",
        title="Simulated quad-polarisation single-look complex",
        modality="sar_complex",
        channels=complex_channels(_COMPLEX_SCALE),
        encodings={"sigma-nought": SIGMA_NOUGHT},
        gsd=2.0,
        source=_SOURCE,
        normalisation_source=_MEASURED,
    ),
    Sensor(
        name="simulated-sar-amplitude",
        title="Simulated multi-looked amplitude",
        modality="sar_amplitude",
        channels=amplitude_channels(_AMPLITUDE_STATISTICS),
        encodings=AMPLITUDE_ENCODINGS,
        gsd=2.0,
        source=_SOURCE,
        normalisation_source=_MEASURED,
    ),
)
