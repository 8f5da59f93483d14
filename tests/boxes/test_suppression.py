"""NMS against the greedy loop over shapely's polygons, and against torchvision."""

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms

from ringmoe import boxes
from ringmoe.boxes import suppression
from ringmoe.errors import ShapeError, ValueRangeError


def greedy(rotated, scores, threshold, classes):
    """The definition: through the boxes by falling score, the first of equal ones first."""
    polygons = shapely.polygons(boxes.cxcywhr_to_corners(rotated).reshape(-1, 4, 2))
    kept = []
    for box in sorted(range(len(rotated)), key=lambda box: -scores[box]):
        for other in kept:
            shared = polygons[box].intersection(polygons[other]).area
            union = polygons[box].area + polygons[other].area - shared
            if classes[box] == classes[other] and shared > threshold * union:
                break
        else:
            kept.append(box)
    return kept


def scene(count, draw, extent):
    """Clusters of boxes that resemble one another: centres shared by about 8 boxes each."""
    centres = draw.uniform(0, extent, (count // 8 + 1, 5))
    centres[:, 2:] = draw.uniform([20, 5, -1.5], [60, 15, 1.5], (len(centres), 3))
    return centres[draw.integers(len(centres), size=count)] + draw.normal(
        0, [3, 3, 2, 1, 0.1], (count, 5)
    )


@settings(max_examples=25)
@given(
    st.integers(0, 1000),
    st.integers(1, 60),
    st.floats(0, 1),
    st.sampled_from([1, 3]),
    st.sampled_from([40, 300]),
)
def test_it_is_the_greedy_loop(seed, count, threshold, kinds, extent):
    """Scores have one digit, so that many are equal; classes one or three."""
    draw = np.random.default_rng(seed)
    rotated = scene(count, draw, extent)
    scores, classes = draw.integers(0, 10, count) / 10, draw.integers(0, kinds, count)
    found = boxes.nms(torch.tensor(rotated), torch.tensor(scores), threshold, torch.tensor(classes))
    assert found.tolist() == greedy(rotated, scores, threshold, classes)
    if kinds == 1:
        alone = boxes.nms(torch.tensor(rotated), torch.tensor(scores), threshold)
        assert alone.tolist() == found.tolist()


@pytest.mark.parametrize("limit", [20, 500])
def test_pairs_in_parts(limit, monkeypatch):
    """The sweep a few pairs at a time is the sweep of all; along y as along x."""
    draw = np.random.default_rng(1)
    rotated = scene(80, draw, 130)
    rotated[:, 0] /= 10  # a column: the sweep goes along y
    scores, same = draw.random(80), np.zeros(80)
    expected = greedy(rotated, scores, 0.3, same)
    monkeypatch.setattr(suppression, "_PAIRS", limit)
    assert 10 < len(expected) < 70
    assert boxes.nms(torch.tensor(rotated), torch.tensor(scores), 0.3).tolist() == expected
    rotated[:, [0, 1]] = rotated[:, [1, 0]]
    expected = greedy(rotated, scores, 0.3, same)
    assert boxes.nms(torch.tensor(rotated), torch.tensor(scores), 0.3).tolist() == expected


def test_a_chain_of_boxes_frees_every_other():
    """Each box of 10 px is 3 px from the next: IoU 7/13 with it, 4/16 with the one after. At 0.5
    the first suppresses the second, which so spares the third, and so on."""
    chain = torch.tensor([[3.0 * place, 0, 10, 4, 0] for place in range(101)])
    scores = torch.linspace(1, 0.5, 101)
    assert boxes.nms(chain, scores, 0.5).tolist() == list(range(0, 101, 2))
    assert boxes.nms(chain, scores, 0.26).tolist() == list(range(0, 101, 2))
    assert boxes.nms(chain, scores, 0.24).tolist() == list(range(0, 101, 3))


def test_equal_scores_keep_the_first():
    same = torch.tensor([[5.0, 5, 4, 2, 0.3]]).repeat(4, 1)
    assert boxes.nms(same, torch.tensor([0.5, 0.7, 0.7, 0.5]), 0.5).tolist() == [1]
    assert boxes.nms(boxes_xyxy(same), torch.tensor([0.5, 0.7, 0.7, 0.5]), 0.5).tolist() == [1]
    assert boxes.nms(same, torch.ones(4), 0.5, torch.arange(4)).tolist() == [0, 1, 2, 3]


def boxes_xyxy(rotated):
    return torch.tensor(boxes.cxcywhr_to_xyxy(rotated.numpy()), dtype=rotated.dtype)


def test_horizontal_boxes_as_torchvision_has_them():
    draw = np.random.default_rng(0)
    upright = torch.tensor(boxes.cxcywhr_to_xyxy(scene(300, draw, 300)))
    scores, classes = torch.tensor(draw.random(300)), torch.tensor(draw.integers(0, 3, 300))
    expected = batched_nms(upright, scores, classes, 0.4)
    assert 20 < len(expected) < 280
    assert boxes.nms(upright, scores, 0.4, classes).tolist() == expected.tolist()
    # As rotated boxes they are the same boxes.
    as_rotated = torch.tensor(boxes.xyxy_to_cxcywhr(upright.numpy()))
    assert boxes.nms(as_rotated, scores, 0.4, classes).tolist() == expected.tolist()


@pytest.mark.parametrize("rotated", [False, True])
def test_float32_far_from_the_origin(rotated):
    """Classes stay apart, also where coordinates are negative, and 100 classes at 20000 px move
    nothing: two boxes shifted by 1 of 4 px have IoU 3/5, whatever the class. (Moved by the highest
    coordinate + 1, which is 20006, the first boxes of a class would lie on others of the last.)"""
    pair = torch.tensor([[0.0, 0, 4, 4], [1, 0, 5, 4]])
    every = torch.cat([pair + 20000, pair - 20006, pair]).repeat(100, 1)
    classes = torch.arange(100).repeat_interleave(6)
    if rotated:
        every = torch.tensor(boxes.xyxy_to_cxcywhr(every.numpy()), dtype=torch.float32)
    scores = torch.linspace(1, 0, 600)
    assert boxes.nms(every, scores, 0.59, classes).tolist() == list(range(0, 600, 2))
    assert boxes.nms(every, scores, 0.61, classes).tolist() == list(range(600))


def test_boxes_without_area_are_kept():
    flat = torch.tensor([[5.0, 5, 4, 0, 0.3]]).repeat(3, 1)
    assert boxes.nms(flat, torch.ones(3), 0.0).tolist() == [0, 1, 2]
    assert boxes.nms(flat * 0, torch.ones(3), 0.0).tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("count", [0, 1])
def test_no_box_and_one(size, count):
    some = torch.arange(size).float().repeat(count, 1)
    kept = boxes.nms(some, torch.ones(count), 0.5, torch.zeros(count, dtype=torch.int64))
    assert kept.dtype == torch.int64
    assert kept.tolist() == list(range(count))


def test_types_and_strides():
    rotated = torch.tensor(scene(50, np.random.default_rng(2), 60))
    scores = torch.linspace(1, 0, 50)
    expected = boxes.nms(rotated, scores, 0.3).tolist()
    strided = rotated.T.contiguous().T
    assert boxes.nms(strided, scores.double(), 0.3).tolist() == expected
    assert boxes.nms(rotated.float(), scores.half(), 0.3).tolist() == expected


@pytest.mark.slow
def test_many_boxes():
    """20000 boxes: a pair of each ten-thousandth place of a spiral, the second below the first.

    Both have the same centre, edges 20 x 5 and 20 x 6: IoU 5/6. Neighbours on the spiral are
    about 30 px apart, so that of each pair exactly the first is kept."""
    turn = 2 * np.sqrt(np.arange(1, 10001))
    x, y = 15 * turn * np.cos(turn), 15 * turn * np.sin(turn)
    first = np.stack([x, y, 0 * x + 20, 0 * x + 5, turn % math.pi], axis=-1)
    second = first + np.array([0, 0, 0, 1, 0])
    scores = torch.linspace(1, 0, 20000)
    kept = boxes.nms(torch.tensor(np.concatenate([first, second])), scores, 0.5)
    assert kept.tolist() == list(range(10000))


def test_mistakes_are_named():
    with pytest.raises(ShapeError, match=r"\(N, 4\) xyxy or"):
        boxes.nms(torch.zeros(2, 6), torch.zeros(2), 0.5)
    with pytest.raises(ShapeError, match="scores of 2 boxes"):
        boxes.nms(torch.zeros(2, 5), torch.zeros(3), 0.5)
    with pytest.raises(ShapeError, match="classes of 2 boxes"):
        boxes.nms(torch.zeros(2, 5), torch.zeros(2), 0.5, torch.zeros(2, 1))
    with pytest.raises(ValueRangeError, match=r"\[0, 1\], got 50"):
        boxes.nms(torch.zeros(2, 5), torch.zeros(2), 50)


def test_an_infinite_box_leaves_the_others_as_they_are():
    found = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60], [0, 0, 9, torch.inf]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    kept = boxes.nms(found, scores, 0.5, classes=torch.tensor([1, 1, 1, 0]))
    assert kept.tolist() == [0, 2, 3]
