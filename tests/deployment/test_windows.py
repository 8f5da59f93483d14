"""Tiles cover a scene, and what they count sums to 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringmoe.deployment.windows import lay_tiles
from ringmoe.errors import ConfigError


@st.composite
def layouts(draw):
    tile = draw(st.integers(1, 40))
    return draw(st.integers(1, 200)), tile, draw(st.integers(0, tile // 2))


@settings(max_examples=30)
@given(layouts())
def test_weights_are_positive_and_sum_to_one_at_every_pixel(layout):
    """Any length, tile and overlap: the factors of all tiles at a pixel add up to 1."""
    length, tile, overlap = layout
    axis = lay_tiles(length, tile, overlap)
    total = np.zeros(max(length, tile))
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        assert (weights[: length - start] > 0).all()
        total[start : start + tile] += weights
    np.testing.assert_allclose(total[:length], 1, rtol=0, atol=2e-7)
    assert (total[length:] == 0).all()


@settings(max_examples=30)
@given(layouts())
def test_neighbours_share_the_overlap_and_no_tile_leaves_the_scene(layout):
    length, tile, overlap = layout
    starts = lay_tiles(length, tile, overlap).starts
    assert starts[0] == 0 and starts[-1] == max(length - tile, 0)
    steps = np.diff(starts)
    assert (steps > 0).all() and (steps <= tile - overlap).all()
    assert (steps[:-1] == tile - overlap).all()


@settings(max_examples=30)
@given(layouts())
def test_final_pixels_are_each_pixel_once(layout):
    length, tile, overlap = layout
    axis = lay_tiles(length, tile, overlap)
    pixels = np.concatenate([np.r_[axis.final(i)] for i in range(len(axis.starts))])
    assert pixels.tolist() == list(range(length))


def test_weights_are_a_squared_sine_within_the_overlap():
    """Tile 8, overlap 4: sin^2(pi/8 (i + 1/2)), whose mirror image is cos^2, so they sum to 1."""
    ramp = np.sin(np.pi / 8 * (np.arange(4) + 0.5)) ** 2
    axis = lay_tiles(16, 8, 4)
    assert axis.starts == (0, 4, 8)
    np.testing.assert_allclose(axis.weights[0], [1, 1, 1, 1, *ramp[::-1]], atol=1e-7)
    np.testing.assert_allclose(axis.weights[1], [*ramp, *ramp[::-1]], atol=1e-7)
    np.testing.assert_allclose(axis.weights[2], [*ramp, 1, 1, 1, 1], atol=1e-7)


@pytest.mark.parametrize("overlap", [-1, 17])
def test_an_overlap_that_cannot_be_is_refused(overlap):
    with pytest.raises(ConfigError, match=f"half a tile, got {overlap} of 32"):
        lay_tiles(100, 32, overlap)
