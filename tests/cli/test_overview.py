"""Scenes made small to look at: averages of squares, and nothing of what is no data."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ringmoe.cli._overview import _shrink, map_overview, overview, step_of
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
