"""Cutting one labelled scene into blocks for training and testing."""

import numpy as np
import pytest

from ringmoe.datasets import LabelledTiles, cut_blocks
from ringmoe.datasets.tiles import checkerboard, relabel
from ringmoe.errors import ShapeError


def test_blocks_are_the_scenes_windows_row_by_row():
    scene = np.arange(2 * 7 * 9).reshape(2, 7, 9)
    blocks = cut_blocks(scene, 3)
    assert blocks.shape == (6, 2, 3, 3)
    for number, block in enumerate(blocks):
        row, column = divmod(number, 3)
        expected = scene[:, row * 3 : row * 3 + 3, column * 3 : column * 3 + 3]
        np.testing.assert_array_equal(block, expected)


def test_a_checkerboards_colours_share_no_pixel_and_no_edge():
    """Painted back on the scene, each white block has only black ones above, below and beside."""
    white = checkerboard((7, 10), 2)  # 3 x 5 blocks
    field = white.reshape(3, 5)
    assert (field[:, 1:] != field[:, :-1]).all()
    assert (field[1:] != field[:-1]).all()
    pixels = cut_blocks(np.arange(70).reshape(7, 10), 2)
    assert not np.intersect1d(pixels[white], pixels[~white]).size


def test_codes_become_classes_and_all_others_are_ignored():
    assert relabel(np.array([[0, 8, 2], [4, 1, 2]]), (2, 4, 8)).tolist() == [[-1, 2, 0], [1, -1, 0]]


def test_shapes_must_agree():
    with pytest.raises(ShapeError, match="no block of 8 px"):
        cut_blocks(np.zeros((4, 20)), 8)
    with pytest.raises(ShapeError, match="labels"):
        LabelledTiles(np.zeros((2, 3, 8, 8)), np.zeros((2, 8, 9), int), ("a",), "rgb-dn8")
