"""The order of tiles: random, complete, and a function of the position."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ringmoe.sampling.hashing import mix, permutation, uniform
from ringmoe.sampling.order import TileOrder


def test_mix_is_splitmix64():
    """The first output of splitmix64 seeded with 0, as in its reference implementation.

    The state 0 plus the golden ratio, finalised; mixing in the word 0 changes nothing before that.
    """
    assert mix(0) == 0xE220A8397B1DCDAF


def test_uniform_is_uniform_and_uncorrelated():
    """Kolmogorov-Smirnov against the uniform distribution; neighbours do not correlate."""
    draws = uniform(7, np.arange(20_000))
    assert stats.kstest(draws, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / np.sqrt(20_000)
    assert draws.min() >= 0 and draws.max() < 1


def test_words_are_told_apart_by_their_place():
    assert len({int(mix(1, 2)), int(mix(2, 1)), int(mix(12)), int(mix(1, 2, 0))}) == 4


@given(st.integers(0, 300), st.integers(0, 2**63), st.integers(0, 2**63))
def test_permutation_is_one(count, seed, epoch):
    assert sorted(permutation(count, seed, epoch)) == list(range(count))


def test_permutations_are_equally_likely():
    """24 orders of 4 things, 4800 draws: chi-squared with 23 degrees of freedom."""
    orders = [tuple(permutation(4, 3, i)) for i in range(4800)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 0.01


@given(
    kept=st.lists(st.booleans(), min_size=1, max_size=150).filter(any),
    per_shard=st.integers(1, 40),
    window=st.integers(1, 5),
    key=st.integers(0, 2**64 - 1),
)
def test_every_epoch_visits_every_tile_once(kept, per_shard, window, key):
    """Also where only some tiles of a shard belong to the split, and positions span epochs."""
    tiles = np.flatnonzero(kept)
    order = TileOrder(tiles, per_shard, key, window)
    visited = order(np.arange(3 * len(tiles))).reshape(3, -1)
    for epoch in visited:
        assert sorted(epoch) == list(tiles)


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 400), min_size=1, max_size=50))
def test_any_position_can_be_asked_for_alone(key, positions):
    tiles = np.arange(100)
    whole = TileOrder(tiles, 7, key, 3)(np.arange(401))
    alone = TileOrder(tiles, 7, key, 3)(np.array(positions))
    assert (alone == whole[positions]).all()


def test_only_a_window_of_shards_is_read_at_a_time():
    """10 shards of 20 tiles, windows of 2: each 40 consecutive tiles lie in exactly 2 shards."""
    order = TileOrder(np.arange(200), 20, key=5, window_shards=2)
    for part in order(np.arange(200)).reshape(5, 40):
        assert len(np.unique(part // 20)) == 2
        assert (np.diff(part) != 1).any()


def test_epochs_and_keys_differ():
    order = TileOrder(np.arange(64), 8, key=1)
    other = TileOrder(np.arange(64), 8, key=2)
    first, second = order(np.arange(128)).reshape(2, -1)
    assert (first != second).any()
    assert (first != other(np.arange(64))).any()
