"""The statistics of simulated SAR against closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ringmoe.simulation.landscape import block_mean
from ringmoe.simulation.materials import CLASS_OF, INDEX, LAND_COVER, METAL, Scattering
from ringmoe.simulation.objects import new_object
from ringmoe.simulation.plan import Building
from ringmoe.simulation.raster import GSD
from ringmoe.simulation.reflectors import Reflectors, of_buildings, of_object
from ringmoe.simulation.sar import (
    LOOKS,
    NOISE,
    bright_points,
    covariance_of,
    observe_sar_amplitude,
    observe_sar_complex,
    point_responses,
)
from ringmoe.simulation.scattering import (
    TABLE,
    Covariance,
    bragg_ratio,
    dihedral_ratio,
    fresnel,
    single_look,
)
from ringmoe.simulation.terrain import Illumination

pytestmark = pytest.mark.slow  # some seconds in all

HH, HV, VH, VV = range(4)
ONE_OF_EACH = ("sea water", "maize", "meadow", "conifer", "soil", "slate", "asphalt")
powers = st.floats(-30, 5)


def clutter(landscape):
    """A landscape without the bright points, whose echoes do not fluctuate as speckle does."""
    return replace(landscape, objects=(), buildings=())


def test_there_is_a_material_of_every_land_cover():
    assert {CLASS_OF[INDEX[name]] for name in ONE_OF_EACH} == set(range(len(LAND_COVER)))


@pytest.mark.parametrize("material", ONE_OF_EACH)
def test_single_look_intensity_is_exponential(material, uniform):
    """|S|^2 of a circular Gaussian over its mean follows 1 - exp(-x).

    The mean is the material's entry of the covariance plus the noise, not the sample's. The four
    channels of 4096 independent pixels: a wrong distribution gives p of the order of 1e-20.
    """
    image = observe_sar_complex(uniform(material), np.random.default_rng(1))
    row = INDEX[material]
    means = np.array([TABLE.hh[row], TABLE.hv[row], TABLE.hv[row], TABLE.vv[row]]) + NOISE
    for channel in range(4):
        intensity = np.abs(image[channel]).ravel() ** 2 / means[channel]
        assert stats.kstest(intensity, "expon").pvalue > 1e-3


@pytest.mark.parametrize("kind", ["farmland", "harbour"])
def test_intensity_in_a_landscape_is_exponential_class_by_class(kind, landscapes):
    """The same in a real landscape, each pixel over the mean of its own (mixed) covariance."""
    landscape = clutter(landscapes[kind])
    image = observe_sar_complex(landscape, np.random.default_rng(2))
    mean = covariance_of(landscape).vv + NOISE
    ratio = np.abs(image[VV]) ** 2 / mean
    for number in np.unique(landscape.land_cover):
        of_class = ratio[landscape.land_cover == number]
        assert stats.kstest(of_class, "expon").pvalue > 1e-3, LAND_COVER[number]


@pytest.mark.parametrize("material", ONE_OF_EACH)
def test_equivalent_number_of_looks(material, uniform):
    """ENL = mean^2 / variance of the intensity is the number of looks averaged, within 5 %.

    Of N = 16384 pixels its standard error is about sqrt(2 (L + 1) / L / N) = 1.2 %.
    """
    image = observe_sar_amplitude(uniform(material, 128), np.random.default_rng(3))
    intensity = image[HH].astype(float) ** 2
    assert intensity.mean() ** 2 / intensity.var() == pytest.approx(LOOKS, rel=0.05)


def test_multi_looked_intensity_is_gamma_distributed(uniform):
    image = observe_sar_amplitude(uniform("meadow"), np.random.default_rng(4), looks=6)
    intensity = image[VV].astype(float).ravel() ** 2 / (TABLE.vv[INDEX["meadow"]] + NOISE)
    assert stats.kstest(intensity, stats.gamma(6, scale=1 / 6).cdf).pvalue > 1e-3


@pytest.mark.parametrize("material", ["soil", "conifer", "meadow", "white paint"])
def test_correlation_of_hh_and_vv_is_the_covariances(material, uniform):
    """Magnitude and phase of <HH VV*> / sqrt(<|HH|^2> <|VV|^2>), noise included.

    Standard errors of N looks: (1 - g^2) / sqrt(2 N) of the magnitude g and
    sqrt((1 - g^2) / (2 N)) / g of the phase (Touzi et al. 1999, IEEE TGRS 37(1)); four of them.
    """
    image = observe_sar_complex(uniform(material, 128), np.random.default_rng(5))
    row, looks = INDEX[material], 128 * 128
    expected = TABLE.hhvv[row] / math.sqrt((TABLE.hh[row] + NOISE) * (TABLE.vv[row] + NOISE))
    found = np.vdot(image[VV], image[HH]) / np.linalg.norm(image[HH]) / np.linalg.norm(image[VV])
    rest = 1 - abs(expected) ** 2
    assert abs(abs(found) - abs(expected)) < 4 * rest / math.sqrt(2 * looks)
    turn = np.angle(found / expected)
    assert abs(turn) < 4 * math.sqrt(rest / (2 * looks)) / abs(expected)


def test_materials_differ_in_polarimetry():
    """Soil: HH and VV in phase and coherent. Metal corners: out of phase. Woods: incoherent."""
    coherence = TABLE.hhvv / np.sqrt(TABLE.hh * TABLE.vv)
    assert abs(coherence[INDEX["soil"]]) > 0.8
    assert abs(np.angle(coherence[INDEX["soil"]])) < 0.1
    assert abs(np.angle(coherence[INDEX["white paint"]])) > 3.0
    assert abs(coherence[INDEX["broadleaf"]]) < 0.4


@pytest.mark.parametrize("kind", ["farmland", "river", "industrial"])
def test_mean_span_of_a_class_is_the_trace_of_its_covariance(kind, landscapes):
    """The sum over a class's pixels, within 3 standard errors.

    Of a complex Gaussian vector with covariance C the span has the mean tr C and the variance
    tr C^2; pixels are independent, so means and variances add.
    """
    landscape = clutter(landscapes[kind])
    image = observe_sar_complex(landscape, np.random.default_rng(6))
    span = (np.abs(image) ** 2).sum(0)
    matrix = covariance_of(landscape).matrix(NOISE)
    trace = np.trace(matrix, axis1=-2, axis2=-1).real
    variance = (np.abs(matrix) ** 2).sum((-2, -1))
    for number in np.unique(landscape.land_cover):
        mine = landscape.land_cover == number
        error = math.sqrt(variance[mine].sum())
        assert abs(span[mine].sum() - trace[mine].sum()) < 3 * error, LAND_COVER[number]


@given(powers, powers, powers, st.sampled_from([5 - 0.5j, 20 - 6j, 70 - 35j]))
def test_any_mixture_of_mechanisms_is_a_covariance(surface, double, volume, ground):
    """Hermitian and positive semidefinite; volume alone makes HV, a third of its power."""
    covariance = Covariance.of(Scattering(surface, double, volume, ground))
    matrix = covariance.matrix()
    np.testing.assert_allclose(matrix, matrix.conj().T)
    assert np.linalg.eigvalsh(matrix).min() > -1e-9 * np.trace(matrix).real
    assert covariance.hv == pytest.approx(10 ** (volume / 10) / 3)
    total = 10 ** (surface / 10) + 10 ** (volume / 10)
    assert float(covariance.vv) > total * (1 - 1e-9)


def test_sample_covariance_of_draws_is_the_covariance():
    """All 16 entries, of a covariance with every mechanism, from 200 x 200 draws."""
    covariance = Covariance.of(Scattering(-10, -9, -8))
    raster = replace(
        covariance,
        **{name: np.full((200, 200), part) for name, part in vars(covariance).items()},
    )
    looks = single_look(raster, np.random.default_rng(7), noise=0.01).reshape(4, -1)
    sample = looks @ looks.conj().T / looks.shape[1]
    expected = covariance.matrix(0.01)
    power = np.sqrt(np.outer(expected.diagonal().real, expected.diagonal().real))
    assert (np.abs(sample - expected) / power).max() < 5 / math.sqrt(looks.shape[1])


def test_reflection_coefficients_against_closed_forms():
    """Normal incidence: (1 - n) / (1 + n). Brewster's angle: no vertical echo. Metal: -1."""
    index = 3.0
    horizontal, vertical = fresnel(index**2, 0.0)
    assert horizontal == pytest.approx((1 - index) / (1 + index))
    assert vertical == pytest.approx(-horizontal)  # the sense of vertical turns round
    assert fresnel(index**2, math.degrees(math.atan(index)))[1] == pytest.approx(0, abs=1e-12)
    assert dihedral_ratio(METAL, METAL, 35.0) == pytest.approx(-1, abs=0.01)


