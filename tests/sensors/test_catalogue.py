"""The catalogue against figures published by those who built or operate the instruments."""

import math

import numpy as np
import pytest

from ringmoe.errors import UnknownSensorError
from ringmoe.sensors import MODALITIES, calibrate, get_sensor, list_sensors

NAMES = {sensor.name for sensor in list_sensors()}

# (sensor, band, common name, centre nm, width nm): the operators' own tables, typed in again here.
PUBLISHED_BANDS = [
    # ESA, Sentinel-2 MSI user guide, spectral bands of S2A.
    ("sentinel2-l1c", "B01", "coastal", 442.7, 21),
    ("sentinel2-l1c", "B02", "blue", 492.4, 66),
    ("sentinel2-l2a", "B04", "red", 664.6, 31),
    ("sentinel2-l2a", "B08", "nir", 832.8, 106),
    ("sentinel2-l2a", "B8A", "nir08", 864.7, 21),
    ("sentinel2-l1c", "B10", "cirrus", 1373.5, 31),
    ("sentinel2-l2a", "B12", "swir22", 2202.4, 175),
    # Barsi et al. 2014, table 1.
    ("landsat8", "B1", "coastal", 442.96, 15.98),
    ("landsat8", "B4", "red", 654.59, 37.47),
    ("landsat8", "B5", "nir08", 864.67, 28.25),
    ("landsat9", "B6", "swir16", 1608.86, 84.72),
    # Landsat 7 handbook: 0.450-0.515, 0.630-0.690, 0.775-0.900, 2.090-2.350 um.
    ("landsat7", "B1", "blue", (450 + 515) / 2, 515 - 450),
    ("landsat7", "B3", "red", (630 + 690) / 2, 690 - 630),
    ("landsat7", "B4", "nir", (775 + 900) / 2, 900 - 775),
    ("landsat7", "B7", "swir22", (2090 + 2350) / 2, 2350 - 2090),
    # Gaofen: 0.45-0.52, 0.52-0.59, 0.63-0.69, 0.77-0.89 um.
    ("gaofen1", "B1", "blue", (450 + 520) / 2, 520 - 450),
    ("gaofen1", "B4", "nir", (770 + 890) / 2, 890 - 770),
    ("gaofen2", "B2", "green", (520 + 590) / 2, 590 - 520),
    ("gaofen2", "B3", "red", (630 + 690) / 2, 690 - 630),
]


@pytest.mark.parametrize(("sensor", "band", "common_name", "centre", "width"), PUBLISHED_BANDS)
def test_band_is_where_its_operator_says(sensor, band, common_name, centre, width):
    channel = get_sensor(sensor).channel(band)
    assert (channel.name, channel.common_name) == (band, common_name)
    assert channel.wavelength_nm == pytest.approx(centre)
    assert channel.bandwidth_nm == pytest.approx(width)


@pytest.mark.parametrize(
    ("sensor", "keys"),
    [
        ("landsat7", "B02 B03 B04 B08 B11 B12"),
        ("landsat8", "B01 B02 B03 B04 B8A B11 B12"),
        ("gaofen1", "B02 B03 B04 B08"),
        ("sentinel2-l2a", "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12"),
        ("sentinel1-slc", "VV VH HH HV"),
        ("sar-amplitude-dn8", "HH HV VH VV unknown"),
        ("rgb-dn8", "red green blue"),
        ("simulated-optical", "red green blue"),
    ],
)
def test_bands_come_in_product_order_under_the_keys_of_the_vocabulary(sensor, keys):
    assert [channel.key for channel in get_sensor(sensor).channels] == keys.split()


@pytest.mark.parametrize("sensor", ["landsat7", "landsat8", "landsat9", "gaofen1", "gaofen2"])
def test_a_key_names_the_sentinel2_band_that_sees_the_same_light(sensor):
    """The two pass-bands overlap: the weights of the key have seen that light."""
    for channel in get_sensor(sensor).channels:
        namesake = get_sensor("sentinel2-l1c").channel(channel.key)
        distance = abs(channel.wavelength_nm - namesake.wavelength_nm)
        assert distance < (channel.bandwidth_nm + namesake.bandwidth_nm) / 2, channel.name


def test_the_catalogue_holds_the_sensors_that_are_promised():
    promised = {
        *("sentinel1-slc", "sentinel1-grd", "sentinel2-l1c", "sentinel2-l2a"),
        *("landsat7", "landsat8", "landsat9"),
        *("gaofen1", "gaofen2", "gaofen3-slc", "gaofen3-l2", "airsar", "radarsat2-slc"),
        *("rgb-dn8", "rgb-dn16", "multispectral-dn8", "multispectral-dn16"),
        *("sar-amplitude-dn8", "sar-amplitude-dn16"),
        *("simulated-optical", "simulated-multispectral"),
        *("simulated-sar-complex", "simulated-sar-amplitude"),
    }
    assert promised <= NAMES
    assert {sensor.modality for sensor in list_sensors()} == set(MODALITIES)


