"""Relief: fractal noise, and how light and radar waves fall on a surface."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

Array = np.ndarray

STEEPEST_GROUND = 6.0  # metres: quays and quarry faces cast shadows too


@dataclass(frozen=True)
class Illumination:
    """Where the sun stands, or the radar.

    Attributes:
        azimuth: Degrees clockwise from north (the top of the image) to the source.
        elevation: Degrees above the horizon, in (0, 90].
    """

    azimuth: float
    elevation: float

    @property
    def towards(self) -> tuple[float, float]:
        """The horizontal direction to the source in image axes: x right, y down."""
        azimuth = math.radians(self.azimuth)
        return math.sin(azimuth), -math.cos(azimuth)


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], scale: float, slope: float = 3.4
) -> Array:
    """Fractal noise: Gaussian, mean 0, standard deviation 1.

    Spectral synthesis: white noise filtered to the von Karman spectrum
    `(f^2 + 1/scale^2)^(-slope/2)`, a power law that levels off above the outer scale. A slope of
    2 H + 2 gives fractional Brownian relief with Hurst exponent H (Turcotte 1997, Fractals and
    Chaos in Geology and Geophysics); farmed and eroded land is smoother than that at short range.

    Args:
        rng: Source of randomness.
        shape: Rows and columns.
        scale: Size of the largest structures, in cells.
        slope: Steepness of the spectrum; smaller is rougher.

    Returns:
        `(H, W)` float32.
    """
    # Twice the size would avoid that opposite edges resemble each other; nobody sees them.
    spectrum = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    rows = fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    columns = fft.rfftfreq(shape[1]).astype(np.float32)
    spectrum *= (rows**2 + columns**2 + np.float32(scale) ** -2) ** np.float32(-slope / 4)
    spectrum[0, 0] = 0
    noise = fft.irfft2(spectrum, shape)
    return noise / noise.std()


def gradient(surface: Array) -> tuple[Array, Array]:
    """Slopes along x and y: of the differences to both neighbours the one that is smaller.

    The minmod limiter of shock-capturing schemes: roof pitches and tree crowns keep their slope,
    while a vertical wall does not become a slope over two cells.
    """
    slopes = []
    for axis in (1, 0):
        steps = np.diff(surface, axis=axis)
        before = np.concatenate([steps.take([0], axis), steps], axis)
        after = np.concatenate([steps, steps.take([-1], axis)], axis)
        smaller = np.where(np.abs(before) < np.abs(after), before, after)
        slopes.append(np.where(before * after > 0, smaller, 0).astype(np.float32))
    return slopes[0], slopes[1]


def cosine_of_incidence(surface: Array, cell: float, light: Illumination) -> Array:
    """Lambert's cosine: between the normal of a surface and the direction of the light.

    Args:
        surface: Heights in metres, `(H, W)`.
        cell: Size of a cell in metres.
        light: The direction of the light.

    Returns:
        `(H, W)` float32 in [0, 1]; on level ground the sine of the elevation.
    """
    slope_x, slope_y = (slope / np.float32(cell) for slope in gradient(surface))
    elevation = math.radians(light.elevation)
    x, y = (math.cos(elevation) * part for part in light.towards)
    cosine = math.sin(elevation) - np.float32(x) * slope_x - np.float32(y) * slope_y
    return np.maximum(cosine / np.sqrt(1 + slope_x**2 + slope_y**2), 0)


def cast_shadow(surface: Array, cell: float, light: Illumination, tallest: float) -> Array:
    """Where something between a point and the light keeps the light away.

    Walks from every cell towards the light, a cell a step, as far as the shadow of the tallest
    thing can reach.

    Args:
        surface: Heights in metres, `(H, W)`.
        cell: Size of a cell in metres.
        light: The direction of the light.
        tallest: Height in metres over its surroundings of the tallest thing that counts.

    Returns:
        `(H, W)` bool, true in shadow.
    """
    rise = cell * math.tan(math.radians(light.elevation))
    x, y = light.towards
    shadow = np.zeros(surface.shape, bool)
    height, width = surface.shape
    for step in range(1, math.ceil(tallest / rise) + 1):
        right, down = round(step * x), round(step * y)
        if abs(right) >= width or abs(down) >= height:
            break
        here = _window(height, -down), _window(width, -right)
        there = _window(height, down), _window(width, right)
        shadow[here] |= surface[there] > surface[here] + np.float32(step * rise)
    return shadow


def reached(
    surface: Array, cell: float, light: Illumination, tallest: float, points: Array
) -> Array:
    """Whether the light reaches points of known height, whatever stands at their own place.

    As `cast_shadow`, but the walk starts a cell away from each point, so that a wall does not
    hide its own foot nor a hull its own deck.

    Args:
        surface: Heights in metres, `(H, W)`; nothing outside it casts a shadow.
        cell: Size of a cell in metres.
        light: The direction of the light.
        tallest: Height in metres over its surroundings of the tallest thing that counts.
        points: x, y on the grid of cells and height in metres as the surface's, `(N, 3)`.

    Returns:
        `(N,)` bool, false in shadow.
    """
    rise = cell * math.tan(math.radians(light.elevation))
    steps = np.arange(1, math.ceil(tallest / rise) + 1)
    x, y, level = (axis[:, None] + steps * step for axis, step in
                   zip(points.T, (*light.towards, rise), strict=True))  # fmt: skip
    columns, rows = np.floor(x).astype(int), np.floor(y).astype(int)
    inside = (rows >= 0) & (rows < surface.shape[0])
    inside &= (columns >= 0) & (columns < surface.shape[1])
    there = surface[np.where(inside, rows, 0), np.where(inside, columns, 0)]
    return ~(inside & (there > level)).any(axis=1)


def _window(size: int, shift: int) -> slice:
    """The cells of an axis that have a partner `shift` cells before them."""
    return slice(max(shift, 0), size + min(shift, 0))
