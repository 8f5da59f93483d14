"""What each instrument measures: channels, units, calibration, normalisation. Data, no I/O."""

from ringmoe.sensors.catalogue import get_sensor, list_sensors
from ringmoe.sensors.channel import Calibration, Channel, Unit
from ringmoe.sensors.checks import check_values
from ringmoe.sensors.modality import MODALITIES, POLARISATIONS, Modality, modality_named
from ringmoe.sensors.radiometry import calibrate, denormalise, normalise
from ringmoe.sensors.sensor import Sensor

__all__ = [
    "MODALITIES",
    "POLARISATIONS",
    "Calibration",
    "Channel",
    "Modality",
    "Sensor",
    "Unit",
    "calibrate",
    "check_values",
    "denormalise",
    "get_sensor",
    "list_sensors",
    "modality_named",
    "normalise",
]
