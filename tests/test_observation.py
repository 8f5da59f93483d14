"""An Observation refuses what a model could not know how to read."""

from dataclasses import replace

import pytest
import torch

from ringmoe.errors import ConfigError, DtypeError, ShapeError, UnknownChannelError
from ringmoe.observation import Observation
from ringmoe.sensors import get_sensor

RGB = ("red", "green", "blue")
IMAGES = torch.zeros(2, 3, 32, 64)
VALID = torch.ones(2, 1, 32, 64, dtype=torch.bool)


def test_it_tells_its_batch_size_and_names():
    observation = Observation(IMAGES, "optical", RGB, VALID, gsd=0.5)
    assert observation.batch_size == 2
    assert observation.size == (32, 64)
    assert observation.channel_names == RGB


def test_channels_may_be_given_as_the_sensor_describes_them():
    """Landsat's bands B4, B3, B2 are Sentinel-2's B04, B03, B02 to the stem; SLC splits."""
    landsat = get_sensor("landsat8").select(["B4", "B3", "B2"])
    assert Observation(IMAGES, "multispectral", landsat).channel_names == ("B04", "B03", "B02")
    slc = get_sensor("sentinel1-slc")
    stem = slc.stem_channels(slc.select(["VV"]))
    assert Observation(IMAGES[:, :2], "sar_complex", stem).channel_names == ("VV_I", "VV_Q")


def test_a_channel_outside_the_vocabulary_must_say_what_it_measures():
    """A key of its own will do where wavelength or polarisation is known, and not where none is."""
    band = replace(get_sensor("landsat8").channels[0], key="1234 nm", wavelength_nm=1234.0)
    channels = (band, "B03", "B02")
    observation = Observation(IMAGES, "multispectral", channels, gsd=30.0)
    assert observation.channel_names == ("1234 nm", "B03", "B02")
    with pytest.raises(UnknownChannelError, match="no channel 1234 nm"):
        Observation(IMAGES, "multispectral", (replace(band, wavelength_nm=None), "B03", "B02"))
    with pytest.raises(UnknownChannelError, match="twice"):
        Observation(IMAGES, "multispectral", (band, band, "B02"))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((IMAGES[0], "optical", RGB), ShapeError, r"must be \(B, C, H, W\), got \(3, 32, 64\)"),
        ((IMAGES, "optical", RGB[:2]), ShapeError, "3 image channels but names 2"),
        ((IMAGES, "optical", RGB, VALID[:1]), ShapeError, r"must be \(2, 1, 32, 64\)"),
        ((IMAGES, "optical", RGB, VALID[:, 0]), ShapeError, r"got \(2, 32, 64\)"),
        ((IMAGES, "thermal", RGB), ConfigError, "choose one of optical, multispectral"),
        ((IMAGES, "optical", ("red", "green", "nir")), UnknownChannelError, "no channel nir"),
        ((IMAGES, "optical", ("red", "red", "blue")), UnknownChannelError, "twice"),
        ((IMAGES, "multispectral", ("B4", "B3", "B2")), UnknownChannelError, "B4, B3, B2"),
        (
            (IMAGES[:, :1], "sar_complex", get_sensor("airsar").select(["HH"])),
            UnknownChannelError,
            r"stem_channels\(\) gives I and Q",
        ),
        ((IMAGES.to(torch.uint8), "optical", RGB), DtypeError, "normalise first"),
        ((IMAGES.to(torch.complex64), "optical", RGB), DtypeError, "I and Q"),
        ((IMAGES, "optical", RGB, VALID.float()), DtypeError, "must be bool"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments, error, said):
    with pytest.raises(error, match=said) as caught:
        Observation(*arguments)
    assert "\n" not in str(caught.value)


def test_to_changes_the_images_and_keeps_the_rest():
    observation = Observation(IMAGES, "optical", RGB, VALID, gsd=0.5)
    moved = observation.to(device="meta", dtype=torch.float64)
    assert (moved.images.device.type, moved.images.dtype) == ("meta", torch.float64)
    assert (moved.valid.device.type, moved.valid.dtype) == ("meta", torch.bool)
    assert (moved.modality, moved.channels, moved.gsd) == ("optical", RGB, 0.5)
    assert observation.images.dtype == torch.float32
