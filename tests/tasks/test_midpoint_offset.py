"""Rotated boxes as numbers to be predicted, and back."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ringmoe.boxes import cxcywhr_to_corners, cxcywhr_to_xyxy
from ringmoe.tasks.heads.midpoint_offset import (
    SCALE,
    decode_midpoints,
    decode_rotated,
    encode_midpoints,
    encode_rotated,
)

places, edges = st.floats(-50, 50), st.floats(1, 60)
rotated = st.tuples(places, places, edges, edges, st.floats(-4, 4))
upright = st.tuples(places, places, edges, edges, st.sampled_from([0.0, math.pi / 2, -math.pi]))
hardly_turned = st.tuples(places, places, edges, edges, st.floats(-4e-3, 4e-3))
horizontal = st.tuples(places, places, edges, edges).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


def one(numbers) -> torch.Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


def assert_same_rectangle(found: torch.Tensor, expected: torch.Tensor, atol: float) -> None:
    """The same four corners, whichever comes first."""
    a, b = (cxcywhr_to_corners(box.numpy()).reshape(4, 2) for box in (found, expected))
    distance = np.linalg.norm(a[:, None] - b, axis=-1)
    assert distance.min(axis=0).max() < atol and distance.min(axis=1).max() < atol


@given(st.one_of(rotated, upright, hardly_turned), horizontal)
def test_midpoints_come_back(box, anchor):
    """To 0.2 % of the edges: what is turned by less than a thousandth counts as upright."""
    box, anchor = one(box), one(anchor)
    found = decode_midpoints(encode_midpoints(box, anchor), anchor)
    assert found[0, 2] >= found[0, 3]
    assert_same_rectangle(found, box, atol=0.004 * float(box[0, 2:4].sum()))


@given(horizontal)
def test_the_anchor_itself_needs_nothing_but_its_corners(anchor):
    """An upright box has its highest corner at the right end of the top, hence 1/2 and 1/2."""
    left, top, right, bottom = anchor
    size = (right - left, bottom - top)
    box = one([(left + right) / 2, (top + bottom) / 2, *size, 0.0])
    expected = one([0.0, 0, 0, 0, 0.5, 0.5])
    assert_close(encode_midpoints(box, one(anchor)), expected, atol=1e-9, rtol=0)


def test_a_square_on_its_corner():
    """Corners in the middle of the sides of the horizontal box around it: offsets of 0."""
    box = one([10.0, 20, 8, 8, math.pi / 4])
    around = torch.from_numpy(cxcywhr_to_xyxy(box.numpy()))
    assert_close(encode_midpoints(box, around), torch.zeros(1, 6, dtype=torch.float64))
    assert_close(
        decode_midpoints(torch.zeros(1, 6, dtype=torch.float64), around)[0, :4], box[0, :4]
    )


def test_a_parallelogram_becomes_the_rectangle_of_its_longer_diagonal():
    """Half diagonals (0, -10) and (20, 0): drawn out to 20 each, a square of edge 20 sqrt(2)."""
    anchor = one([0.0, 0, 40, 20])
    found = decode_midpoints(torch.zeros(1, 6, dtype=torch.float64), anchor)
    edge = 20 * math.sqrt(2)
    assert_close(found[0, :4], one([20.0, 10, edge, edge])[0])


@given(rotated, rotated)
def test_refinements_come_back(box, proposal):
    box, proposal = one(box), one(proposal)
    codes = encode_rotated(box, proposal)
    assert codes[0, 4].abs() <= SCALE[4] * (math.pi / 4 + 1e-9)
    assert_same_rectangle(decode_rotated(codes, proposal), box, atol=1e-6)


@given(rotated, st.integers(-2, 2))
def test_refinements_do_not_jump_where_angles_end(box, turns):
    """Written another way (edges exchanged, a quarter turn more), a box is to be refined alike.

    Turned by a little more than half a turn it is again the same: the code changes by as little.
    """
    box = one(box)
    proposal = box + one([1.0, -2, 0.5, 0.25, 0.1])
    other = box[:, [0, 1, 3, 2, 4]] if turns % 2 else box.clone()
    other[:, 4] += turns * math.pi / 2
    assert_close(encode_rotated(box, proposal), encode_rotated(other, proposal))
    turned = box.clone()
    turned[:, 4] += math.pi + 1e-6
    difference = encode_rotated(turned, proposal) - encode_rotated(box, proposal)
    assert_close(difference, one([0.0, 0, 0, 0, SCALE[4] * 1e-6]), atol=1e-8, rtol=0)


def test_refinements_are_along_the_proposals_own_axes():
    """A proposal that points up, its centre 3 ahead of the object's and 1 to its left.

    Ahead is up (smaller y), left is left (smaller x); the object is 3 behind, 1 to the right.
    """
    proposal, box = one([50.0, 40, 20, 10, math.pi / 2]), one([51.0, 43, 20, 10, math.pi / 2])
    expected = one([SCALE[0] * -3 / 20, SCALE[1] * -1 / 10, 0, 0, 0])
    assert_close(encode_rotated(box, proposal), expected)
