"""Calibration, the check of values, and normalisation."""

import math

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ringmoe.errors import DtypeError, ShapeError, ValueRangeError
from ringmoe.sensors import (
    Calibration,
    calibrate,
    check_values,
    denormalise,
    get_sensor,
    list_sensors,
    normalise,
)

RED = get_sensor("sentinel2-l2a").select(["red"])
GRD_VV = get_sensor("sentinel1-grd").select(["VV"])
SLC_VV = get_sensor("sentinel1-slc").select(["VV"])
RGB8 = get_sensor("rgb-dn8").select(["red"])


def plane(*values):
    """One channel of one row: float32, or complex64 if a value is complex."""
    row = np.array(values)
    return row.astype(np.complex64 if row.dtype.kind == "c" else np.float32).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("values", "channels", "error", "found", "advice"),
    [
        (plane(8000), RED, ValueRangeError, "reflectance from -0.1 to 6.5535", "choose the encod"),
        (plane(-0.5), RED, ValueRangeError, "values from -0.5 to -0.5", "nodata value"),
        (plane(-9999, 0.2), RED, ValueRangeError, "-9999", "nodata value if it is -9999"),
        (plane(-12, 3), GRD_VV, ValueRangeError, "expected amplitude", "encoding 'decibel'"),
        (plane(-300, 400), GRD_VV, ValueRangeError, "expected amplitude", "use a complex sensor"),
        (plane(900), GRD_VV, ValueRangeError, "900", "look like digital numbers"),
        (plane(0.1, np.nan), RED, ValueRangeError, "1 NaN or infinite", "nodata value, or mask"),
        (plane(np.inf, 0.1), GRD_VV, ValueRangeError, "1 NaN or infinite", "mask these pixels"),
        (plane(400), RGB8, ValueRangeError, "digital numbers from 0 to 255", "16-bit sensor"),
        (plane(-3), RGB8, ValueRangeError, "-3", "name the sensor"),
        (plane(1j), RED, DtypeError, "B04 is complex but real", "complex sensor"),
        (plane(1), SLC_VV, DtypeError, "VV is real but complex", "SAR amplitude sensor"),
        (plane(500j), SLC_VV, ValueRangeError, "500", "look like digital numbers"),
        (plane(complex(0, np.nan)), SLC_VV, ValueRangeError, "1 NaN", "mask these pixels"),
        (np.zeros((2, 1, 1)), RED, ShapeError, "expected 1 channels (B04)", "name the bands"),
        (np.zeros((4, 4)), RED, ShapeError, "(4, 4)", "name the bands"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_cannot_be_are_refused_with_advice(values, channels, error, found, advice):
    with pytest.raises(error) as caught:
        check_values(values, channels, where="scene.tif")
    message = str(caught.value)
    assert message.startswith("scene.tif: ")
    assert found in message and advice in message
    assert "\n" not in message


def test_no_image_is_at_or_above_0_decibels_throughout():
    """What amplitudes give that were taken for decibels; a few bright pixels may be anything."""
    rng = np.random.default_rng(0)
    amplitude = np.sqrt(rng.exponential(0.05, (1, 32, 32)).astype(np.float32))
    check_values(amplitude, GRD_VV)
    read = calibrate(amplitude, get_sensor("sentinel1-grd").encoding("decibel"))
    with pytest.raises(ValueRangeError, match=r"no amplitude under 1\..* encoding 'amplitude'"):
        check_values(read, GRD_VV)
    check_values(read[:, :3, :3], GRD_VV)


def test_decibels_that_nobody_measures_are_no_amplitude_of_zero():
    decibel = get_sensor("sentinel1-grd").encoding("decibel")
    read = calibrate(plane(-9999, -40, 0), decibel)
    np.testing.assert_allclose(read[0, 0], [np.nan, 0.01, 1], rtol=1e-6)
    with pytest.raises(ValueRangeError, match=r"1 NaN or infinite.*declare the nodata value"):
        check_values(read, GRD_VV)


def test_pixels_that_are_not_valid_are_not_looked_at():
    values = plane(0.2, np.nan, -9999)
    check_values(values, RED, valid=np.array([[True, False, False]]))
    check_values(values, RED, valid=np.zeros((1, 3), bool))
    with pytest.raises(ValueRangeError, match="1 NaN"):
        check_values(values, RED, valid=np.array([[True, True, False]]))
    with pytest.raises(ShapeError, match="validity mask"):
        check_values(values, RED, valid=np.ones((1, 1, 3), bool))


@pytest.mark.parametrize(
    "sensor", ["sentinel2-l1c", "sentinel2-l2a", "landsat7", "landsat8", "sentinel1-grd"]
)
def test_every_16_bit_number_is_within_the_range_of_its_encoding(sensor):
    """What a product can hold is never refused: 0 and 65535 are the ends, rounding included."""
    described = get_sensor(sensor)
    ends = np.array([[[0, 0, 65535]]], np.uint16)
    names = [n for n in described.encodings if "digital" in n or n.startswith(("base", "coll"))]
    for name in (n for n in names if n != "collection1-level2"):  # signed 16 bit, to 1.6
        check_values(calibrate(ends, described.encoding(name)), described.channels[:1])


@pytest.mark.parametrize(
    ("sensor", "encoding", "digital", "found", "advice"),
    [
        # 8-bit Landsat numbers end at 255 * 2.75e-5 - 0.2 = -0.193.
        ("landsat7", None, np.arange(256), "above -0.193", "uncalibrated sensor"),
        # Reflectance up to 0.6 read as its ten thousandth.
        ("sentinel2-l1c", None, np.linspace(0.01, 0.6, 99), "above 6e-05", "'reflectance'"),
        # A Sentinel-1 GRD sea in digital numbers: 20 to 90 is below 110, but no sea is at +34 dB.
        ("sentinel1-grd", "amplitude", np.arange(20, 91), "median amplitude of 55", "scales them"),
        ("gaofen3-slc", None, 9j + np.arange(-9, 10), "median amplitude of", "scales them"),
    ],
)
def test_a_wrong_encoding_shows_in_the_values_as_a_whole(sensor, encoding, digital, found, advice):
    """Each value alone could be; all of them together cannot."""
    described = get_sensor(sensor)
    values = calibrate(plane(*digital), described.encoding(encoding))
    with pytest.raises(ValueRangeError) as caught:
        check_values(values, described.channels[:1])
    message = str(caught.value)
    assert found in message and advice in message and "\n" not in message


def test_dark_images_are_no_mistake():
    """Open water at 1 % reflectance, noise around 0, a black frame; sea at -25 dB with a ship."""
    for digital in ([60, 100, 140], [990, 1000, 1010], [1000, 1000]):
        check_values(
            calibrate(plane(*digital), get_sensor("sentinel2-l2a").encoding("baseline-04.00")), RED
        )
    check_values(plane(0.05, 0.06, 0.06, 0.05, 60), GRD_VV)


def test_noise_subtracted_intensity_below_zero_is_seen():
    """-0.04 is no intensity of a surface: it becomes -0.2 (not NaN, not 0.2) and is refused."""
    amplitude = calibrate(plane(-0.04), get_sensor("sentinel1-grd").encoding("intensity"))
    assert amplitude[0, 0, 0] == pytest.approx(-0.2)
    with pytest.raises(ValueRangeError):
        check_values(amplitude, GRD_VV)


@pytest.mark.parametrize(
    "calibration", [Calibration(form="decibel"), Calibration(form="intensity"), Calibration(1, 2)]
)
def test_complex_numbers_are_not_calibrated_as_detected(calibration):
    with pytest.raises(DtypeError, match="phase would be lost"):
        calibrate(plane(1j), calibration)


def test_impossible_decibels_become_infinite_without_a_warning_and_are_refused():
    amplitude = calibrate(plane(1e6), get_sensor("sentinel1-grd").encoding("decibel"))
    with pytest.raises(ValueRangeError, match="1 NaN or infinite"):
        check_values(amplitude, GRD_VV)


def test_normalise_is_the_formula_of_the_catalogue():
    """(0.2664 - mean) / std with the published mean 0.1297 and std 0.1368 of B04: 0.9993."""
    (value,) = normalise(plane(0.2664), RED).ravel()
    assert value == pytest.approx((0.2664 - 0.1297) / 0.1368, rel=1e-4)
    # The amplitude is that of log(A + 0.003); mean and std as converted from SSL4EO-S12.
    (value,) = normalise(plane(0.5), GRD_VV).ravel()
    assert value == pytest.approx((math.log(0.503) + 1.430) / 0.596, rel=1e-4)


def test_sentinel1_constants_follow_from_published_decibels():
    """VV is -12.55 +- 5.26 dB, VH -20.19 +- 5.91 dB in SSL4EO-S12 (Gaussian in dB).

    Drawn as such and normalised, amplitude has mean 0 and standard deviation 1 within the
    sampling error (200,000 draws: 0.005) and the rounding of the constants. The power that an
    SLC of both has, shared by I and Q, is the square of the complex scale.
    """
    rng = np.random.default_rng(3)
    sensor = get_sensor("sentinel1-grd")
    power = []
    for name, mean, std in (("VV", -12.54847273, 5.25697717), ("VH", -20.19237134, 5.91150917)):
        decibels = rng.normal(mean, std, (1, 400, 500))
        amplitude = calibrate(decibels, sensor.encoding("decibel"))
        drawn = normalise(amplitude, sensor.select([name]))
        assert abs(drawn.mean()) < 0.01 and abs(drawn.std() - 1) < 0.01
        power.append(np.square(amplitude).mean())
    scale = math.sqrt(sum(power) / 4)
    assert get_sensor("sentinel1-slc").channels[0].std == pytest.approx(scale, rel=0.02)


def test_speckle_has_one_variance_whatever_the_mean():
    """Single-look amplitude is Rayleigh: its log has std pi / (2 sqrt 6) = 0.6413, at any mean.

    The floor at -50 dB takes less than 2 % of it at -5 dB, 4 % at -12 dB. Normalised values carry
    it divided by the sensor's std.
    """
    rng = np.random.default_rng(5)
    speckle = np.sqrt(rng.exponential(1.0, (1, 500, 500)))
    theory = math.pi / (2 * math.sqrt(6)) / GRD_VV[0].std
    for decibel, tolerance in ((5, 0.01), (-5, 0.02), (-12, 0.04)):
        amplitude = 10 ** (decibel / 20) * speckle
        assert normalise(amplitude, GRD_VV).std() == pytest.approx(theory, rel=tolerance)
        # Without the logarithm it would follow the mean: Rayleigh's std is 0.463 of its rms.
        assert amplitude.std() == pytest.approx(0.463 * 10 ** (decibel / 20), rel=0.02)


def test_zero_amplitude_is_finite_and_low():
    (value,) = normalise(plane(0.0), GRD_VV).ravel()
    assert -8 < value < -5


@given(
    magnitude=hnp.arrays(np.float32, (2, 2, 3, 3), elements=st.floats(0.015625, 100, width=32)),
    phase=hnp.arrays(np.float32, (2, 2, 3, 3), elements=st.floats(-3.125, 3.125, width=32)),
)
def test_complex_normalisation_keeps_phase_and_relative_power(magnitude, phase):
    values = (magnitude * np.exp(1j * phase)).astype(np.complex64)
    sensor = get_sensor("sentinel1-slc")
    channels = sensor.select(["VH", "VV"])
    stem = normalise(values, channels)
    assert stem.shape == (2, 4, 3, 3) and stem.dtype == np.float32
    again = stem[:, 0::2] + 1j * stem[:, 1::2]  # I, Q, I, Q: VH then VV
    np.testing.assert_allclose(np.angle(again), phase, atol=1e-5)
    np.testing.assert_allclose(np.abs(again) * channels[0].std, magnitude, rtol=1e-5)


@pytest.mark.parametrize("sensor", list_sensors(), ids=lambda sensor: sensor.name)
def test_denormalise_undoes_normalise(sensor):
    """Over each channel's whole range: one part in 10^5 of it, as float32 carries 7 digits.

    Of amplitudes that is one part in 10^5 of the value, because the exponential multiplies errors.
    """
    channels = sensor.stem_channels()
    rng = np.random.default_rng(1)
    low, high = np.array([c.valid_range for c in channels]).T
    values = rng.uniform(low, high, (2, 5, 6, len(channels))).transpose(0, 3, 1, 2)
    if sensor.is_complex:
        stem = normalise(values[:, 0::2] + 1j * values[:, 1::2], sensor.channels)
    else:
        stem = normalise(values, channels)
    restored = denormalise(stem, channels)
    np.testing.assert_allclose(restored, values, rtol=1e-5, atol=1e-5 * high.max())


@given(value=st.floats(0, 100), sensor=st.sampled_from(["sentinel1-grd", "sar-amplitude-dn8"]))
def test_brighter_stays_brighter(value, sensor):
    """Normalising never reorders amplitudes, floor or not."""
    channels = get_sensor(sensor).channels[:1]
    darker, brighter = normalise(plane(value, value + 0.01), channels).ravel()
    assert darker < brighter


@pytest.mark.parametrize(
    ("values", "channels", "error"),
    [
        (np.zeros((1, 2, 4, 4)), RED, ShapeError),
        (np.zeros((4, 4)), RED, ShapeError),
        (np.zeros((1, 4, 4), np.complex64), RED, DtypeError),
        (np.zeros((1, 4, 4)), SLC_VV, DtypeError),
    ],
)
def test_normalise_refuses_what_does_not_fit_its_channels(values, channels, error):
    with pytest.raises(error):
        normalise(values, channels)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_real_sentinel1_chips_calibrate_as_their_annotation_says(real_data):
    """OpenSARShip holds chips as digital numbers and as sigma nought from the annotation.

    The nominal constant is that at 38 degrees of incidence: within 1 dB over the swath (29 to 46
    degrees), that is a factor of 10 ** (1 / 20) in amplitude.
    """
    products = sorted((real_data / "opensarship").glob("*GRDH*"))
    if not products:
        pytest.skip("no OpenSARShip GRD chips in the folder of real imagery")
    encodings = get_sensor("sentinel1-grd").encodings
    for product in products:
        chip = min(product.rglob("Patch/*.tif"))
        with (
            rasterio.open(chip) as digital,
            rasterio.open(chip.parent.parent / "Patch_Cal" / chip.name) as calibrated,
        ):
            nominal = calibrate(digital.read(), encodings["digital-number"])
            exact = calibrate(calibrated.read(), encodings["intensity"])
        ratio = math.sqrt(np.square(nominal).mean() / np.square(exact).mean())
        assert abs(20 * math.log10(ratio)) < 1
