"""What a channel is, as numbers that a network can read: wavelength, polarisation, sampling.

| what | numbers |
|---|---|
| centre wavelength | sine and cosine of its logarithm, 1/8 to 4 turns an octave |
| bandwidth | the same, 1/16 of a turn an octave |
| ground sampling distance | the same, 1/32 of a turn an octave |
| polarisation | one of HH, HV, VH, VV, unknown |
| component | one of amplitude, I, Q |

What is not known, or does not apply, is 0: the centre of the circle on which every known value
lies. Logarithms, because instruments are alike by ratios: bands are the wider the longer their
wavelength, pixels double from one instrument to the next. The slowest turn tells apart all that
there is (no two wavelengths within 8 octaves agree in it), the fastest tells bands 5 % apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ringmoe.errors import ConfigError, UnknownChannelError
from ringmoe.models.windows import cached_constant
from ringmoe.sensors import POLARISATIONS, Channel, get_sensor, modality_named

KNOWN_POLARISATIONS = (*POLARISATIONS, "unknown")
COMPONENTS = ("amplitude", "I", "Q")

# Turns an octave, and the value at angle 0.
_WAVELENGTH = tuple(2.0**k for k in range(-3, 3)), 1000.0  # nanometres
_BANDWIDTH = (1 / 16,), 50.0  # nanometres
_SAMPLING = (1 / 32,), 10.0  # metres

FEATURES = 2 * (6 + 1 + 1) + len(KNOWN_POLARISATIONS) + len(COMPONENTS)

# Ultraviolet to far infrared: a wavelength in micrometres or in hertz is outside.
_WAVELENGTHS_NM = (100.0, 100_000.0)

# What a name of the vocabularies stands for: Sentinel-2's bands, by their own or common name.
_SENTINEL2 = {
    name: channel
    for channel in get_sensor("sentinel2-l1c").channels
    for name in (channel.key, channel.common_name)
}


class Description(NamedTuple):
    """What a channel measures, whichever instrument it is of.

    Attributes:
        wavelength_nm: Centre wavelength in nanometres; None for SAR.
        bandwidth_nm: Full width at half maximum in nanometres, if known.
        polarisation: One of `KNOWN_POLARISATIONS`; None for optical channels.
        component: One of `COMPONENTS`; None for optical channels.
    """

    wavelength_nm: float | None = None
    bandwidth_nm: float | None = None
    polarisation: str | None = None
    component: str | None = None


def describe_channel(channel: str | Channel, modality: str) -> Description:
    """What a channel is.

    Args:
        channel: A name of the modality's vocabulary, which stands for Sentinel-2's band of that
            name (red, green and blue are its B04, B03 and B02) or for what it says (HV, VV_I); or
            a `Channel`. One that gives neither wavelength nor polarisation is what its key names.
        modality: One of `ringmoe.sensors.MODALITIES`.

    Raises:
        UnknownChannelError: Nothing says what the channel measures.
        ConfigError: Its wavelength or bandwidth cannot be in nanometres.
    """
    vocabulary = modality_named(modality).vocabulary
    is_sar = modality.startswith("sar")
    name = channel if isinstance(channel, str) else channel.key
    if isinstance(channel, Channel):
        if is_sar and channel.polarisation is not None:
            return _sar(channel.name, modality, channel.polarisation, channel.component)
        if not is_sar and channel.wavelength_nm is not None:
            return _optical(channel.name, channel.wavelength_nm, channel.bandwidth_nm)
    if name not in vocabulary:
        due = "polarisation" if is_sar else "wavelength_nm and bandwidth_nm"
        raise UnknownChannelError(
            f"nothing says what {modality} channel {name!r} measures: give a "
            f"ringmoe.sensors.Channel with its {due}, or name one of {', '.join(vocabulary)}"
        )
    if is_sar:
        polarisation, _, component = name.partition("_")
        return _sar(name, modality, polarisation, component or None)
    band = _SENTINEL2[name]
    return Description(band.wavelength_nm, band.bandwidth_nm)


def _optical(name: str, wavelength: float, bandwidth: float | None) -> Description:
    shortest, longest = _WAVELENGTHS_NM
    if not shortest <= wavelength <= longest:
        raise ConfigError(
            f"channel {name} has wavelength_nm {wavelength:g}, expected {shortest:g} to "
            f"{longest:g}: give it in nanometres"
        )
    if bandwidth is not None and not 0.1 <= bandwidth <= longest:
        raise ConfigError(
            f"channel {name} has bandwidth_nm {bandwidth:g}, expected 0.1 to {longest:g}: give it "
            "in nanometres, or None if it is not known"
        )
    return Description(wavelength, bandwidth)


def _sar(name: str, modality: str, polarisation: str, component: str | None) -> Description:
    component = component or "amplitude"
    if polarisation not in KNOWN_POLARISATIONS:
        raise UnknownChannelError(
            f"channel {name} has polarisation {polarisation!r}, expected one of "
            f"{', '.join(KNOWN_POLARISATIONS)}"
        )
    due = ("I", "Q") if modality == "sar_complex" else ("amplitude",)
    if component not in due:
        raise UnknownChannelError(
            f"{modality} channel {name} is {component}, expected {' or '.join(due)}: "
            "Channel.split() gives I and Q of a complex channel"
        )
    return Description(polarisation=polarisation, component=component)


@cached_constant
def channel_features(
    channels: tuple[Description, ...], gsd: float | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The numbers of the table above for each channel, `(n, FEATURES)`, each in -1 to 1.

    Args:
        channels: What they are.
        gsd: Ground sampling distance of all of them in metres; None if it is not known.
        dtype: Of what is returned; computed in float64.
        device: Where it goes.

    Raises:
        ConfigError: `gsd` is not a positive number of metres.
    """
    if gsd is not None and not 0 < gsd < math.inf:
        raise ConfigError(f"gsd must be a positive number of metres or None, got {gsd:g}")
    rows = [_numbers(channel, gsd) for channel in channels]
    return torch.tensor(rows, dtype=torch.float64).to(device=device, dtype=dtype)


def _numbers(channel: Description, gsd: float | None) -> list[float]:
    return [
        *_waves(channel.wavelength_nm, *_WAVELENGTH),
        *_waves(channel.bandwidth_nm, *_BANDWIDTH),
        *_waves(gsd, *_SAMPLING),
        *(float(channel.polarisation == p) for p in KNOWN_POLARISATIONS),
        *(float(channel.component == c) for c in COMPONENTS),
    ]


def _waves(value: float | None, turns: Sequence[float], origin: float) -> list[float]:
    """Fourier features of a logarithm (Tancik et al. 2020, arXiv 2006.10739)."""
    if value is None:
        return [0.0] * (2 * len(turns))
    octaves = math.log2(value / origin)
    angles = [2 * math.pi * octaves * each for each in turns]
    return [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
