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
from ringmoe.simulation.materials import CLASS_OF, LAND_COVER
from ringmoe.simulation.raster import CELL, CELLS_PER_PIXEL, GSD
from ringmoe.simulation.reflectors import Reflectors, of_buildings, of_object
from ringmoe.simulation.scattering import TABLE, Covariance, single_look
from ringmoe.simulation.terrain import STEEPEST_GROUND, cast_shadow, cosine_of_incidence, reached

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
    surface, tallest = _opaque_surface(landscape)
    factor[cast_shadow(surface, CELL, landscape.radar, tallest)] = 0
    return factor


def _opaque_surface(landscape: Landscape) -> tuple[Array, float]:
    """What casts radar shadow, `(2H, 2W)` metres, and the height of the tallest thing on it.

    Crowns let the waves through; roofs and hulls do not.
    """
    solid = np.where(landscape.solid, landscape.height, 0)
    return landscape.elevation + solid, float(solid.max()) + STEEPEST_GROUND


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


def bright_points(landscape: Landscape) -> Reflectors:
    """All bright points of a landscape, each with as much of its power as the radar sees.

    An object is dark where radar shadow reaches its top, and a ship under a bridge. The fold of a
    wall lies on the ground or the lower roof before it: it is dark where that is in shadow, and
    has the share of the wall that rises from there. No object and no wall hides itself.
    """
    radar = landscape.radar
    surface, tallest = _opaque_surface(landscape)
    water = CLASS_OF[landscape.base_material] == LAND_COVER.index("water")

    walls = of_buildings(landscape.buildings, radar, landscape.seed)
    # A cell before the wall: at its own foot the raster may already show its own roof.
    foot = _at(surface, walls.x + radar.towards[0], walls.y + radar.towards[1])
    rises = _at(landscape.elevation, walls.x, walls.y) + walls.height - foot
    lit = reached(surface, CELL, radar, tallest, np.stack([walls.x, walls.y, foot], axis=1))
    walls = walls.dimmed(lit * np.clip(rises / walls.height, 0, 1))

    things = [of_object(thing, radar) for thing in landscape.objects]
    afloat = np.array([thing.kind == "ship" for thing in landscape.objects], bool)
    afloat = np.repeat(afloat, [len(points.x) for points in things])
    found = Reflectors.joined(things)
    top = _at(landscape.elevation + landscape.deck, found.x, found.y) + found.height
    lit = reached(surface, CELL, radar, tallest, np.stack([found.x, found.y, top], axis=1))
    lit &= ~afloat | _at(water, found.x, found.y)
    return Reflectors.joined([walls, found.dimmed(lit)])


def _at(raster: Array, x: Array, y: Array) -> Array:
    """The cells' values at some places, outside the grid those of its edge: `(N,)`."""
    rows, columns = (
        np.clip(np.floor(place).astype(int), 0, length - 1)
        for place, length in zip((y, x), raster.shape, strict=True)
    )
    return raster[rows, columns]


def _looks(landscape: Landscape, rng: np.random.Generator, count: int) -> list[Array]:
    covariance = covariance_of(landscape)
    points = bright_points(landscape)
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
