"""Sentinel-1 C-band SAR: single-look complex (SLC) and ground range detected (GRD)."""

from __future__ import annotations

from ringmoe.sensors.catalogue.tables import (
    AMPLITUDE_ENCODINGS,
    SIGMA_NOUGHT,
    amplitude_channels,
    complex_channels,
)
from ringmoe.sensors.channel import Calibration
from ringmoe.sensors.sensor import Sensor

# SSL4EO-S12's dB statistics (VV -12.55 +- 5.26, VH -20.19 +- 5.91) carried over to
# log(amplitude + 0.003), taking dB as Gaussian; HH and HV as VV and VH.
AMPLITUDE_STATISTICS = {"co": (-1.430, 0.596), "cross": (-2.287, 0.656)}

# The same statistics as rms of I and Q: mean sigma nought 0.1157 (VV) and 0.0242 (VH) is shared by
# I and Q of both, sqrt((0.1157 + 0.0242) / 4).
COMPLEX_SCALE = 0.187

# Digital numbers are divided by a look-up table in the product's annotation. Its beta nought is
# constant (237 for SLC, 474 for GRD); sigma nought at mid swath (38 degrees) is that over
# sqrt(sin 38): within about 1 dB over the swath (29 to 46 degrees).
_NOMINAL = (
    "nominal: ESA-EOPG-CSCOP-TN-0002, beta nought constant {} at 38 degrees incidence, within "
    "1 dB over the swath; exact values need the annotation's look-up table"
)
_POLARISATIONS = ("VV", "VH", "HH", "HV")
_SOURCE = "ESA, Sentinel-1 Product Specification (S1-RS-MDA-52-7441)"
_STATISTICS = (
    "published: dB statistics of SSL4EO-S12 GRD (Wang et al., IEEE GRSM 2023), 50,000 samples, "
    "converted as if dB were Gaussian"
)

SENSORS = (
    Sensor(
        name="sentinel1-slc",
        title="Sentinel-1 IW, single-look complex",
        modality="sar_complex",
        channels=complex_channels(COMPLEX_SCALE, _POLARISATIONS),
        encodings={
            "digital-number": Calibration(scale=1 / 302, source=_NOMINAL.format(237)),
            "sigma-nought": SIGMA_NOUGHT,
        },
        source=f"{_SOURCE}; 2.3 m in range by 14.1 m in azimuth",
        normalisation_source=_STATISTICS,
    ),
    Sensor(
        name="sentinel1-grd",
        title="Sentinel-1 IW, ground range detected",
        modality="sar_amplitude",
        channels=amplitude_channels(AMPLITUDE_STATISTICS, _POLARISATIONS),
        encodings={
            **AMPLITUDE_ENCODINGS,
            "digital-number": Calibration(scale=1 / 604, source=_NOMINAL.format(474)),
        },
        gsd=10.0,
        source=_SOURCE,
        normalisation_source=_STATISTICS,
    ),
)
