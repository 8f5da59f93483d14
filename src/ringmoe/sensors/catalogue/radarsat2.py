"""RADARSAT-2: C-band quad-polarisation single-look complex."""

from __future__ import annotations

from ringmoe.sensors.catalogue.sentinel1 import COMPLEX_SCALE
from ringmoe.sensors.catalogue.tables import SIGMA_NOUGHT, complex_channels
from ringmoe.sensors.sensor import Sensor

SENSORS = (
    Sensor(
        name="radarsat2-slc",
        title="RADARSAT-2 fine quad-polarisation, single-look complex",
        modality="sar_complex",
        channels=complex_channels(COMPLEX_SCALE),
        encodings={"sigma-nought": SIGMA_NOUGHT},
        gsd=8.0,
        source="MDA, RADARSAT-2 Product Format Definition (RN-RP-51-2713): digital numbers are "
        "divided by the gains of lutSigma.xml, which differ from scene to scene; apply them first",
        normalisation_source="borrowed: sentinel1-slc, C band too; no RADARSAT-2 product was at "
        "hand to measure",
    ),
)
