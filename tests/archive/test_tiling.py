"""Where tiles are cut, and that what is held out is apart from what is trained on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringmoe.archive.tiling import held_out_images, plan_tiles

SIDES = st.integers(1, 400)


def covered(tiles, height, width) -> np.ndarray:
    """How many tiles lie on each pixel."""
    count = np.zeros((height, width), int)
    for window, _ in tiles:
        count[window.rows, window.columns] += 1
    return count


def test_tiles_meet_where_the_sides_divide():
    tiles = plan_tiles(96, 64, 32, 32)
    assert len(tiles) == 6 and (covered(tiles, 96, 64) == 1).all()


def test_the_last_tile_is_moved_to_the_edge():
    rows = [window.row for window, _ in plan_tiles(100, 32, 32, 32)]
    assert rows == [0, 32, 64, 68]


def test_stride_overlaps():
    assert [window.column for window, _ in plan_tiles(32, 80, 32, 16)] == [0, 16, 32, 48]


@given(SIDES, SIDES, st.integers(8, 64), st.integers(8, 64))
def test_every_pixel_is_covered_and_no_tile_reaches_out(height, width, size, stride):
    stride = min(stride, size)
    tiles = plan_tiles(height, width, size, stride)
    assert (covered(tiles, height, width) >= 1).all()
    for window, split in tiles:
        assert split == "train"
        assert window.rows.stop <= height and window.columns.stop <= width
        assert (window.height, window.width) == (min(size, height), min(size, width))


@given(
    SIDES,
    SIDES,
    st.integers(8, 64),
    st.integers(8, 64),
    st.floats(0.01, 0.99),
    st.integers(0, 2**64 - 1),
)
def test_held_out_tiles_are_a_tile_away_from_the_rest(height, width, size, stride, share, seed):
    """Grow the pixels of the training tiles by one tile on all sides: no held-out pixel is hit."""
    tiles = plan_tiles(height, width, size, stride, share, seed)
    held = covered([t for t in tiles if t[1] == "heldout"], height, width) > 0
    near = np.zeros((height, width), bool)
    for window, split in tiles:
        if split == "train":
            top, left = max(window.row - size, 0), max(window.column - size, 0)
            near[top : window.rows.stop + size, left : window.columns.stop + size] = True
    assert not (held & near).any()
    splits = [split for _, split in tiles]
    assert "train" in splits
    assert ("heldout" in splits) == (max(height, width) >= 3 * size)


def test_the_share_is_that_of_the_longer_side():
    """A fifth of 1000 columns; the gap of 50 comes off the training part."""
    tiles = plan_tiles(100, 1000, 50, 50, 0.2, seed=0)
    held = covered([t for t in tiles if t[1] == "heldout"], 100, 1000).any(axis=0)
    train = covered([t for t in tiles if t[1] == "train"], 100, 1000).any(axis=0)
    assert held.sum() == 200 and train.sum() == 750


def test_the_seed_chooses_the_end():
    ends = {
        next(w.row for w, split in plan_tiles(300, 50, 50, 50, 0.2, seed) if split == "heldout")
        for seed in range(20)
    }
    assert ends == {0, 240} or ends == {0, 250}


@pytest.mark.parametrize("seed", range(8))
def test_images_of_one_place_are_held_out_at_the_same_end(seed):
    """Of 10 m and 20 m pixels: no ground is held out of one and trained on in the other."""
    ground = {"train": np.zeros(1000, bool), "heldout": np.zeros(1000, bool)}
    for factor in (1, 2):
        for window, split in plan_tiles(300 // factor, 1000 // factor, 50, 50, 0.2, seed):
            ground[split][window.column * factor : window.columns.stop * factor] = True
    assert ground["heldout"].sum() == 200 and not (ground["heldout"] & ground["train"]).any()


@given(
    st.sets(st.text("abc/", min_size=1), min_size=2, max_size=40),
    st.floats(0.001, 0.999),
    st.integers(0, 2**32),
)
def test_some_but_not_all_images_are_held_out(names, share, seed):
    held = held_out_images(sorted(names), share, seed)
    assert held < names and held
    assert abs(len(held) - share * len(names)) <= 1
    assert held == held_out_images(sorted(names, reverse=True), share, seed)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 5)])
def test_none_or_all(share, count):
    assert len(held_out_images("abcde", share, 0)) == count
