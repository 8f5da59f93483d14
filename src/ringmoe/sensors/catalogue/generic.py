"""Uncalibrated images: digital numbers of no known unit, called so.

What most published data sets hold: 8-bit pictures, 16-bit exports. Nothing physical is claimed.
"""

from __future__ import annotations

from ringmoe.sensors.catalogue.sentinel2 import BANDS
from ringmoe.sensors.catalogue.tables import DIGITAL_NUMBER_LOG_FLOOR, Statistics
from ringmoe.sensors.channel import Calibration, Channel
from ringmoe.sensors.modality import MODALITIES, POLARISATIONS
from ringmoe.sensors.sensor import Sensor

_COMMON_NAMES = {key: common_name for _, key, common_name, _, _ in BANDS}

_AID = {"red": (103.2, 54.6), "green": (104.7, 48.9), "blue": (95.1, 48.2)}

# name, title, modality, bits, (mean, std) of all channels or of each (SAR: of log(DN + 1)), origin
_TABLE: tuple[tuple[str, str, str, int, Statistics | tuple[float, float], str], ...] = (
    (
        "rgb-dn8",
        "RGB",
        "optical",
        8,
        _AID,
        "measured: AID at 150 px, 2,400 images, 54 million pixels",
    ),
    (
        "rgb-dn16",
        "RGB",
        "optical",
        16,
        (2000.0, 2000.0),
        "chosen: 16-bit products have no common scale (10 to 16 bits used); set your own",
    ),
    (
        "multispectral-dn8",
        "Multispectral",
        "multispectral",
        8,
        (69.0, 28.0),
        "measured: Landsat 7 ETM+ digital numbers (Olinda scene of the R package stars), 6 bands "
        "pooled, 737,088 values",
    ),
    (
        "multispectral-dn16",
        "Multispectral",
        "multispectral",
        16,
        (1700.0, 1300.0),
        "borrowed: sentinel2-l1c before its calibration, bands pooled; set your own for others",
    ),
    (
        "sar-amplitude-dn8",
        "SAR amplitude",
        "sar_amplitude",
        8,
        (3.1, 0.9),
        "measured: between MSTAR (45 million pixels: 3.00 +- 0.71), SSDD (2.4 million: 3.24 +- "
        "1.21) and HRSID (1.9 million: 3.21 +- 0.93)",
    ),
    (
        "sar-amplitude-dn16",
        "SAR amplitude",
        "sar_amplitude",
        16,
        (4.26, 0.73),
        "measured: OpenSARShip, Sentinel-1 GRD digital numbers at sea, 286 chips, 1.6 million "
        "values",
    ),
)


def _channel(name: str, modality: str, bits: int, mean: float, std: float) -> Channel:
    return Channel(
        name=name,
        key=name,
        unit="digital_number",
        valid_range=(0.0, 2.0**bits - 1),
        mean=mean,
        std=std,
        log_floor=DIGITAL_NUMBER_LOG_FLOOR if modality == "sar_amplitude" else None,
        common_name=name if modality == "optical" else _COMMON_NAMES.get(name),
        polarisation=name if name in POLARISATIONS else None,
    )


def _sensor(
    name: str,
    title: str,
    modality: str,
    bits: int,
    statistics: Statistics | tuple[float, float],
    origin: str,
) -> Sensor:
    names = MODALITIES[modality].vocabulary
    pairs = dict.fromkeys(names, statistics) if isinstance(statistics, tuple) else statistics
    return Sensor(
        name=name,
        title=f"{title}, {bits}-bit digital numbers, uncalibrated",
        modality=modality,
        channels=tuple(_channel(n, modality, bits, *pairs[n]) for n in names),
        encodings={"digital-number": Calibration(source="as in the file, of no known unit")},
        source="no instrument: whatever the file holds",
        normalisation_source=origin,
    )


SENSORS = tuple(_sensor(*row) for row in _TABLE)
