"""The catalogue of sensors, one file per family of instruments."""

from __future__ import annotations

from difflib import get_close_matches

from ringmoe.errors import UnknownSensorError
from ringmoe.sensors.catalogue import (
    airsar,
    gaofen,
    generic,
    landsat,
    polarimetric,
    radarsat2,
    sentinel1,
    sentinel2,
    simulated,
)
from ringmoe.sensors.sensor import Sensor

_FAMILIES = (
    sentinel1,
    sentinel2,
    landsat,
    gaofen,
    airsar,
    radarsat2,
    polarimetric,
    generic,
    simulated,
)
_CATALOGUE: dict[str, Sensor] = {
    sensor.name: sensor for family in _FAMILIES for sensor in family.SENSORS
}


def list_sensors() -> tuple[Sensor, ...]:
    """Every sensor of the catalogue, by family."""
    return tuple(_CATALOGUE.values())


def get_sensor(name: str) -> Sensor:
    """The sensor of that name.

    Args:
        name: As in `list_sensors()`, e.g. "sentinel2-l2a".

    Raises:
        UnknownSensorError: There is none; the message gives the nearest names, and all of them.
    """
    try:
        return _CATALOGUE[name]
    except KeyError:
        near = get_close_matches(str(name).casefold(), _CATALOGUE, n=3)
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise UnknownSensorError(
            f"unknown sensor {name!r}: {guess}The catalogue has {', '.join(_CATALOGUE)}"
        ) from None