@pytest.mark.parametrize("incidence", [20.0, 35.0, 50.0])
def test_bragg_ratio_of_a_conductor(incidence):
    """For infinite permittivity small perturbation theory gives cos^2 / (1 + sin^2)."""
    sine2 = math.sin(math.radians(incidence)) ** 2
    expected = (1 - sine2) / (1 + sine2)
    assert abs(bragg_ratio(-1e9j, incidence)) == pytest.approx(expected, rel=1e-3)


def test_calm_water_shows_the_noise_in_cross_polarisation(uniform):
    """HV of water is 15 dB below the noise: what is seen is the noise equivalent sigma zero."""
    image = observe_sar_complex(uniform("river water"), np.random.default_rng(8))
    assert 10 * np.log10((np.abs(image[HV]) ** 2).mean()) == pytest.approx(-28, abs=0.3)
    assert abs(np.vdot(image[HV], image[VH])) / np.vdot(image[HV], image[HV]).real < 0.1


def points(x, y, power=16.0, turn=0.0, even=False):
    one = (np.array([float(v)]) for v in (x, y, power, turn))
    return Reflectors(*one, np.array([even]), np.zeros(1))


def test_a_trihedral_in_the_middle_of_a_pixel_has_its_cross_section_there():
    """16 m2 in a pixel of 2 m x 2 m is a sigma nought of 4, equal in HH and VV, none in HV."""
    image = point_responses(points(21, 31), (32, 32), np.random.default_rng(9))
    power = np.abs(image) ** 2
    np.testing.assert_allclose(power[:, 15, 10], [4, 0, 0, 4], rtol=1e-5, atol=1e-9)
    assert power.sum() == pytest.approx(8, rel=1e-5)  # the sinc is 0 at every other pixel
    assert image[HH, 15, 10] == pytest.approx(image[VV, 15, 10])


