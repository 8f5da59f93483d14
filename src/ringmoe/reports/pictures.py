"""Calibrated measurements as pictures: `(C, H, W)` in, `(H, W, 3)` uint8 out."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

COMPOSITES = (
    ("B12", "B8A", "B04"),  # water black, crops green, bare soil and roofs pink
    ("B08", "B04", "B03"),  # where there is no short-wave infrared: crops red
    ("B04", "B03", "B02"),
    ("red", "green", "blue"),
)
"""Channels drawn red, green and blue, by their keys: the first of which an image has all three."""

NO_DATA_GREY = 235


def stretch(
    planes: np.ndarray, limits: tuple[float, float] | None = None, gamma: float = 1.0
) -> np.ndarray:
    """Values to 0..255 between two percentiles, one stretch for all planes so hues stay true.

    Args:
        planes: `(3, H, W)` or `(1, H, W)` real; NaN is drawn light grey.
        limits: The values drawn black and white; the 1st and 99th percentile for None.
        gamma: Exponent applied after scaling to 0..1; under 1 brightens.

    Returns:
        `(H, W, 3)` uint8.
    """
    planes = np.broadcast_to(planes, (3, *planes.shape[1:]))
    if limits is None:
        limits = percentile_limits(planes)
    low, high = limits
    scaled = np.clip((planes - low) / max(high - low, 1e-12), 0, 1) ** gamma
    picture = np.nan_to_num(scaled * 255, nan=NO_DATA_GREY).astype(np.uint8)
    return np.moveaxis(picture, 0, -1)


def percentile_limits(planes: np.ndarray) -> tuple[float, float]:
    """The 1st and 99th percentile of the finite values; (0, 1) where there are none."""
    finite = planes[np.isfinite(planes)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite, [1, 99])
    return float(low), float(high)


def colour_planes(values: np.ndarray, keys: Sequence[str]) -> np.ndarray:
    """The three planes of an image `(C, H, W)` to draw red, green and blue, or its first one.

    Args:
        values: In any order of channels.
        keys: Name the channels in the vocabulary.
    """
    for colours in COMPOSITES:
        if set(colours) <= set(keys):
            return values[[keys.index(key) for key in colours]]
    return values[:1]


def true_colour(values: np.ndarray) -> np.ndarray:
    """Red, green and blue `(3, H, W)` as the eye expects them; one plane `(1, H, W)` in grey."""
    return stretch(values, gamma=0.8)


def false_colour(values: np.ndarray, keys: Sequence[str]) -> np.ndarray:
    """A multispectral image `(C, H, W)`; `keys` name its channels in the vocabulary."""
    planes = colour_planes(values, keys)
    low_high = np.array([percentile_limits(plane) for plane in planes])
    span = np.maximum(low_high[:, 1] - low_high[:, 0], 1e-12)
    scaled = (planes - low_high[:, 0, None, None]) / span[:, None, None]
    return stretch(scaled, limits=(0, 1), gamma=0.9)


def decibels(amplitude: np.ndarray) -> np.ndarray:
    """Detected amplitude `(1, H, W)` in grey, on a decibel scale."""
    return stretch(20 * np.log10(np.maximum(amplitude, 1e-6)))


def pauli(values: np.ndarray, keys: Sequence[str]) -> np.ndarray:
    """Complex SAR as its Pauli composite: red HH-VV, green HV, blue HH+VV.

    Double-bounce (buildings, ships) comes out red, volume (forest) green, surface (water, bare
    soil) blue (Cloude and Pottier, 1996). Without both co-polarisations: the magnitudes in grey.

    Args:
        values: `(P, H, W)` complex.
        keys: The polarisation of each plane.
    """
    if not {"HH", "HV", "VV"} <= set(keys):
        return decibels(np.abs(values[:1]))
    hh, hv, vv = (values[keys.index(key)] for key in ("HH", "HV", "VV"))
    planes = np.stack([np.abs(hh - vv), 2 * np.abs(hv), np.abs(hh + vv)]) / np.sqrt(2)
    return stretch(20 * np.log10(np.maximum(planes, 1e-6)))


def measurement(values: np.ndarray, modality: str, keys: Sequence[str]) -> np.ndarray:
    """Calibrated `(C, H, W)` values of any modality in the composite usual for it."""
    if modality == "optical":
        return true_colour(colour_planes(values, keys))
    if modality == "multispectral":
        return false_colour(values, keys)
    if modality == "sar_complex":
        return pauli(values, keys)
    return decibels(values[:1])


def png(picture: np.ndarray, zoom: int = 1) -> str:
    """A picture `(H, W, 3)` uint8 as a data URI, enlarged a whole number of times."""
    image = Image.fromarray(picture)
    if zoom > 1:
        image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
