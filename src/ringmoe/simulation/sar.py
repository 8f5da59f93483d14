"""Synthetic aperture radar: quad-polarised single looks, and multi-looked amplitude.

Clutter is fully developed speckle with the mean covariance of what is in each pixel
(`scattering.py`), times the radiometry of the terrain; bright points (`reflectors.py`) are added
coherently through the impulse response, and noise last. The grid is terrain corrected ground
range: layover is taken as resolved, radar shadow of buildings is not and shows the noise. A pixel
is a resolution cell, so that speckle is independent from pixel to pixel.
"""

from __future__ import annotations

import math

import numpy as np

from ringmoe.simulation.landscape import Landscape, block_mean
from ringmoe.simulation.raster import CELL, CELLS_PER_PIXEL, GSD
from ringmoe.simulation.reflectors import Reflectors, of_buildings, of_object
from ringmoe.simulation.scattering import TABLE, Covariance, single_look
from ringmoe.simulation.terrain import STEEPEST_GROUND, cast_shadow, cosine_of_incidence

Array = np.ndarray

# Noise equivalent sigma zero: between Sentinel-1 (-22 dB or better) and RADARSAT-2 quad-pol fine
# (about -35 dB).
NOISE = 10 ** (-28 / 10)
LOOKS = 4

_REACH = 6  # pixels on each side of a point that its response covers
_PEDESTAL = 0.7  # of the raised-cosine weighting: 0.54 is Hamming's, 1 is none


def covariance_of(landscape: Landscape) -> Covariance:
    """The mean covariance of each pixel's clutter, `(H, W)` rasters in sigma nought.

    Mixed pixels: covariances of independent scatterers add, so that a pixel has the mean of its
    cells'. Terrain: sigma nought goes with the square of the cosine of local incidence (Clapp's
    law for rough surfaces, 1946), relative to level ground, limited to a factor of 4. Nothing
    comes back from radar shadow.
    """
    seen = _terrain_factor(landscape)
    material = landscape.material
    return Covariance(
        *(
            block_mean(seen * np.take(part.astype(dtype), material))
            for part, dtype in (
                (TABLE.hh, np.float32), (TABLE.hv, np.float32),
                (TABLE.vv, np.float32), (TABLE.hhvv, np.complex64),
            )
        )
    )  # fmt: skip


def _terrain_factor(landscape: Landscape) -> Array:
    level = math.sin(math.radians(landscape.radar.elevation))
    local = cosine_of_incidence(landscape.elevation, CELL, landscape.radar) / np.float32(level)
    factor = np.clip(local**2, 0.25, 4.0)
    # Crowns let the waves through; roofs and hulls do not.
    solid = np.where(landscape.solid, landscape.height, 0)
    surface = landscape.elevation + solid
    factor[cast_shadow(surface, CELL, landscape.radar, float(solid.max()) + STEEPEST_GROUND)] = 0
    return factor


def observe_sar_complex(landscape: Landscape, rng: np.random.Generator) -> Array:
    """What the `simulated-sar-complex` sensor measures.

    Args:
        landscape: At the moment it shows.
        rng: For speckle, the phases of the bright points and noise.

    Returns:
        Single-look HH, HV, VH, VV, `(4, H, W)` complex64; a pixel's power is sigma nought.
    """
    return _looks(landscape, rng, 1)[0]


def observe_sar_amplitude(
    landscape: Landscape, rng: np.random.Generator, looks: int = LOOKS
) -> Array:
    """What the `simulated-sar-amplitude` sensor measures: another acquisition, multi-looked.

    Independent looks are averaged in power, so that the grid is kept and the equivalent number
    of looks of clutter is `looks`.

    Args:
        landscape: At the moment it shows.
        rng: For speckle, the phases of the bright points and noise.
        looks: Their number.

    Returns:
        Amplitude of HH, HV, VH, VV, `(4, H, W)` float32: the root of the mean sigma nought.
    """
    power = sum(np.abs(look) ** 2 for look in _looks(landscape, rng, looks))
    return np.sqrt(power / np.float32(looks)).astype(np.float32)


def _looks(landscape: Landscape, rng: np.random.Generator, count: int) -> list[Array]:
    covariance = covariance_of(landscape)
    points = Reflectors.joined(
        [
            of_buildings(landscape.buildings, landscape.radar, landscape.seed),
            *(of_object(thing, landscape.radar) for thing in landscape.objects),
        ]
    )
    return [
        single_look(covariance, rng, NOISE) + point_responses(points, landscape.size, rng)
        for _ in range(count)
    ]


def point_responses(points: Reflectors, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Bright points as the sensor shows them, each with a phase of its own.

    The response is a sinc under a raised cosine, critically sampled, so that a point between
    pixels shows its side lobes in range and azimuth. A cross section becomes sigma nought by
    division by the pixel's area.

    Returns:
        HH, HV, VH, VV, `(4, H, W)` complex64.
    """
    phase = np.exp(2j * np.pi * rng.random(len(points.x)))
    amplitude = points.scattering() / GSD * phase
    rows, down = _response(points.y / CELLS_PER_PIXEL)
    columns, right = _response(points.x / CELLS_PER_PIXEL)
    weight = down[:, :, None] * right[:, None, :]
    rows, columns = np.broadcast_arrays(rows[:, :, None], columns[:, None, :])
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    cell = (rows * size[1] + columns)[inside]
    image = np.zeros((4, *size), np.complex64)
    for channel in (0, 1, 3):
        echo = (amplitude[channel][:, None, None] * weight)[inside]
        parts = (np.bincount(cell, part, size[0] * size[1]) for part in (echo.real, echo.imag))
        real, imaginary = (part.reshape(size) for part in parts)
        image[channel] = real + 1j * imaginary
    image[2] = image[1]
    return image


def _response(place: Array) -> tuple[Array, Array]:
    """Pixels around places on one axis, and the impulse response there: both `(N, 2 reach + 1)`."""
    nearest = np.floor(place).astype(int)[:, None] + np.arange(-_REACH, _REACH + 1)
    away = nearest + 0.5 - place[:, None]
    taper = _PEDESTAL + (1 - _PEDESTAL) * np.cos(np.pi * away / (_REACH + 0.5))
    return nearest, np.sinc(away) * taper
