"""Gaofen-1 and Gaofen-2 (multispectral cameras), Gaofen-3 (C-band SAR)."""

from __future__ import annotations

from ringmoe.sensors.catalogue.sentinel1 import AMPLITUDE_STATISTICS, COMPLEX_SCALE
from ringmoe.sensors.catalogue.sentinel2 import SURFACE_STATISTICS
from ringmoe.sensors.catalogue.tables import (
    AMPLITUDE_ENCODINGS,
    REFLECTANCE,
    SIGMA_NOUGHT,
    BandRow,
    amplitude_channels,
    complex_channels,
    optical_channels,
)
from ringmoe.sensors.channel import Calibration
from ringmoe.sensors.sensor import Sensor

# Band edges 0.45-0.52, 0.52-0.59, 0.63-0.69, 0.77-0.89 um, as centre and width.
PMS_BANDS: tuple[BandRow, ...] = (
    ("B1", "B02", "blue", 485.0, 70.0),
    ("B2", "B03", "green", 555.0, 70.0),
    ("B3", "B04", "red", 660.0, 60.0),
    ("B4", "B08", "nir", 830.0, 120.0),
)

# The cameras' own product (L1A, 10-bit digital numbers) becomes reflectance only with the gains of
# the year and the sun's elevation; until then it is `multispectral-dn16`.
PMS_ENCODINGS = {
    "reflectance": REFLECTANCE,
    "scaled-10000": Calibration(
        scale=1e-4, source="the file holds reflectance times 10,000, as most correction tools write"
    ),
}

_PMS_SOURCE = (
    "Chen et al., An Introduction to the Chinese High-Resolution Earth Observation System, J. "
    "Remote Sens. 2022, 9769536"
)
_SAR_SOURCE = (
    "Gaofen-3 product format: sigma nought in dB = 20 log10(DN * QualifyValue / 32767) - K, both in"
    " the product's XML and different from scene to scene; apply them first"
)
_BORROWED_SAR = "borrowed: sentinel1-{}, C band too; no Gaofen-3 product was at hand to measure"

SENSORS = (
    *(
        Sensor(
            name=name,
            title=f"{title}, surface reflectance",
            modality="multispectral",
            channels=optical_channels(PMS_BANDS, (-0.2, 6.5535), SURFACE_STATISTICS),
            encodings=PMS_ENCODINGS,
            gsd=gsd,
            source=_PMS_SOURCE,
            normalisation_source="borrowed: the nearest bands of sentinel2-l2a",
        )
        for name, title, gsd in (
            ("gaofen1", "Gaofen-1 PMS", 8.0),
            ("gaofen2", "Gaofen-2 PMS", 3.2),
        )
    ),
    Sensor(
        name="gaofen3-slc",
        title="Gaofen-3, quad-polarisation single-look complex",
        modality="sar_complex",
        channels=complex_channels(COMPLEX_SCALE),
        encodings={"sigma-nought": SIGMA_NOUGHT},
        gsd=8.0,
        source=_SAR_SOURCE,
        normalisation_source=_BORROWED_SAR.format("slc"),
    ),
    Sensor(
        name="gaofen3-l2",
        title="Gaofen-3, Level-2 geocoded amplitude",
        modality="sar_amplitude",
        channels=amplitude_channels(AMPLITUDE_STATISTICS),
        encodings=AMPLITUDE_ENCODINGS,
        gsd=8.0,
        source=_SAR_SOURCE,
        normalisation_source=_BORROWED_SAR.format("grd"),
    ),
)
