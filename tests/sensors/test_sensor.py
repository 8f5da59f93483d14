"""What a sensor answers to the names that people use, and what it refuses."""

from dataclasses import replace

import pytest

from ringmoe.errors import ConfigError, UnknownChannelError
from ringmoe.sensors import Calibration, Channel, Sensor, get_sensor

SENTINEL2, LANDSAT7, LANDSAT8 = map(get_sensor, ("sentinel2-l2a", "landsat7", "landsat8"))


@pytest.mark.parametrize(
    ("sensor", "asked", "band"),
    [
        (SENTINEL2, "B02", "B02"),
        (SENTINEL2, "b2", "B02"),
        (SENTINEL2, "B8a", "B8A"),
        (SENTINEL2, "Red", "B04"),
        (SENTINEL2, "nir08", "B8A"),
        (LANDSAT7, "B2", "B2"),
        (LANDSAT7, "B02", "B2"),  # its own second band, not Sentinel-2's blue
        (LANDSAT7, "blue", "B1"),
        (get_sensor("sentinel1-grd"), "vh", "VH"),
    ],
)
def test_channel_by_the_products_name_or_common_name(sensor, asked, band):
    assert sensor.channel(asked).name == band


@pytest.mark.parametrize(
    ("sensor", "asked", "offered"),
    [
        (LANDSAT8, "B11", "B6 (swir16)"),  # its thermal band, though B11 is the key of swir16
        (LANDSAT7, "B8", "B4 (nir)"),  # its panchromatic band, though B08 is the key of nir
        (SENTINEL2, "thermal", "B8A (nir08)"),
        (get_sensor("gaofen3-slc"), "RH", "HH, HV, VH, VV"),
    ],
)
def test_a_channel_that_is_not_there_is_refused_with_what_is(sensor, asked, offered):
    with pytest.raises(UnknownChannelError) as caught:
        sensor.channel(asked)
    message = str(caught.value)
    assert sensor.name in message and asked in message and offered in message
    assert "\n" not in message


def test_select_keeps_the_order_asked_for():
    assert [c.key for c in LANDSAT7.select(["red", "green", "blue"])] == ["B04", "B03", "B02"]
    assert LANDSAT7.select() == LANDSAT7.channels
    assert [c.name for c in LANDSAT7.select(iter(["B7", "B1"]))] == ["B7", "B1"]


def test_select_refuses_one_channel_under_two_names():
    with pytest.raises(UnknownChannelError, match="B3, red names a channel twice"):
        LANDSAT7.select(["B3", "red"])


def test_unknown_encoding_lists_what_there_is():
    with pytest.raises(ConfigError, match="amplitude, intensity, decibel, digital-number"):
        get_sensor("sentinel1-grd").encoding("dB")


def test_stem_channels_of_complex_are_i_and_q():
    sensor = get_sensor("sentinel1-slc")
    stem = sensor.stem_channels(sensor.select(["VH", "VV"]))
    assert [c.key for c in stem] == ["VH_I", "VH_Q", "VV_I", "VV_Q"]
    assert [c.component for c in stem] == ["I", "Q", "I", "Q"]
    assert not any(c.is_complex for c in stem)
    assert LANDSAT7.stem_channels() == LANDSAT7.channels


def test_sensors_can_be_compared_and_kept_in_sets():
    assert len({SENTINEL2, LANDSAT7, get_sensor("sentinel2-l2a")}) == 2
    other = replace(LANDSAT7, encodings={"mine": Calibration(scale=2.0)})
    assert other != LANDSAT7


CHANNEL = Channel("nir", "B08", "reflectance", (0.0, 1.0), 0.2, 0.1)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"modality": "thermal"}, ConfigError, "choose one of optical"),
        ({"channels": (replace(CHANNEL, key="B99"),)}, UnknownChannelError, "B99"),
        ({"channels": (CHANNEL, replace(CHANNEL, key="B8A"))}, ConfigError, "the same name"),
        ({"channels": (CHANNEL, replace(CHANNEL, name="n"))}, ConfigError, "the same key"),
        ({"modality": "sar_amplitude"}, UnknownChannelError, "HH, HV, VH, VV, unknown"),
        ({"encodings": {}}, ConfigError, "no encoding"),
        (
            {"modality": "sar_complex", "channels": (replace(CHANNEL, key="HH_I"),)},
            ConfigError,
            "complex; one is not",
        ),
    ],
)
def test_a_sensor_that_cannot_be_is_refused(change, error, said):
    """Whoever describes a new sensor learns of a slip at once, not from a model's features."""
    mine = Sensor("mine", "Mine", "multispectral", (CHANNEL,))
    with pytest.raises(error, match=said):
        replace(mine, **change)


@pytest.mark.parametrize("change", [{"std": 0.0}, {"std": float("nan")}, {"valid_range": (1, 0)}])
def test_a_channel_that_cannot_be_normalised_is_refused(change):
    with pytest.raises(ConfigError, match="channel nir: expected a positive std"):
        replace(CHANNEL, **change)
