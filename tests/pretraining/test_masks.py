"""Masks: exact counts, and a function of seed, stream and position alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ringmoe.errors import ConfigError
from ringmoe.pretraining.masks import draw_masks, enlarge, masked_units

ARGUMENTS = {"stream": "s", "seed": 0, "size": (96, 96), "unit": 16, "ratio": 0.6}


def test_the_papers_count():
    """60 % of the 6 x 6 units of 32 px in a 192 px image is 21.6: 22."""
    assert masked_units((192, 192), 32, 0.6) == 22
    masks = draw_masks(range(50), **(ARGUMENTS | {"size": (192, 192), "unit": 32}))
    assert masks.shape == (50, 6, 6)
    assert masks.flatten(1).sum(1).tolist() == [22] * 50


@given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 8),
    ratio=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32),
)
def test_every_image_has_the_same_exact_count(rows, columns, ratio, seed):
    units = rows * columns
    expected = max(1, round(ratio * units))
    arguments = {"stream": "s", "seed": seed, "size": (8 * rows, 8 * columns), "unit": 8}
    if expected >= units:
        with pytest.raises(ConfigError, match="nothing to see"):
            draw_masks([0], ratio=ratio, **arguments)
        return
    masks = draw_masks([0, 3, 10**12], ratio=ratio, **arguments)
    assert masks.flatten(1).sum(1).tolist() == [expected] * 3


def test_a_mask_depends_on_seed_stream_and_position_but_not_on_its_batch():
    together = draw_masks([4, 5, 6], **ARGUMENTS)
    alone = draw_masks([5], **ARGUMENTS)
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(draw_masks([5], **(ARGUMENTS | {"seed": 1})), alone)
    assert not torch.equal(draw_masks([5], **(ARGUMENTS | {"stream": "t"})), alone)


def test_every_unit_is_masked_equally_often():
    """2000 masks, 22 of 36: a unit's count is 1222 +- 21.8 (binomial); the worst of 36 within 4."""
    often = draw_masks(range(2000), **ARGUMENTS).sum(0)
    assert (often - 2000 * 22 / 36).abs().max() < 4 * 21.8


def test_units_become_pixels():
    mask = torch.tensor([[[True, False]]])
    assert enlarge(mask, 2).tolist() == [[[True, True, False, False]] * 2]


def test_units_that_do_not_fit():
    with pytest.raises(ConfigError, match="20 px does not divide an image of 96 x 96 px"):
        masked_units((96, 96), 20, 0.6)
