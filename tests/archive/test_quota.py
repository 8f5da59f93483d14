"""Shares: exact over every 1000 steps, even in between."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringmoe.archive.quota import QUOTA_STEPS, quota_table
from ringmoe.archive.sampler import Sampler
from ringmoe.errors import ConfigError
from ringmoe.sampling.order import TileOrder


def test_published_mix_is_exact():
    """70 : 20 : 10 (the paper's optical : multispectral : SAR) of 32 places, 1000 steps."""
    table = quota_table([0.7, 0.2, 0.1], 32)
    assert table.sum(axis=0).tolist() == [22_400, 6_400, 3_200]
    assert (table.sum(axis=1) == 32).all()
    assert (np.abs(table - np.array([22.4, 6.4, 3.2])) < 2).all()


def test_equal_shares_march_in_step():
    assert (quota_table([1, 1, 1, 1], 32) == 8).all()


def test_what_cannot_be_divided_is_rounded_by_largest_remainder():
    """1000 places among three: 333.3 each, and the one left goes to the first."""
    assert quota_table([1, 1, 1], 1).sum(axis=0).tolist() == [334, 333, 333]


@settings(max_examples=50)
@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.integers(1, 12), st.integers(1, 80)
)
def test_rows_are_full_and_columns_are_the_quotas(weights, per_step, steps):
    table = quota_table(weights, per_step, steps)
    exact = np.array(weights) / sum(weights) * per_step * steps
    assert (table.sum(axis=1) == per_step).all()
    assert (np.abs(table.sum(axis=0) - exact) < 1).all()
    assert (table >= 0).all()


def orders(**lengths: dict[str, int]) -> dict[str, dict[str, TileOrder]]:
    return {
        modality: {name: TileOrder(np.arange(n), 10, key=1) for name, n in streams.items()}
        for modality, streams in lengths.items()
    }


def count(sampler: Sampler, start: int) -> dict[str, int]:
    """Images of each stream in 1000 steps."""
    counts: dict[str, int] = {}
    for step in range(start, start + QUOTA_STEPS):
        for draw in sampler.draws(step):
            counts[draw.stream] = counts.get(draw.stream, 0) + len(draw.tiles)
    return counts


def test_streams_share_by_the_square_root_of_their_size():
    """400 and 100 tiles: sqrt is 20 : 10, so 2000/3 and 1000/3 of 1000 steps of 4 images each."""
    sampler = Sampler(orders(a={"large": 400, "small": 100}, b={"only": 50}), batch_size=8)
    counts = count(sampler, start=0)
    assert counts == {"large": 4 * 667, "small": 4 * 333, "only": 4000}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 7, 10])
@pytest.mark.parametrize("shares", [(1, 1, 1, 1), (8, 5, 2, 1), (29, 1, 1, 1), (1, 2, 3)])
def test_streams_get_their_share_also_of_modalities_with_empty_steps(shares, batch_size):
    """Of two equal streams and a smaller one each its part of the modality's images: 2 : 2 : 1.

    A step goes to one stream, so a total may be off by a step's images, and two streams' by
    rounding. Where every modality has images in every step, streams share steps instead.
    """
    names = [f"m{i}" for i in range(len(shares))]
    sampler = Sampler(
        orders(**{name: {f"{name}a": 400, f"{name}b": 400, f"{name}c": 100} for name in names}),
        batch_size,
        dict(zip(names, shares, strict=True)),
    )
    images = dict(zip(names, quota_table(shares, batch_size).T, strict=True))
    if all(column.all() for column in images.values()):
        due = quota_table([2, 2, 1], 1)
        expected = {
            n + s: int(c @ d) for n, c in images.items() for s, d in zip("abc", due.T, strict=True)
        }
        assert count(sampler, start=0) == expected
        return
    counts = count(sampler, start=0)
    for name, column in images.items():
        for stream, part in zip("abc", (0.4, 0.4, 0.2), strict=True):
            assert abs(counts[name + stream] - part * column.sum()) < column.max() + 1


def test_no_stream_starves_where_a_modality_has_every_second_step():
    """Four modalities of two equal streams, two images a step: 500 each, 250 a stream."""
    streams = {name: {f"{name}1": 100, f"{name}2": 100} for name in "abcd"}
    counts = count(Sampler(orders(**streams), batch_size=2), start=345)
    assert len(counts) == 8 and set(counts.values()) == {250}


def test_the_order_of_published_runs_stays():
    """Four modalities, ten images: each step as first released, streams in turn by steps."""
    sampler = Sampler(
        orders(a={"x": 400, "y": 100}, b={"z": 50}, c={"u": 9, "v": 9}, d={"w": 7}), batch_size=10
    )
    images, roots = quota_table([1, 1, 1, 1], 10), quota_table([20, 10], 1)
    halves = quota_table([3, 3], 1)
    tables = {"x": images[:, 0] * roots[:, 0], "y": images[:, 0] * roots[:, 1], "z": images[:, 1]}
    tables |= {"u": images[:, 2] * halves[:, 0], "v": images[:, 2] * halves[:, 1]}
    tables["w"] = images[:, 3]
    for step in range(QUOTA_STEPS):
        drawn = {draw.stream: len(draw.positions) for draw in sampler.draws(step)}
        assert drawn == {name: n for name, t in tables.items() if (n := t[step])}


@pytest.mark.parametrize("start", [0, 1, 777, 123_456])
def test_quotas_hold_in_any_1000_steps(start):
    """400 and 100 tiles in proportion: 800 and 200 steps; shares 3 : 1 of 8 images."""
    sampler = Sampler(
        orders(a={"large": 400, "small": 100}, b={"only": 50}),
        batch_size=8,
        shares={"a": 3, "b": 1},
        stream_shares="proportional",
    )
    assert count(sampler, start) == {"large": 4800, "small": 1200, "only": 2000}


def test_positions_of_a_stream_follow_each_other():
    """Over the border of the 1000 steps too: no tile is left out or given twice."""
    sampler = Sampler(orders(a={"x": 37, "y": 11}, b={"z": 5}), 7, shares={"a": 2, "b": 1})
    seen: dict[str, list[int]] = {"x": [], "y": [], "z": []}
    for step in range(1100):
        for draw in sampler.draws(step):
            seen[draw.stream] += draw.positions.tolist()
    for positions in seen.values():
        assert positions == list(range(len(positions)))


@pytest.mark.parametrize("shares", [{"a": 1}, {"a": 1, "b": 0}, {"a": 1, "b": 1, "c": 1}])
def test_shares_must_fit_the_modalities(shares):
    with pytest.raises(ConfigError, match="each of a, b"):
        Sampler(orders(a={"x": 3}, b={"y": 3}), 4, shares)
