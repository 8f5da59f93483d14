"""The four modalities and the channel names that a model of each one knows."""

from __future__ import annotations

from dataclasses import dataclass

from ringmoe.errors import ConfigError


@dataclass(frozen=True)
class Modality:
    """One of the four kinds of image, with the vocabulary of its channels.

    Attributes:
        name: The name used in code, configurations and archives.
        title: The name for people.
        vocabulary: Channel names in the order of the stem's weights.
        description: What it is.
    """

    name: str
    title: str
    vocabulary: tuple[str, ...]
    description: str


POLARISATIONS = ("HH", "HV", "VH", "VV")

MODALITIES: dict[str, Modality] = {
    modality.name: modality
    for modality in (
        Modality("optical", "Optical", ("red", "green", "blue"), "RGB, reflectance or DN"),
        Modality(
            "multispectral",
            "Multispectral",
            (*(f"B{n:02d}" for n in range(1, 9)), "B8A", "B09", "B10", "B11", "B12"),
            "visible to short-wave infrared, in Sentinel-2's band names",
        ),
        Modality(
            "sar_complex",
            "SAR complex",
            tuple(f"{pol}_{part}" for pol in POLARISATIONS for part in "IQ"),
            "single-look complex SAR, in-phase and quadrature of each polarisation",
        ),
        Modality(
            "sar_amplitude",
            "SAR amplitude",
            (*POLARISATIONS, "unknown"),
            "detected SAR amplitude, multi-looked or not",
        ),
    )
}


def modality_named(name: str) -> Modality:
    """The modality of that name.

    Raises:
        ConfigError: There is none; the message lists the four.
    """
    try:
        return MODALITIES[name]
    except KeyError:
        raise ConfigError(
            f"unknown modality {name!r}: choose one of {', '.join(MODALITIES)}"
        ) from None
