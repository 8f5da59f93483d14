"""Conversions of boxes against torchvision, shapely and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon
from torchvision.ops import box_convert

from ringmoe import boxes
from ringmoe.errors import ShapeError

coordinates = st.floats(-500, 500)
edges = st.floats(0.5, 300)
rotated = st.tuples(coordinates, coordinates, edges, edges, st.floats(-7, 7)).map(np.array)


def polygon(corners):
    return Polygon(np.reshape(corners, (4, 2)))


def test_the_angle_turns_counter_clockwise_as_displayed():
    """A box 10 x 2 turned by 90 degrees counter-clockwise points up: its front is at y = -5."""
    corners = boxes.cxcywhr_to_corners([0, 0, 10, 2, math.pi / 2]).reshape(4, 2)
    front_left, front_right, back_right, back_left = corners
    np.testing.assert_allclose(front_left, [-1, -5], atol=1e-12)
    np.testing.assert_allclose(front_right, [1, -5], atol=1e-12)
    np.testing.assert_allclose(back_right, [1, 5], atol=1e-12)
    np.testing.assert_allclose(back_left, [-1, 5], atol=1e-12)


@given(rotated)
def test_corners_agree_with_torchvision(box):
    """Torchvision has the angle in degrees and starts elsewhere: the sets of corners agree."""
    theirs = torch.tensor(box)
    theirs[4] = math.degrees(box[4])
    theirs = box_convert(theirs[None], "cxcywhr", "xyxyxyxy")[0].reshape(4, 2).numpy()
    ours = boxes.cxcywhr_to_corners(box).reshape(4, 2)
    distance = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    assert distance.min(axis=1).max() < 1e-6
    assert distance.min(axis=0).max() < 1e-6


@given(rotated)
def test_canonical_is_the_same_box_with_the_long_edge_first(box):
    same = boxes.canonical(box)
    assert same[2] >= same[3]
    assert -math.pi / 2 <= same[4] < math.pi / 2
    before, after = (polygon(boxes.cxcywhr_to_corners(b)) for b in (box, same))
    assert before.symmetric_difference(after).area < 1e-6 * before.area


@given(rotated)
def test_there_and_back_loses_nothing(box):
    box = boxes.canonical(box)
    back = boxes.corners_to_cxcywhr(boxes.cxcywhr_to_corners(box))
    np.testing.assert_allclose(back[:4], box[:4], atol=1e-9)
    turn = abs(back[4] - box[4]) % math.pi  # -pi/2 and pi/2 are the same direction
    if box[2] - box[3] > 1e-6:  # a square has no long edge
        assert min(turn, math.pi - turn) < 1e-6


@pytest.mark.parametrize("short", [0.0, 1e-9, 1e-3])
def test_a_box_of_no_width_keeps_its_direction(short):
    for angle in np.linspace(-1.5, 1.5, 7):
        box = np.array([20000, 5, 4, short, angle])
        back = boxes.corners_to_cxcywhr(boxes.cxcywhr_to_corners(box))
        np.testing.assert_allclose(back, box, atol=1e-9)


@pytest.mark.parametrize("angle", [-math.pi / 2, math.pi / 2])
def test_the_angles_range_holds_next_to_its_ends(angle):
    for number in (np.nextafter(angle, -9), angle, np.nextafter(angle, 9)):
        assert -math.pi / 2 <= boxes.canonical([0, 0, 5, 2, number])[4] < math.pi / 2


@given(rotated)
def test_areas_and_enclosing_box_agree_with_shapely(box):
    corners = boxes.cxcywhr_to_corners(box)
    truth = polygon(corners)
    assert boxes.area(box) == pytest.approx(truth.area)
    assert boxes.area(corners) == pytest.approx(truth.area, rel=1e-6)
    horizontal = boxes.cxcywhr_to_xyxy(box)
    np.testing.assert_allclose(horizontal, truth.bounds, atol=1e-9)
    assert boxes.area(horizontal) == pytest.approx(truth.envelope.area)


@given(st.tuples(coordinates, coordinates, edges, edges))
def test_a_horizontal_box_is_a_rotated_box_that_is_not_turned(box):
    left, top, width, height = box
    horizontal = np.array([left, top, left + width, top + height])
    turned = boxes.xyxy_to_cxcywhr(horizontal)
    np.testing.assert_allclose(boxes.cxcywhr_to_xyxy(turned), horizontal, atol=1e-9)
    np.testing.assert_allclose(boxes.enclosing(boxes.xyxy_to_corners(horizontal)), horizontal)


def test_corners_may_run_the_other_way_round():
    clockwise = np.array([0, 0, 8, 0, 8, 2, 0, 2])
    counter = clockwise.reshape(4, 2)[::-1].reshape(8)
    for corners in (clockwise, counter):
        np.testing.assert_allclose(boxes.corners_to_cxcywhr(corners), [4, 1, 8, 2, 0], atol=1e-12)


def test_batches_and_none_at_all_keep_their_shape():
    many = np.random.default_rng(0).uniform(1, 9, (3, 4, 5))
    assert boxes.cxcywhr_to_corners(many).shape == (3, 4, 8)
    assert boxes.corners_to_cxcywhr(boxes.cxcywhr_to_corners(many)).shape == (3, 4, 5)
    assert boxes.cxcywhr_to_corners(np.empty((0, 5))).shape == (0, 8)
    assert boxes.corners_to_cxcywhr(np.empty((0, 8))).shape == (0, 5)


def test_a_wrong_form_is_refused():
    with pytest.raises(ShapeError, match=r"cxcywhr have 5 numbers .* got shape \(2, 4\)"):
        boxes.cxcywhr_to_corners(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match="xyxy, cxcywhr or corners"):
        boxes.area(np.zeros((2, 6)))
