"""Blended tiles, against the whole sum at once in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringmoe.deployment.blending import TileBlender, highest, softmax
from ringmoe.deployment.windows import lay_tiles


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))
def test_pixels_are_those_of_the_whole_weighted_sum(height, width, overlap, seed):
    """Random scores; all tiles added into one array of the scene's size, divided by the weights.

    The weights are the outer products of flanks sin^2 here, not normalised before.
    """
    tile, rng = 10, np.random.default_rng(seed)
    rows, columns = lay_tiles(height, tile, overlap), lay_tiles(width, tile, overlap)
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    profile = np.concatenate([ramp, np.ones(tile - 2 * overlap), ramp[::-1]])
    total = np.zeros((2, max(height, tile), max(width, tile)))
    weight = np.zeros(total.shape[1:])
    blender = TileBlender(2, rows, columns)
    found = np.full((2, height, width), np.nan)
    for row, top in enumerate(rows.starts):
        for column, left in enumerate(columns.starts):
            scores = rng.normal(size=(2, tile, tile)).astype(np.float32)
            before = scores.copy()
            found[:, rows.final(row), columns.final(column)] = blender.add(row, column, scores)
            assert (scores == before).all()
            here = np.s_[top : top + tile, left : left + tile]
            total[:, *here] += scores * np.outer(profile, profile)
            weight[here] += np.outer(profile, profile)
    expected = (total / weight)[:, :height, :width]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("channels", "dtype"), [(1, "u1"), (7, "u1"), (300, "u2")])
def test_the_highest_is_that_of_argmax(channels, dtype):
    """Few different values, so that many are equal: the first counts, as with NumPy."""
    rng = np.random.default_rng(0)
    scores = rng.integers(-3, 3, (channels, 19, 23)).astype(np.float32)
    labels, best = highest(scores, np.dtype(dtype))
    assert labels.dtype == dtype
    assert (labels == scores.argmax(axis=0)).all() and (best == scores.max(axis=0)).all()


def test_nan_in_any_channel_shows_in_the_highest_score():
    for channel in range(3):
        scores = np.zeros((3, 1, 2), np.float32)
        scores[channel, 0, 0] = np.nan
        assert np.isnan(highest(scores, np.dtype("u1"))[1]).tolist() == [[True, False]]


def test_probabilities_of_large_scores_do_not_overflow():
    """exp(1000) is infinite in any precision; softmax of (1000, 1000 + log 3) is (1/4, 3/4)."""
    scores = np.array([1000, 1000 + np.log(3)], np.float32).reshape(2, 1, 1)
    np.testing.assert_allclose(softmax(scores, scores.max(0)).ravel(), [0.25, 0.75], atol=1e-4)
