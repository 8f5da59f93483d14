"""IoU against shapely's polygons and closed forms."""

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou as torchvision_iou

from ringmoe import boxes
from ringmoe.boxes import overlap
from ringmoe.errors import ShapeError

# Lengths over nine orders of magnitude, and none; angles between axes and on them.
lengths = st.one_of(st.floats(0.5, 100), st.floats(-3, 6).map(lambda e: 10**e), st.just(0.0))
angles = st.one_of(st.floats(-7, 7), st.integers(-4, 4).map(lambda quarter: quarter * math.pi / 2))
places = st.one_of(st.floats(-60, 60), st.integers(-5, 5).map(float))
rotated = st.tuples(places, places, lengths, lengths, angles).map(np.array)
origins = st.sampled_from([0.0, 20000.0])


def polygon_iou(a, b):
    """IoU of shapely's polygons of `(N, 5)` with `(N, 5)`, about the first one's centre.

    Nothing is lost in the shift (floats of like size subtract exactly), and shapely needs it: of
    corners at 20000 px and edges of 0.001 px it has few digits left. Of polygons that differ by
    rounding alone GEOS 3.14 may find only the corners in one order: hence both orders.
    """
    a, b = (np.array(one, np.float64) for one in (a, b))
    centre = a[..., :2].copy()
    a[..., :2] -= centre
    b[..., :2] -= centre
    a, b = (shapely.polygons(boxes.cxcywhr_to_corners(x).reshape(-1, 4, 2)) for x in (a, b))
    shared = np.maximum(*(shapely.area(shapely.intersection(*pair)) for pair in ((a, b), (b, a))))
    union = shapely.area(a) + shapely.area(b) - shared
    return np.where(shared > 0, shared / np.where(union > 0, union, 1), 0)


def check(a, b):
    ours = boxes.paired_iou(torch.tensor(a)[None], torch.tensor(b)[None])
    np.testing.assert_allclose(ours, polygon_iou(a[None], b[None]), atol=1e-6)


@pytest.mark.slow
@settings(max_examples=300)
@given(rotated, rotated, origins)
def test_drawn_boxes(a, b, origin):
    """Of any size, thickness and place: far apart, crossing, nested, without area."""
    shift = [origin, -origin, 0, 0, 0]
    check(a + shift, b + shift)


@settings(max_examples=40)
@given(rotated, st.floats(-1e-9, 1e-9), st.sampled_from(range(5)), origins)
def test_nearly_identical_boxes(box, difference, where, origin):
    """All edges (nearly) coincide, where a clipping that compares edges may count them twice."""
    box[:2] += origin
    check(box, box)
    other = box.copy()
    other[where] += difference
    if other[2:4].min() >= 0:
        check(box, other)


@settings(max_examples=40)
@given(rotated, st.floats(0, 3), st.floats(0.1, 1), st.sampled_from(range(4)))
def test_boxes_that_share_a_side(box, apart, share, quarter):
    """Moved along an edge by 0 (identical), in part, by the whole edge (touching) and more."""
    turned = box[4] + quarter * math.pi / 2
    step = apart * box[2 + quarter % 2]
    other = box.copy()
    other[:2] += step * math.cos(turned), -step * math.sin(turned)
    check(box, other)
    other[2:4] *= share  # nested, or crossing the side
    check(box, other)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("origin", [0.0, 20000.0])
def test_closed_forms(size, origin):
    """Squares of edge s: shifted by s/2 along a side 1/3, touching 0, turned by 45 degrees
    1/sqrt(2) (the octagon they share has 2 (sqrt 2 - 1) s^2, the union the rest of 2 s^2), half
    the edge 1/4; with an edge of 0 nothing."""
    square = np.array([origin, origin, size, size, 0.0])
    octagon = 2 * (math.sqrt(2) - 1)
    others = {
        (0, 0, size, size, math.pi): 1,
        (size / 2, 0, size, size, 0): 1 / 3,
        (size, 0, size, size, 0): 0,
        (0, 0, size, size, math.pi / 4): octagon / (2 - octagon),
        (0, 0, size / 2, size / 2, 0): 1 / 4,
        (0, 0, 0, size, 0): 0,
        (0, 0, 0, 0, 0): 0,
    }
    drawn = np.array(list(others))
    drawn[:, :2] += origin
    found = boxes.rotated_iou(torch.tensor(square)[None], torch.tensor(drawn))
    np.testing.assert_allclose(found[0], list(others.values()), atol=1e-7)


def test_angles_next_to_none():
    """Edges that are upright but for 1e-310 of their length: a quotient by that is infinite. Two
    boxes 4 x 2, the second 3 to the right, share 1 x 2 of 14; one beside them nothing."""
    a = torch.tensor([[0.0, 0, 4, 2, 1e-310]], dtype=torch.float64)
    b = torch.tensor([[3, 0, 4, 2, 0], [3.9, 1.9, 4, 2, 0.0], [0, 0, 4, 2, -1e-310]]).double()
    others = torch.cat([b, a])
    np.testing.assert_allclose(
        boxes.rotated_iou(a, others)[0], [1 / 7, 0.01 / 15.99, 1, 1], atol=1e-7
    )
    np.testing.assert_allclose(
        boxes.rotated_iou(others, a)[:, 0], [1 / 7, 0.01 / 15.99, 1, 1], atol=1e-7
    )


