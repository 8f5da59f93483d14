"""AIRSAR: NASA/JPL's airborne quad-polarisation SAR (P, L and C band)."""

from __future__ import annotations

from ringmoe.sensors.catalogue.tables import SIGMA_NOUGHT, complex_channels
from ringmoe.sensors.sensor import Sensor

SENSORS = (
    Sensor(
        name="airsar",
        title="AIRSAR, quad-polarisation complex",
        modality="sar_complex",
        channels=complex_channels(0.176),
        encodings={"sigma-nought": SIGMA_NOUGHT},
        source="van Zyl, Carande, Lou, Miller, Wheeler, The NASA/JPL three-frequency AIRSAR system,"
        " IGARSS 1992",
        normalisation_source="measured: L band, San Francisco, the coherency matrix of the PolSF "
        "data set, 921,600 pixels: sqrt(mean span / 8), span 0.2466",
    ),
)
