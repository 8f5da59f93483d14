"""What is computed from polarimetric products: the total power."""

from __future__ import annotations

from ringmoe.sensors.catalogue.tables import MAX_SAR_AMPLITUDE, SIGMA_NOUGHT_LOG_FLOOR
from ringmoe.sensors.channel import Calibration, Channel
from ringmoe.sensors.sensor import Sensor

SENSORS = (
    Sensor(
        name="sar-total-power",
        title="Total power (span) of polarimetric SAR, as amplitude",
        modality="sar_amplitude",
        channels=(
            Channel(
                name="span",
                key="unknown",
                unit="amplitude",
                valid_range=(0.0, 2 * MAX_SAR_AMPLITUDE),  # four polarisations at their limit
                mean=-1.04,
                std=0.58,
                log_floor=SIGMA_NOUGHT_LOG_FLOOR,
            ),
        ),
        encodings={
            "intensity": Calibration(
                form="intensity", source="the file holds |HH|^2 + |HV|^2 + |VH|^2 + |VV|^2"
            ),
            "amplitude": Calibration(source="the file holds the square root of the total power"),
        },
        source="Lee and Pottier, Polarimetric Radar Imaging, CRC Press 2009, section 3.1",
        normalisation_source="measured: AIRSAR L band, San Francisco, the coherency matrix of the "
        "PolSF data set, 921,600 pixels",
    ),
)
