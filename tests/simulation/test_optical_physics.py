"""Simulated reflectance against closed forms and what is known of spectra and light."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ringmoe.sensors import check_values, get_sensor
from ringmoe.simulation.materials import INDEX, LAND_COVER, MATERIALS, REFLECTANCE
from ringmoe.simulation.optical import (
    FULL_SCALE_ELECTRONS,
    MULTISPECTRAL_FWHM,
    OPTICAL_FWHM,
    READ_NOISE,
    diffuse_share,
    observe_multispectral,
    observe_optical,
    rayleigh_depth,
    sunlight,
)
from ringmoe.simulation.raster import GSD
from ringmoe.simulation.terrain import Illumination, cast_shadow, cosine_of_incidence

BANDS = [channel.key for channel in get_sensor("simulated-multispectral").channels]
RED, NIR, SWIR = (BANDS.index(name) for name in ("B04", "B08", "B11"))


def ndvi(image):
    return (image[NIR] - image[RED]) / (image[NIR] + image[RED])


@pytest.mark.parametrize("kind", ["river", "harbour"])
def test_ndvi_of_crops_is_above_that_of_water(kind, landscapes):
    """Means of the classes: living plants are above 0.3, water is below 0."""
    landscape = landscapes[kind]
    index = ndvi(observe_multispectral(landscape, np.random.default_rng(1)))
    crops, water = (index[landscape.land_cover == LAND_COVER.index(c)] for c in ("crops", "water"))
    assert crops.mean() > 0.3
    assert water.mean() < 0.0
    assert crops.mean() > water.mean() + 0.4


def test_order_of_the_classes(landscapes):
    """What every scene shows: water is darkest in the infrared, bare soil brightest in B11."""
    landscape = landscapes["river"]
    image = observe_multispectral(landscape, np.random.default_rng(2))
    means = {
        name: image[:, landscape.land_cover == number].mean(axis=1)
        for number, name in enumerate(LAND_COVER)
        if (landscape.land_cover == number).sum() > 50
    }
    assert min(means, key=lambda name: means[name][NIR]) == "water"
    assert max(means, key=lambda name: means[name][SWIR]) == "bare"
    assert means["forest"][RED] < means["crops"][RED]


def test_spectra_are_physical():
    """Reflectances are in [0, 1]; green plants have a red edge, soils rise, water falls."""
    assert REFLECTANCE.shape == (len(MATERIALS), 13)
    assert REFLECTANCE.min() >= 0
    assert REFLECTANCE.max() <= 1
    for plant in ("wheat", "maize", "meadow", "broadleaf", "conifer"):
        assert REFLECTANCE[INDEX[plant], NIR] > 4 * REFLECTANCE[INDEX[plant], RED]
    for soil in ("soil", "wet soil", "sand"):
        assert (np.diff(np.delete(REFLECTANCE[INDEX[soil]], 10)[:-1]) > 0).all()
    for water in ("river water", "sea water"):
        assert REFLECTANCE[INDEX[water], NIR] < 0.3 * REFLECTANCE[INDEX[water]].max()


@pytest.mark.parametrize(("azimuth", "elevation"), [(180, 45), (135, 40), (90, 50), (270, 30)])
def test_the_shadow_of_a_tower(azimuth, elevation):
    """It points away from the sun and is height / tan(elevation) long.

    A tower of one cell, 20 m high, on level ground.
    """
    ground = np.zeros((121, 121), np.float32)
    ground[60, 60] = 20
    sun = Illumination(azimuth, elevation)
    shadow = np.argwhere(cast_shadow(ground, 1.0, sun, 20.0))
    rows, columns = (shadow - 60).T
    towards_sun = columns * sun.towards[0] + rows * sun.towards[1]
    across = columns * sun.towards[1] - rows * sun.towards[0]
    assert (towards_sun < 0).all()
    assert np.abs(across).max() < 1
    assert -towards_sun.min() == pytest.approx(20 / math.tan(math.radians(elevation)), abs=1.5)


def test_shadows_in_a_landscape_lie_away_from_the_sun(uniform):
    """North of a hall on a plain with the sun in the south it is darker than south of it."""
    plain = uniform("concrete", sun=(180.0, 40.0))
    height = plain.base_height.copy()
    height[56:72, 50:78] = 12
    image = observe_optical(replace(plain, base_height=height), np.random.default_rng(3))
    north, south = image[:, 24:27, 28:36].mean((1, 2)), image[:, 37:40, 28:36].mean((1, 2))
    assert (north < 0.45 * south).all()
    blue_over_red = north[2] / north[0], south[2] / south[0]
    assert blue_over_red[0] > 1.3 * blue_over_red[1]  # the sky lights shadows


def test_lambert_on_a_slope():
    """A plane that rises 30 degrees towards the north, sun in the south at 40: i = 90 - 40 - 30."""
    rise = math.tan(math.radians(30)) * np.arange(50, 0, -1, dtype=np.float32)
    plane = np.broadcast_to(rise[:, None], (50, 50))
    cosine = cosine_of_incidence(plane, 1.0, Illumination(180, 40))
    np.testing.assert_allclose(cosine, math.cos(math.radians(20)), rtol=1e-4)
    away = cosine_of_incidence(plane[::-1], 1.0, Illumination(180, 40))
    np.testing.assert_allclose(away, math.cos(math.radians(80)), rtol=1e-3)


def test_level_ground_has_its_materials_reflectance(uniform):
    """Whatever the sun: on a plain light is relative to a plain."""
    for sun in ((150.0, 40.0), (180.0, 60.0)):
        image = observe_optical(uniform("meadow", sun=sun), np.random.default_rng(4))
        expected = REFLECTANCE[INDEX["meadow"], [3, 2, 1]]
        np.testing.assert_allclose(image.mean((1, 2)), expected, rtol=2e-3)


def test_noise_is_shot_and_read_noise(uniform):
    """Variance rho / N_full + read^2: of 16384 values its standard error is 1.1 %."""
    image = observe_optical(uniform("concrete", 128), np.random.default_rng(5))
    for plane in image:
        expected = plane.mean() / FULL_SCALE_ELECTRONS + READ_NOISE**2
        assert plane.astype(float).var() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("observe", "channel", "fwhm"),
    [
        (observe_optical, 0, OPTICAL_FWHM),
        (observe_multispectral, RED, MULTISPECTRAL_FWHM),
        (observe_multispectral, SWIR, 2 * MULTISPECTRAL_FWHM),
    ],
)
def test_point_spread(observe, channel, fwhm, uniform):
    """The edge of a white roof is blurred by a Gaussian of that width.

    A step at x = 32 seen through a Gaussian is Phi((x - 32) / s); its mean over the pixel from x
    to x + 1 is the difference of s (u Phi(u) + phi(u)) with u = (x - 32) / s. Blurring twice as
    much or not at all would be off by a tenth of the contrast.
    """
    plain = uniform("asphalt", 64)
    material = plain.base_material.copy()
    material[:, 64:] = INDEX["white paint"]
    image = observe(replace(plain, base_material=material), np.random.default_rng(6))
    band = 3 if observe is observe_optical else channel
    dark, bright = (REFLECTANCE[INDEX[name], band] for name in ("asphalt", "white paint"))
    profile = (image[channel].astype(float).mean(axis=0) - dark) / (bright - dark)
    sigma = fwhm / 2.3548
    u = (np.arange(65) - 32) / sigma
    expected = np.diff(sigma * (u * stats.norm.cdf(u) + stats.norm.pdf(u)))
    np.testing.assert_allclose(profile, expected, atol=0.02)


def test_mixed_pixels_are_the_mean_of_their_cells(uniform):
    plain = uniform("soil", 32)
    material = plain.base_material.copy()
    material[:, ::2] = INDEX["meadow"]
    image = observe_multispectral(replace(plain, base_material=material), np.random.default_rng(7))
    both = (REFLECTANCE[INDEX["soil"]] + REFLECTANCE[INDEX["meadow"]]) / 2
    seen = [band for band in range(13) if BANDS[band] not in ("B09", "B10")]
    np.testing.assert_allclose(image.mean((1, 2))[seen], both[seen], rtol=3e-3)


def test_rayleigh_scattering_and_the_colour_of_the_sky():
    """Optical depth 0.0975 at 550 nm (Bodhaine et al. 1999); the sky is blue."""
    assert rayleigh_depth(550.0) == pytest.approx(0.0975, rel=0.01)
    shares = diffuse_share(np.array([443, 490, 560, 665, 842, 1610]), 45.0)
    assert (np.diff(shares) < 0).all()
    assert 0.2 < shares[0] < 0.5
    assert shares[-1] < 0.1
    low, high = diffuse_share(550.0, 20.0), diffuse_share(550.0, 60.0)
    assert low > high


def test_water_vapour_hides_the_ground_in_b10(landscapes):
    image = observe_multispectral(landscapes["village"], np.random.default_rng(8))
    cirrus = image[BANDS.index("B10")]
    assert 0 < np.median(cirrus) < 0.006
    assert abs(np.corrcoef(cirrus.ravel(), image[NIR].ravel())[0, 1]) < 0.2
    assert image[BANDS.index("B09")].mean() < 0.5 * image[BANDS.index("B8A")].mean()


def test_sunlight_reaches_level_open_ground_in_full(uniform):
    np.testing.assert_allclose(sunlight(uniform("meadow")), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["village", "airfield", "harbour", "quarry"])
def test_values_are_in_the_sensors_units(kind, landscapes):
    rng = np.random.default_rng(9)
    for sensor, observe in (
        ("simulated-optical", observe_optical),
        ("simulated-multispectral", observe_multispectral),
    ):
        image = observe(landscapes[kind], rng)
        assert image.dtype == np.float32
        assert image.min() >= 0
        check_values(image, get_sensor(sensor).channels)
    assert get_sensor("simulated-optical").gsd == GSD
