"""Scenes made small to look at: averages of squares, and nothing of what is no data."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ringmoe.cli._overview import _shrink, map_overview, overview, step_of
from ringmoe.reports.pictures import measurement
from ringmoe.scenes import open_scene


def write(path, values, **options):
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype,
        crs="EPSG:32632", transform=from_origin(5e5, 5e6, 1, 1), **options,
    ) as file:  # fmt: skip
        file.write(values)
    return path


def test_squares_are_averaged_over_what_is_valid():
    """A strip of two rows and five columns to squares of two: the last is one column wide."""
    values = np.array([[[1, 2, 3, 4, 5], [5, 6, 7, 8, 9]]], np.float32)
    valid = np.array([[True, True, False, False, True], [True, False, False, False, True]])
    found = _shrink(values, valid, 2)[0, 0]
    np.testing.assert_allclose(found, [(1 + 2 + 5) / 3, np.nan, (5 + 9) / 2])


def test_of_complex_pixels_one_stands_for_a_square():
    values = np.arange(6).reshape(1, 1, 6) * (1 + 1j)
    assert _shrink(values, np.ones((1, 6), bool), 3).real.tolist() == [[[0, 3]]]


@pytest.mark.parametrize(
    ("size", "longest", "expected"), [(900, 900, 1), (901, 900, 2), (10, 3, 4)]
)
def test_the_picture_is_never_longer(size, longest, expected):
    assert step_of(size, 5, longest) == expected


SENTINEL = ("B02", "B03", "B04", "B08", "B8A", "B11", "B12")


@pytest.mark.parametrize(
    ("modality", "keys", "drawn"),
    [
        ("multispectral", SENTINEL, ("B12", "B8A", "B04")),
        ("multispectral", SENTINEL[::-1], ("B12", "B8A", "B04")),
        ("multispectral", ("B02", "B03", "B04", "B08"), ("B08", "B04", "B03")),  # Gaofen
        ("multispectral", ("B02", "B03", "B04", "B08", "B11", "B12"), ("B08", "B04", "B03")),
        ("multispectral", ("B02", "B03", "B04"), ("B04", "B03", "B02")),
        ("optical", ("red", "green", "blue"), ("red", "green", "blue")),
        ("optical", ("blue", "green", "red"), ("red", "green", "blue")),
    ],
)
def test_planes_are_drawn_by_their_names_in_whatever_order(modality, keys, drawn):
    """Thirds that are bright in one plane alone are pure red, green and blue."""
    values = np.random.default_rng(0).random((len(keys), 4, 12))
    for third, key in enumerate(drawn):
        values[keys.index(key)] = 0
        values[keys.index(key), :, 4 * third : 4 * third + 4] = 1
    found = measurement(values, modality, keys)
    expected = np.repeat(255 * np.eye(3, dtype=np.uint8), 4, axis=0)
    np.testing.assert_array_equal(found, np.broadcast_to(expected, (4, 12, 3)))


@pytest.mark.parametrize(
    ("modality", "keys"),
    [("optical", ("red", "green")), ("optical", ("green",)), ("multispectral", ("B04", "B08")),
     ("multispectral", ("B08",)), ("multispectral", ("B05", "B06", "B07"))],
)  # fmt: skip
def test_fewer_than_three_colours_are_the_first_plane_in_grey(modality, keys):
    values = np.zeros((len(keys), 4, 8))
    values[0, :, 4:] = 1
    found = measurement(values, modality, keys)
    np.testing.assert_array_equal(found[0, :, 0], [0] * 4 + [255] * 4)
    assert (found == found[..., :1]).all()


def test_red_ground_of_gaofen_is_green_in_false_colour(tmp_path):
    """Its files hold blue, green, red, near infrared: the red band is the second of the picture."""
    counts = np.full((4, 40, 40), 300, np.uint16)
    counts[2, :20] = 900
    drawn = overview(open_scene(write(tmp_path / "gaofen.tif", counts), "gaofen2"))
    assert drawn[5, 5].tolist() == [0, 255, 0]
    assert drawn[35, 5].tolist() == [0, 0, 0]


def test_a_scene_of_two_bands_is_drawn(tmp_path):
    counts = np.random.default_rng(0).integers(1100, 4000, (2, 30, 30)).astype(np.uint16)
    path = write(tmp_path / "two.tif", counts)
    assert overview(open_scene(path, "sentinel2-l2a", bands=["B04", "B08"])).shape == (30, 30, 3)


def test_scene_and_map_have_one_shape(tmp_path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "scene.tif", rng.integers(1, 255, (3, 45, 31), dtype=np.uint8))
    classes = rng.integers(0, 4, (1, 45, 31), dtype=np.uint8)
    classes[0, 0, 0] = 255
    drawn = overview(open_scene(path, "rgb-dn8"), longest=15)
    found = map_overview(write(tmp_path / "map.tif", classes, nodata=255), longest=15)
    assert drawn.shape == (15, 11, 3)
    expected = classes[0, ::3, ::3].astype(float)
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(found, expected)