@pytest.mark.parametrize("sensor", list_sensors(), ids=lambda sensor: sensor.name)
def test_every_sensor_can_be_used_as_it_stands(sensor):
    vocabulary = MODALITIES[sensor.modality].vocabulary
    for channel in sensor.stem_channels():
        assert channel.key in vocabulary
        low, high = channel.valid_range
        typical = math.exp(channel.mean) if channel.log_floor else channel.mean
        assert low <= typical <= high
        assert (channel.log_floor is not None) == (sensor.modality == "sar_amplitude")
    origin = sensor.normalisation_source.split(":")[0]
    assert origin in {"published", "measured", "borrowed", "chosen"}
    assert sensor.source and all(c.source for c in sensor.encodings.values())


@pytest.mark.parametrize(
    "sensor", [s for s in list_sensors() if s.is_complex], ids=lambda sensor: sensor.name
)
def test_complex_sensors_have_one_real_scale(sensor):
    """Different scales would change relative phase and power; a mean would move the origin."""
    assert len({channel.std for channel in sensor.channels}) == 1
    assert {channel.mean for channel in sensor.channels} == {0.0}


@pytest.mark.parametrize(
    ("sensor", "encoding", "digital", "expected"),
    [
        # ESA: (DN + offset) / 10000.
        ("sentinel2-l2a", "digital-number", 1452, 0.1452),
        ("sentinel2-l2a", "baseline-04.00", 1452, (1452 - 1000) / 10000),
        ("sentinel2-l1c", "reflectance", 0.25, 0.25),
        # USGS: DN * 0.0000275 - 0.2; 7273 is the lowest of the "valid range", 43636 the highest.
        ("landsat8", None, 7273, 0.0),
        ("landsat9", None, 43636, 1.0),
        ("landsat7", "collection1-level2", 2500, 0.25),
        ("gaofen2", "scaled-10000", 2500, 0.25),
        # Intensity 0.04 is -13.979 dB is amplitude 0.2.
        ("sentinel1-grd", "amplitude", 0.2, 0.2),
        ("sentinel1-grd", "intensity", 0.04, 0.2),
        ("sentinel1-grd", "decibel", -13.9794, 0.2),
        ("gaofen3-l2", "decibel", 20.0, 10.0),
        # Beta nought constant 474 over sqrt(sin 38 degrees).
        ("sentinel1-grd", "digital-number", 474.0, math.sqrt(math.sin(math.radians(38)))),
        ("rgb-dn8", None, 200, 200.0),
    ],
)
def test_calibration_by_hand(sensor, encoding, digital, expected):
    """The value the operator's formula gives, to the rounding of the constants (4 digits)."""
    value = calibrate(np.array([digital]), get_sensor(sensor).encoding(encoding))
    assert value.dtype == np.float32
    assert value[0] == pytest.approx(expected, rel=1e-3, abs=5e-5)


def test_sentinel1_slc_digital_numbers_keep_their_phase():
    """237 over sqrt(sin 38 degrees) is 302; an angle of 3 + 4i stays atan(4 / 3)."""
    value = calibrate(np.array([3 + 4j]), get_sensor("sentinel1-slc").encoding())[0]
    expected = 5 * math.sqrt(math.sin(math.radians(38))) / 237
    assert abs(value) == pytest.approx(expected, rel=1e-3)
    assert np.angle(value) == pytest.approx(math.atan2(4, 3), rel=1e-6)


def test_sentinel2_offset_shifts_reflectance_by_a_tenth():
    digital = np.array([1000, 11000], np.uint16)
    sensor = get_sensor("sentinel2-l2a")
    shift = calibrate(digital, sensor.encoding("digital-number")) - calibrate(
        digital, sensor.encoding("baseline-04.00")
    )
    np.testing.assert_allclose(shift, 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "near"), [("sentinel2", "sentinel2-l2a"), ("Landsat-8", "landsat8")]
)
def test_unknown_sensor_names_the_nearest_and_all(wrong, near):
    with pytest.raises(UnknownSensorError, match=f"did you mean .*{near}") as caught:
        get_sensor(wrong)
    message = str(caught.value)
    assert "\n" not in message and wrong in message
    assert all(name in message for name in NAMES)


def test_nothing_near_is_no_guess():
    with pytest.raises(UnknownSensorError) as caught:
        get_sensor("zzz")
    assert "did you mean" not in str(caught.value)
