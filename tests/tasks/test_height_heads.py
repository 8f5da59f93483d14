"""Bins and regression: closed forms and limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.pyramids import SIZE, TASKS, WIDTHS, head_of, pyramid
from torch.testing import assert_close

from ringmoe.tasks import Height

heights = pytest.mark.parametrize("name", ["bins", "regression"])


def test_values_are_expected_centres_of_bins():
    """In NumPy float64, of the queries and pixels that the head made."""
    head = head_of(TASKS["bins"])
    maps = pyramid(2)
    queries, pixels = head._queries(maps), head.decoder(maps)
    logits = (head.width(queries)[..., 0] + head.bias).detach().numpy()
    widths = 30 * np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    edges = np.concatenate([np.zeros((2, 1)), np.cumsum(widths, axis=1)], axis=1)
    centres = (edges[:, 1:] + edges[:, :-1]) / 2
    vectors = head.vector(queries).detach().numpy()
    scores = np.einsum("bnc,bchw->bnhw", vectors, pixels.detach().numpy()) / 4  # sqrt of 16
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = np.einsum("bnhw,bn->bhw", shares, centres)
    fine = (SIZE[0] // 4, SIZE[1] // 4)
    assert expected.std() > 0.1
    assert_close(head([maps], fine)[:, 0], torch.from_numpy(expected))
    assert_close(edges[:, -1], np.full(2, 30.0))


def test_bins_that_know_nothing_are_even_and_give_the_middle():
    """Equal widths, equal shares: the mean of the centres of [0, 30] is 15."""
    head = head_of(TASKS["bins"])
    with torch.no_grad():
        for parameter in (*head.width.parameters(), *head.vector.parameters(), head.bias):
            parameter.zero_()
    queries = torch.randn(1, 8, 16, dtype=torch.float64)
    expected = torch.arange(8, dtype=torch.float64)[None] * 3.75 + 1.875
    assert_close(head.centres(queries), expected)
    assert_close(head([pyramid(1)], SIZE), torch.full((1, 1, *SIZE), 15.0).double())


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 30))
def test_bins_are_ascending_and_inside_the_limits(seed, spread):
    head = HEAD
    generator = torch.Generator().manual_seed(seed)
    queries = spread * torch.randn(1, 8, 16, generator=generator, dtype=torch.float64)
    centres = head.centres(queries)
    assert (centres.diff() >= 0).all()
    assert (centres >= 0).all() and (centres <= 30).all()


HEAD = head_of(TASKS["bins"])


@heights
def test_heights_stay_between_the_limits_whatever_the_maps(name):
    head = head_of(TASKS[name])
    output = head([[1e3 * level for level in pyramid(2)]], SIZE)
    assert (output >= 0).all() and (output <= 30).all()


def test_regression_begins_near_the_ground():
    """A bias of -3 is a share of 1 / (1 + e^3) = 0.047 of 30 m, for maps of no signal."""
    head = TASKS["regression"].head(WIDTHS).double()
    torch.nn.init.zeros_(head.regress.weight)
    output = head([pyramid(1)], SIZE)
    assert_close(output, torch.full_like(output, 30 / (1 + np.exp(3))))


class Tall:
    """Labels of which one in the middle is tall; the first knows no height."""

    names = ("a", "b", "c")

    def __len__(self):
        return 3

    def label(self, index):
        heights = np.full((4, 4), np.nan if index == 0 else 12.0, np.float32)
        heights[0, 0] = 150.0 if index == 1 else np.nan
        return heights


def test_labels_out_of_reach_are_said_before_training(caplog):
    Height(high=150.0).check_data(Tall())
    assert not caplog.messages
    Height(high=100.0).check_data(Tall())
    assert caplog.messages == [
        "b: heights up to 150 m, out of reach of options.high, 100 m: raise it, or name the number "
        "in data.ignore if it is no height"
    ]
