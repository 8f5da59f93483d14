"""Optical and multispectral sensors: reflectance as an instrument measures it.

    ground       rho_b = ((1 - mix) rho_material + mix rho_partner) * tone
    light        * (1 - k_b) * lit * cos(i) / sin(elevation) + k_b
    pixel        mean of its 2 x 2 cells (mixed pixels), Gaussian point-spread function
    instrument   + N(0, rho_b / N_full + read^2)

The light is what falls on a slope relative to level ground: the direct beam by Lambert's cosine,
nothing of it in shadow, and the diffuse sky light k_b that reaches everywhere. A product without
topographic correction, as Sentinel-2's L1C, shows exactly that. The view is from the nadir. Path
radiance is not simulated: values are surface reflectances, but for the two water vapour bands,
which the atmosphere dims (B09) or hides but for thin cirrus (B10).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter

from ringmoe.sensors import get_sensor
from ringmoe.simulation.landscape import Landscape, block_mean
from ringmoe.simulation.materials import PARTNER, REFLECTANCE
from ringmoe.simulation.raster import CELL, CELLS_PER_PIXEL
from ringmoe.simulation.terrain import (
    STEEPEST_GROUND,
    cast_shadow,
    cosine_of_incidence,
    fractal,
)

Array = np.ndarray

FULL_SCALE_ELECTRONS = 80_000.0  # at reflectance 1: signal to noise 87 at reflectance 0.1
READ_NOISE = 0.0006  # in reflectance

OPTICAL_FWHM = 1.1  # of the point-spread function, pixels
# Of the bands that Sentinel-2 has at 10 m; those of 20 m and 60 m are wider in proportion.
MULTISPECTRAL_FWHM = 1.2
_METRES = np.array([60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20])

# Two-way transmittance of water vapour in Sentinel-2's bands: a third at 945 nm (L1C scenes show
# B09 at 0.3 to 0.4 of B8A over vegetation), none at 1375 nm.
TRANSMITTANCE = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 0.35, 0, 1, 1], np.float32)
CIRRUS = 0.0015  # reflectance of a thin cirrus in B10
_CIRRUS_BAND = 10

TURBIDITY, ANGSTROM_EXPONENT = 0.05, 1.3  # a clear day


def rayleigh_depth(wavelength_nm: Array | float) -> Array:
    """Optical depth of the molecular atmosphere (Hansen and Travis 1974)."""
    inverse = (np.asarray(wavelength_nm) / 1000) ** -2.0
    return 0.008569 * inverse**2 * (1 + 0.0113 * inverse + 0.00013 * inverse**2)


def diffuse_share(wavelength_nm: Array | float, sun_elevation: float) -> Array:
    """Share of the sky in the light on level ground under a clear sky.

    Rayleigh scattering, half of it downward, and aerosol by Angstrom's law, 84 % of it downward;
    single scattering without absorption.

    Args:
        wavelength_nm: Nanometres, any shape.
        sun_elevation: Degrees.

    Returns:
        Values in (0, 1), the same shape.
    """
    rayleigh = rayleigh_depth(wavelength_nm)
    aerosol = TURBIDITY * (np.asarray(wavelength_nm) / 1000) ** -ANGSTROM_EXPONENT
    slant = math.sin(math.radians(sun_elevation))
    direct = np.exp(-(rayleigh + aerosol) / slant)
    diffuse = 0.5 * (1 - np.exp(-rayleigh / slant)) + 0.84 * (1 - np.exp(-aerosol / slant))
    return diffuse / (direct + diffuse)


def observe_optical(landscape: Landscape, rng: np.random.Generator) -> Array:
    """What the `simulated-optical` sensor measures.

    Args:
        landscape: At the moment it shows.
        rng: For the sensor's noise.

    Returns:
        Reflectance of red, green and blue, `(3, H, W)` float32, 0 and above.
    """
    keys = [c.common_name for c in get_sensor("simulated-multispectral").channels]
    bands = np.array([keys.index(name) for name in ("red", "green", "blue")])
    return _measure(landscape, rng, bands, np.full(3, OPTICAL_FWHM))


def observe_multispectral(landscape: Landscape, rng: np.random.Generator) -> Array:
    """What the `simulated-multispectral` sensor measures.

    Args:
        landscape: At the moment it shows.
        rng: For cirrus and the sensor's noise.

    Returns:
        Reflectance of Sentinel-2's 13 bands, `(13, H, W)` float32, 0 and above.
    """
    return _measure(landscape, rng, np.arange(13), MULTISPECTRAL_FWHM * _METRES / 10)


def sunlight(landscape: Landscape) -> Array:
    """The direct beam on each cell relative to level ground, 0 in shadow: `(2H, 2W)` float32."""
    surface = landscape.elevation + landscape.height
    lit = cosine_of_incidence(surface, CELL, landscape.sun)
    lit /= np.float32(math.sin(math.radians(landscape.sun.elevation)))
    tallest = float(landscape.height.max()) + STEEPEST_GROUND
    lit[cast_shadow(surface, CELL, landscape.sun, tallest)] = 0
    return lit


def _measure(landscape: Landscape, rng: np.random.Generator, bands: Array, fwhm: Array) -> Array:
    """Reflectance of some bands through a point-spread function of a width each."""
    channels = get_sensor("simulated-multispectral").channels
    wavelengths = np.array([channels[band].wavelength_nm for band in bands])
    diffuse = diffuse_share(wavelengths, landscape.sun.elevation).astype(np.float32)
    light = sunlight(landscape)
    images = np.empty((len(bands), *landscape.size), np.float32)
    for image, band, sky, width in zip(images, bands, diffuse, fwhm, strict=True):
        spectrum = REFLECTANCE[:, band] * TRANSMITTANCE[band]
        ground = np.take(spectrum, landscape.material)
        ground += landscape.mix * np.take(spectrum[PARTNER] - spectrum, landscape.material)
        ground *= landscape.tone * (light * (1 - sky) + sky)
        image[:] = _blurred(ground, width / (2 * math.sqrt(2 * math.log(2))))
        if band == _CIRRUS_BAND:
            image += CIRRUS * np.exp(0.4 * fractal(rng, landscape.size, 200.0))
    variance = images / FULL_SCALE_ELECTRONS + READ_NOISE**2
    images += np.sqrt(variance) * rng.standard_normal(images.shape, dtype=np.float32)
    return np.maximum(images, 0)


def _blurred(ground: Array, sigma: float) -> Array:
    """Cells to pixels through a Gaussian whose standard deviation is given in pixels."""
    if sigma > 0.8:  # wide enough to be sampled once a pixel, which takes a quarter of the time
        return gaussian_filter(block_mean(ground), sigma, mode="nearest")
    return block_mean(gaussian_filter(ground, CELLS_PER_PIXEL * sigma, mode="nearest", truncate=3))
