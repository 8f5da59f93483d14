"""Landsat 7 ETM+ and Landsat 8 and 9 OLI: surface reflectance of Collection 2, Level 2."""

from __future__ import annotations

from ringmoe.sensors.catalogue.sentinel2 import SURFACE_STATISTICS
from ringmoe.sensors.catalogue.tables import REFLECTANCE, BandRow, optical_channels
from ringmoe.sensors.channel import Calibration
from ringmoe.sensors.sensor import Sensor

# Band edges of the handbook (0.450-0.515 um and so on) as centre and width.
ETM_BANDS: tuple[BandRow, ...] = (
    ("B1", "B02", "blue", 482.5, 65.0),
    ("B2", "B03", "green", 565.0, 80.0),
    ("B3", "B04", "red", 660.0, 60.0),
    ("B4", "B08", "nir", 837.5, 125.0),
    ("B5", "B11", "swir16", 1650.0, 200.0),
    ("B7", "B12", "swir22", 2220.0, 260.0),
)

# OLI's near infrared is narrow, at Sentinel-2's B8A, not its broad B08.
OLI_BANDS: tuple[BandRow, ...] = (
    ("B1", "B01", "coastal", 442.96, 15.98),
    ("B2", "B02", "blue", 482.04, 60.04),
    ("B3", "B03", "green", 561.41, 57.33),
    ("B4", "B04", "red", 654.59, 37.47),
    ("B5", "B8A", "nir08", 864.67, 28.25),
    ("B6", "B11", "swir16", 1608.86, 84.72),
    ("B7", "B12", "swir22", 2200.73, 186.66),
)

_ETM_SOURCE = "NASA, Landsat 7 Science Data Users Handbook, ETM+ spectral bandwidths"
_OLI_SOURCE = (
    "Barsi et al., The Spectral Response of the Landsat-8 Operational Land Imager, Remote Sens. 6 "
    "(2014) 10232, table 1"
)

ENCODINGS = {
    "collection2-level2": Calibration(
        scale=2.75e-5,
        offset=-0.2,
        source="USGS, Landsat Collection 2 Level-2 Science Products",
        fill=0,
    ),
    "collection1-level2": Calibration(
        scale=1e-4, source="USGS, Landsat Collection 1 surface reflectance, scale factor 0.0001"
    ),
    "reflectance": REFLECTANCE,
}

# 16-bit digital numbers of Collection 2: 0 * 2.75e-5 - 0.2 to 65535 * 2.75e-5 - 0.2.
VALID_RANGE = (-0.2, 1.6022125)

SENSORS = tuple(
    Sensor(
        name=name,
        title=title,
        modality="multispectral",
        channels=optical_channels(bands, VALID_RANGE, SURFACE_STATISTICS),
        encodings=ENCODINGS,
        gsd=30.0,
        source=source,
        normalisation_source="borrowed: the nearest bands of sentinel2-l2a",
    )
    for name, title, bands, source in (
        ("landsat7", "Landsat 7 ETM+, surface reflectance", ETM_BANDS, _ETM_SOURCE),
        ("landsat8", "Landsat 8 OLI, surface reflectance", OLI_BANDS, _OLI_SOURCE),
        (
            "landsat9",
            "Landsat 9 OLI-2, surface reflectance",
            OLI_BANDS,
            f"{_OLI_SOURCE}; OLI-2 is a copy of OLI, its bands within 2 nm",
        ),
    )
)