def test_a_point_between_pixels_has_side_lobes_in_range_and_azimuth():
    """Half a pixel off, sinc(1/2)^2 = 0.405 of the power is left on each axis, taper aside."""
    image = point_responses(points(22, 31), (32, 32), np.random.default_rng(9))
    row = np.abs(image[HH, 15]) ** 2
    assert row[10] == pytest.approx(row[11], rel=1e-5)
    assert row[10] == pytest.approx(4 * (2 / math.pi) ** 2, rel=0.02)
    assert row[9] > 0.05 * row[10]
    assert (np.abs(image[HH, 14]) < 1e-6).all()


def test_a_turned_dihedral_makes_cross_polarisation():
    """At 22.5 degrees [[cos 45, sin 45], [sin 45, -cos 45]]: all equal, VV against HH."""
    image = point_responses(
        points(21, 31, turn=math.pi / 8, even=True), (32, 32), np.random.default_rng(9)
    )
    hh, hv, vh, vv = image[:, 15, 10]
    assert vv == pytest.approx(-hh)
    assert vh == hv == pytest.approx(hh, rel=1e-5)


def test_the_wall_that_faces_the_radar_shines():
    """A building 20 m long at x = 50, radar in the east: all points lie on its wall at x = 60."""
    building = Building(x=50, y=40, heading=0, length=20, width=12, eaves=6)
    found = of_buildings([building], Illumination(90, 55), 0)
    assert len(found.x) >= 4
    assert np.abs(found.x - 60).max() < 1
    assert np.abs(found.y - 40).max() < 6
    assert found.even.all()