def crowd(count, seed=0, extent=100.0):
    draw = np.random.default_rng(seed).uniform
    return np.stack(
        [
            draw(0, extent, count),
            draw(0, extent, count),
            draw(5, 50, count),
            draw(2, 10, count),
            draw(-math.pi / 2, math.pi / 2, count),
        ],
        axis=-1,
    )


@pytest.mark.parametrize("limit", [7, 1 << 14])
def test_matrix_has_all_pairs(limit, monkeypatch):
    """Computed a few pairs at a time or all at once; pairs that are left out have no overlap."""
    monkeypatch.setattr(overlap, "_PAIRS_CPU", limit)
    monkeypatch.setattr(overlap, "_ENTRIES", 100)
    a, b = crowd(40), crowd(30, seed=1)
    expected = polygon_iou(np.repeat(a, 30, axis=0), np.tile(b, (40, 1))).reshape(40, 30)
    assert 0.02 < (expected > 0).mean() < 0.5
    a, b = torch.tensor(a), torch.tensor(b)
    found = boxes.rotated_iou(a, b)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(boxes.box_iou(a, b), found)


def test_horizontal_boxes():
    """Against torchvision, and against the same boxes as rotated ones; 0 where it has 0 / 0."""
    a, b = (boxes.cxcywhr_to_xyxy(crowd(20, seed)) for seed in (0, 1))
    a[0, 2:] = b[0, 2:] = a[0, :2]
    b[0, :2] = a[0, :2]
    as_rotated = [torch.tensor(boxes.xyxy_to_cxcywhr(one)) for one in (a, b)]
    a, b = torch.tensor(a), torch.tensor(b)
    matrix, theirs = boxes.box_iou(a, b), torchvision_iou(a, b)
    assert theirs[0, 0].isnan() and matrix[0, 0] == 0
    np.testing.assert_allclose(matrix, theirs.nan_to_num(0), atol=1e-12)
    np.testing.assert_allclose(matrix, boxes.rotated_iou(*as_rotated), atol=1e-12)
    np.testing.assert_allclose(boxes.paired_iou(a, b), matrix.diagonal(), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_types_and_strides(dtype):
    """The result has the boxes' type and does not mind their strides."""
    a = torch.tensor(crowd(10)).to(dtype)
    strided = a.T.contiguous().T
    assert not strided.is_contiguous()
    exact = a.double().numpy()
    expected = polygon_iou(np.repeat(exact, 10, axis=0), np.tile(exact, (10, 1)))
    found = boxes.rotated_iou(strided, strided)
    assert found.dtype == boxes.paired_iou(a, strided).dtype == dtype
    tolerance = 1e-6 if dtype != torch.bfloat16 else 2**-8
    np.testing.assert_allclose(found.double(), expected.reshape(10, 10), atol=tolerance)


@pytest.mark.parametrize("size", [4, 5])
def test_no_boxes(size):
    none, some = torch.zeros(0, size), torch.ones(3, size)
    assert boxes.box_iou(none, some).shape == (0, 3)
    assert boxes.box_iou(some, none).shape == (3, 0)
    assert boxes.box_iou(none, none).shape == (0, 0)
    assert boxes.paired_iou(none, none).shape == (0,)


def test_boxes_of_two_forms_are_refused():
    for function in (boxes.box_iou, boxes.paired_iou, boxes.rotated_iou):
        with pytest.raises(ShapeError, match=r"\(N, 4\) xyxy or \(N, 5\)"):
            function(torch.zeros(2, 5), torch.zeros(2, 4))
    with pytest.raises(ShapeError, match="as many"):
        boxes.paired_iou(torch.zeros(2, 5), torch.zeros(3, 5))
    with pytest.raises(ShapeError, match="rotated boxes"):
        boxes.rotated_iou(torch.zeros(2, 4), torch.zeros(3, 4))


def test_whole_numbers_and_half_precision():
    """A third, of integers too; and areas that half precision cannot hold."""
    a, b = torch.tensor([[0, 0, 40, 10]]), torch.tensor([[20, 0, 60, 10]])
    assert boxes.paired_iou(a, b).tolist() == pytest.approx([1 / 3])
    a, b = torch.tensor([[20, 5, 40, 10, 0]]), torch.tensor([[40, 5, 40, 10, 0]])
    assert boxes.paired_iou(a, b).tolist() == pytest.approx([1 / 3])
    assert boxes.box_iou(a, b).item() == pytest.approx(1 / 3)
    large = torch.tensor([[0, 0, 400, 400]], dtype=torch.float16)
    assert boxes.paired_iou(large, large).tolist() == [1]
