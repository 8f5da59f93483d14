"""The learning rate, against values computed by hand."""

import math

import pytest

from ringmoe.training.schedule import learning_rate, peak_learning_rate


def test_the_configured_rate_is_for_256_images():
    """Linear scaling rule: 1e-3 at 256 images is 2.5e-4 at 64 and 4e-3 at 1024."""
    assert peak_learning_rate(1e-3, 256) == 1e-3
    assert peak_learning_rate(1e-3, 64) == pytest.approx(2.5e-4)
    assert peak_learning_rate(1e-3, 1024) == pytest.approx(4e-3)


def test_warm_up_is_linear_and_the_cosine_ends_near_zero():
    """Ten steps up to 2.0, then 90 of half a cosine.

    0.2, 0.4, ... 2.0; at the cosine's middle, step 10 + 45, half the peak; at its last step
    2 * (1 + cos(pi * 89 / 90)) / 2.
    """
    rates = [learning_rate(s, peak=2.0, warmup_steps=10, steps=100) for s in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (s + 1) for s in range(10)])
    assert rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(1 + math.cos(math.pi * 89 / 90))
    assert rates[9:] == sorted(rates[9:], reverse=True)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 1), (0, 5), (5, 5), (10, 5)])
def test_short_runs_have_a_positive_rate(warmup, steps):
    for step in range(steps):
        assert 0 < learning_rate(step, peak=1.0, warmup_steps=warmup, steps=steps) <= 1.0