def test_walls_turned_away_are_weaker():
    """A wall reflects in a lobe of 12 degrees: at 40 degrees only the rough part is left."""
    power = [
        of_buildings([Building(50, 40, math.radians(turn), 60, 60, 6)], Illumination(90, 55), 0)
        for turn in (0, 40)
    ]
    assert power[0].power.sum() > 10 * power[1].power.sum()


def test_radar_shadow_lies_behind_what_stands(uniform):
    """A tower 20 m high, radar in the east at 55 degrees: dark for 20 / tan 55 = 14 m westward."""
    plain = uniform("meadow")
    height = plain.base_height.copy()
    height[60:68, 60:68] = 20
    material = plain.base_material.copy()
    material[60:68, 60:68] = INDEX["slate"]
    seen = covariance_of(replace(plain, base_height=height, base_material=material)).hh
    dark = np.argwhere(seen == 0)
    assert set(dark[:, 0]) == {30, 31, 32, 33}
    assert dark[:, 1].max() == 29
    assert (30 - dark[:, 1].min()) * GSD == pytest.approx(14, abs=GSD)


def with_roof(plain, height, *buildings):
    """A plain with buildings, and a roof of that height on cells 80 to 88 each way."""
    raster = plain.base_height.copy()
    for building in buildings:
        where, covered, roof = building.footprint(raster.shape)
        raster[where][covered] = roof[covered]
    raster[60:68, 80:88] = np.maximum(raster[60:68, 80:88], height)
    return replace(plain, base_height=raster, buildings=buildings)


def share_seen(landscape):
    """Of the power that all bright points would have."""
    seen = bright_points(landscape).power.sum()
    parts = [of_buildings(landscape.buildings, landscape.radar, landscape.seed)]
    parts += [of_object(thing, landscape.radar) for thing in landscape.objects]
    return seen / sum(part.power.sum() for part in parts)


def test_what_stands_in_radar_shadow_is_dark(uniform):
    """Behind 20 m at x = 80, radar in the east at 55 degrees, it is dark from x = 66 to 80."""
    plain = uniform("asphalt")
    for wall, expected in ((62, 1), (64.5, 1), (67, 0), (79, 0)):
        house = Building(x=wall - 10, y=64, heading=0, length=20, width=6, eaves=4)
        assert share_seen(with_roof(plain, 20, house)) == expected
    van = new_object(np.random.default_rng(0), 1, "van", 0, 64, 0.0)
    for x, expected in ((58, 1), (74, 0), (95, 1)):
        assert share_seen(replace(with_roof(plain, 20), objects=(replace(van, x=x),))) == expected


def test_a_tower_shines_as_far_as_it_rises_over_the_roof_before_it(uniform):
    """Of 20 m of wall 15 m stand over a roof of 5 m; behind a roof of 25 m nothing does."""
    tower = Building(x=77, y=64, heading=0, length=6, width=6, eaves=20)
    for roof, expected in ((0, 1), (5, 0.75), (25, 0)):
        assert share_seen(with_roof(uniform("asphalt"), roof, tower)) == pytest.approx(expected)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 110, 160])
def test_nothing_hides_itself_from_the_radar(degrees, uniform):
    """All bright points of a ship and of a building that stand alone, turned as they may be."""
    turn = math.radians(degrees)
    ship = new_object(np.random.default_rng(1), 1, "cargo ship", 64, 64, turn)
    assert share_seen(replace(uniform("sea water"), objects=(ship,))) == pytest.approx(1)
    hall = Building(x=40.3, y=40.8, heading=turn, length=40, width=17, eaves=9, ridge=3)
    assert share_seen(with_roof(uniform("asphalt"), 0, hall)) == pytest.approx(1)


