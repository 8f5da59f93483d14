"""Crops, flips and turns: inside the data, and as often as promised."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ringmoe.sampling.crops import Crops, draw_crops

SIDES = st.integers(1, 200)


def draw(height=64, width=64, count=2000, **options) -> Crops:
    options = {"key": 3, "size": 32, "crop": "cut", "flip": True, "turns": True, **options}
    full = np.full(count, 1)
    return draw_crops(full * height, full * width, np.arange(count), **options)


@given(SIDES, SIDES, st.integers(1, 96), st.sampled_from(["cut", "resized", "centre"]))
def test_crops_stay_inside_the_data(height, width, size, crop):
    """A chip smaller than the crop is cut at its first row: the crop then holds all of it."""
    crops = draw(height, width, 50, size=size, crop=crop)
    assert (crops.rows >= 0).all() and (crops.columns >= 0).all()
    assert (crops.rows + np.minimum(crops.heights, height) <= height).all()
    assert (crops.columns + np.minimum(crops.widths, width) <= width).all()
    if crop == "resized":
        assert (crops.heights >= 1).all() and (crops.heights <= height).all()
        assert (crops.widths >= 1).all() and (crops.widths <= width).all()
    else:
        assert (crops.heights == size).all() and (crops.widths == size).all()


def test_every_place_is_equally_likely():
    """33 x 33 places of a 32 px crop in a 64 px tile; 2000 draws, mean 16 within 4 standard errors.

    The standard deviation of 33 equally likely values is sqrt((33^2 - 1) / 12) = 9.5.
    """
    crops = draw()
    for start in (crops.rows, crops.columns):
        assert start.min() == 0 and start.max() == 32
        assert abs(start.mean() - 16) < 4 * 9.5 / np.sqrt(2000)
    assert abs(crops.mirrored.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)
    assert (np.abs(np.bincount(crops.turns) / 2000 - 0.25) < 0.04).all()


def test_resized_takes_the_share_of_the_area_that_it_should():
    crops = draw(200, 200, crop="resized", area=(0.2, 0.5))
    share = crops.heights * crops.widths / 200**2
    aspect = crops.widths / crops.heights
    assert share.min() > 0.19 and share.max() < 0.51
    assert abs(share.mean() - 0.35) < 4 * 0.3 / np.sqrt(12 * 2000)
    assert aspect.min() > 0.74 and aspect.max() < 1.36
    assert abs(np.log(aspect).mean()) < 0.02


def test_centre_leaves_nothing_to_chance():
    crops = draw(70, 51, 10, crop="centre")
    assert (crops.rows == 19).all() and (crops.columns == 9).all()
    assert not crops.mirrored.any() and not crops.turns.any()
