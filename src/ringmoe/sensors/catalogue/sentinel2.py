"""Sentinel-2 MSI: top-of-atmosphere (L1C) and surface (L2A) reflectance, 13 bands."""

from __future__ import annotations

from ringmoe.sensors.catalogue.tables import REFLECTANCE, BandRow, optical_channels
from ringmoe.sensors.channel import Calibration
from ringmoe.sensors.sensor import Sensor

BANDS: tuple[BandRow, ...] = (
    ("B01", "B01", "coastal", 442.7, 21.0),
    ("B02", "B02", "blue", 492.4, 66.0),
    ("B03", "B03", "green", 559.8, 36.0),
    ("B04", "B04", "red", 664.6, 31.0),
    ("B05", "B05", "rededge071", 704.1, 15.0),
    ("B06", "B06", "rededge075", 740.5, 15.0),
    ("B07", "B07", "rededge078", 782.8, 20.0),
    ("B08", "B08", "nir", 832.8, 106.0),
    ("B8A", "B8A", "nir08", 864.7, 21.0),
    ("B09", "B09", "nir09", 945.1, 20.0),
    ("B10", "B10", "cirrus", 1373.5, 31.0),
    ("B11", "B11", "swir16", 1613.7, 91.0),
    ("B12", "B12", "swir22", 2202.4, 175.0),
)

# (mean, std) of reflectance over 50,000 samples of SSL4EO-S12 (Wang et al. 2023, rounded).
SURFACE_STATISTICS = {
    "B01": (0.0752, 0.1108),
    "B02": (0.0884, 0.1155),
    "B03": (0.1144, 0.1184),
    "B04": (0.1297, 0.1368),
    "B05": (0.1625, 0.1370),
    "B06": (0.2195, 0.1356),
    "B07": (0.2422, 0.1417),
    "B08": (0.2518, 0.1475),
    "B8A": (0.2582, 0.1439),
    "B09": (0.2646, 0.1582),
    "B11": (0.2369, 0.1456),
    "B12": (0.1805, 0.1343),
}
TOP_OF_ATMOSPHERE_STATISTICS = {
    "B01": (0.1606, 0.0787),
    "B02": (0.1391, 0.0850),
    "B03": (0.1315, 0.0875),
    "B04": (0.1364, 0.1139),
    "B05": (0.1549, 0.1122),
    "B06": (0.2092, 0.1162),
    "B07": (0.2372, 0.1274),
    "B08": (0.2300, 0.1248),
    "B8A": (0.2560, 0.1346),
    "B09": (0.0830, 0.0577),
    "B10": (0.0022, 0.0051),
    "B11": (0.2177, 0.1336),
    "B12": (0.1524, 0.1137),
}
STATISTICS_SOURCE = (
    "published: band statistics of SSL4EO-S12 (Wang et al., IEEE GRSM 2023, github.com/zhu-xlab/"
    "SSL4EO-S12), 50,000 samples, divided by 10,000"
)

_BASELINE = "Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), quantification value"
ENCODINGS = {
    "digital-number": Calibration(
        scale=1e-4,
        source=f"{_BASELINE} 10000; baselines before 04.00, and harmonised collections",
        fill=0,
    ),
    "baseline-04.00": Calibration(
        scale=1e-4,
        offset=-0.1,
        source=f"{_BASELINE} 10000 and offset -1000; from 25 January 2022",
        fill=0,
    ),
    "reflectance": REFLECTANCE,
}

# 16-bit digital numbers from 0 to 65535, with the offset of baseline 04.00 or without it.
VALID_RANGE = (-0.1, 6.5535)

_SOURCE = (
    "ESA, Sentinel-2 MSI user guide, spectral bands of S2A (from the spectral responses "
    "COPE-GSEG-EOPG-TN-15-0007); common names of the STAC electro-optical extension"
)

SENSORS = (
    Sensor(
        name="sentinel2-l1c",
        title="Sentinel-2 MSI, Level-1C (top-of-atmosphere reflectance)",
        modality="multispectral",
        channels=optical_channels(BANDS, VALID_RANGE, TOP_OF_ATMOSPHERE_STATISTICS),
        encodings=ENCODINGS,
        gsd=10.0,
        source=_SOURCE,
        normalisation_source=STATISTICS_SOURCE,
    ),
    Sensor(
        name="sentinel2-l2a",
        title="Sentinel-2 MSI, Level-2A (surface reflectance; no cirrus band)",
        modality="multispectral",
        channels=optical_channels(
            (row for row in BANDS if row[0] != "B10"), VALID_RANGE, SURFACE_STATISTICS
        ),
        encodings=ENCODINGS,
        gsd=10.0,
        source=_SOURCE,
        normalisation_source=STATISTICS_SOURCE,
    ),
)