def test_what_of_a_ship_is_under_a_bridge_is_dark(uniform):
    """A bridge from x = 60 on, the radar in the west: the points on the water before it stay."""
    sea = uniform("sea water", radar=(270.0, 55.0))
    material, deck = sea.base_material.copy(), sea.deck.copy()
    material[:, 60:80], deck[:, 60:80] = INDEX["concrete"], 6.0
    ship = new_object(np.random.default_rng(1), 1, "barge", 60, 64, 0.0)
    under = replace(sea, base_material=material, deck=deck, base_height=deck, objects=(ship,))
    alone, seen = of_object(ship, sea.radar), bright_points(under)
    outside = (alone.x < 60) | (alone.x >= 80)
    assert 0 < (alone.power * outside).sum() < alone.power.sum()
    assert (seen.power[~outside] == 0).all()
    before = alone.x < 60
    np.testing.assert_array_equal(seen.power[before], alone.power[before])


def test_slopes_towards_the_radar_are_brighter(uniform):
    """Clapp's law on a slope of 20 %: cos^2(35 - 11.3) / cos^2(35) towards it, 35 + 11.3 away."""
    plain = uniform("meadow", radar=(90.0, 55.0))
    rising_east = np.broadcast_to(0.2 * np.arange(128, dtype=np.float32), (128, 128))
    for elevation, sign in ((rising_east[:, ::-1], -1), (rising_east, 1)):
        seen = covariance_of(replace(plain, elevation=elevation)).hh
        local = math.radians(35) + sign * math.atan(0.2)
        factor = (math.cos(local) / math.cos(math.radians(35))) ** 2
        expected = TABLE.hh[INDEX["meadow"]] * factor
        np.testing.assert_allclose(seen[8:-8, 8:-8], expected, rtol=1e-3)


def test_mixed_pixels_have_the_mean_covariance(uniform):
    plain = uniform("soil", 16)
    material = plain.base_material.copy()
    material[:, ::2] = INDEX["conifer"]
    mixed = covariance_of(replace(plain, base_material=material))
    for name in ("hh", "hv", "vv", "hhvv"):
        table = getattr(TABLE, name)
        expected = (table[INDEX["soil"]] + table[INDEX["conifer"]]) / 2
        np.testing.assert_allclose(getattr(mixed, name), expected, rtol=1e-5)


def test_ships_outshine_the_water(landscapes):
    """The sea around is below -15 dB; ships are of the order of 0 dB."""
    landscape = landscapes["harbour"]
    image = observe_sar_amplitude(landscape, np.random.default_rng(10))
    ids = {thing.id for thing in landscape.objects if thing.kind == "ship"}
    ships = np.isin(landscape.object_ids, sorted(ids))
    water = (landscape.land_cover == 0) & ~ships
    power = image[HH].astype(float) ** 2
    assert 10 * np.log10(power[ships].mean() / np.median(power[water])) > 15


def test_two_acquisitions_are_independent(uniform):
    plain = uniform("meadow")
    first, second = (observe_sar_complex(plain, np.random.default_rng(s)) for s in (1, 2))
    found = abs(np.vdot(first, second)) / np.linalg.norm(first) / np.linalg.norm(second)
    assert found < 4 / math.sqrt(first[0].size)


def test_neighbouring_pixels_are_independent(uniform):
    image = observe_sar_complex(uniform("meadow"), np.random.default_rng(11))[HH]
    lag = abs(np.vdot(image[:, 1:], image[:, :-1])) / np.linalg.norm(image) ** 2
    assert lag < 4 / math.sqrt(image.size)


def test_block_mean_is_the_mean_of_two_by_two():
    raster = np.arange(24.0).reshape(4, 6)
    np.testing.assert_allclose(block_mean(raster), [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]])
