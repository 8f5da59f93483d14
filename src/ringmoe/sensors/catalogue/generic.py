"""Uncalibrated images: digital numbers of no known unit, called so.

What most published data sets hold: 8-bit pictures, 16-bit exports. Nothing physical is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable

from ringmoe.sensors.catalogue.sentinel2 import BANDS
from ringmoe.sensors.catalogue.tables import DIGITAL_NUMBER_LOG_FLOOR
from ringmoe.sensors.channel import Calibration, Channel
from ringmoe.sensors.modality import MODALITIES, POLARISATIONS
from ringmoe.sensors.sensor import Sensor

_COMMON_NAMES = {key: common_name for _, key, common_name, _, _ in BANDS}

# (mean, std) per channel, or one pair for all. SAR: of log(DN + 1).
_AID = {"red": (103.2, 54.6), "green": (104.7, 48.9), "blue": (95.1, 48.2)}
_TABLE = (
    (
        "rgb-dn8",
        "RGB, 8-bit digital numbers",
        255,
        _AID,
        "measured: AID at 150 px, 2,400 images, 54 million pixels",
    ),
    (
        "rgb-dn16",
        "RGB, 16-bit digital numbers",
        65535,
        (2000.0, 2000.0),
        "chosen: 16-bit products have no common scale (10 to 16 bits used); set your own",
    ),
    (
        "multispectral-dn8",
        "Multispectral, 8-bit digital numbers",
        255,
        (69.0, 28.0),
        "measured: Landsat 7 ETM+ Level 1, Olinda, 6 bands pooled, 737,088 values",
    ),
    (
        "multispectral-dn16",
        "Multispectral, 16-bit digital numbers",
        65535,
        (1700.0, 1300.0),
        "borrowed: sentinel2-l1c before its calibration, bands pooled; set your own for others",
    ),
    (
        "sar-amplitude-dn8",
        "SAR amplitude, 8-bit digital numbers",
        255,
        (3.1, 0.9),
        "measured: MSTAR (45 million pixels: 3.00 +- 0.71), SSDD (2.4 million: 3.24 +- 1.21), "
        "HRSID (1.9 million: 3.21 +- 0.93), the middle of the three",
    ),
    (
        "sar-amplitude-dn16",
        "SAR amplitude, 16-bit digital numbers",
        65535,
        (4.5, 0.8),
        "measured: OpenSARShip Sentinel-1 GRD before calibration, 1.6 million values over sea: "
        "4.31 +- 0.68, rounded up for land",
    ),
)


def _channels(
    modality: str,
    names: Iterable[str],
    highest: int,
    statistics: dict[str, tuple[float, float]] | tuple[float, float],
) -> tuple[Channel, ...]:
    return tuple(
        Channel(
            name=name,
            key=name,
            unit="digital_number",
            valid_range=(0.0, float(highest)),
            mean=mean,
            std=std,
            log_floor=DIGITAL_NUMBER_LOG_FLOOR if modality == "sar_amplitude" else None,
            common_name=_COMMON_NAMES.get(name, name if modality == "optical" else None),
            polarisation=name if name in POLARISATIONS else None,
        )
        for name in names
        for mean, std in [statistics[name] if isinstance(statistics, dict) else statistics]
    )


def _modality(name: str) -> str:
    return {"rgb": "optical", "multispectral": "multispectral"}.get(
        name.split("-")[0], "sar_amplitude"
    )


SENSORS = tuple(
    Sensor(
        name=name,
        title=f"{title}, uncalibrated",
        modality=_modality(name),
        channels=_channels(
            _modality(name), MODALITIES[_modality(name)].vocabulary, highest, statistics
        ),
        encodings={"digital-number": Calibration(source="as in the file, of no known unit")},
        source="no instrument: whatever the file holds",
        normalisation_source=origin,
    )
    for name, title, highest, statistics, origin in _TABLE
)
