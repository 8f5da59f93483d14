"""Rotated RoI align against torchvision's upright one, turned maps and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import roi_align

from ringmoe import boxes
from ringmoe.errors import ShapeError


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Image index and box, in pixels of an image of 4 times the map's 24 x 20: inside, across the
# border, outside, smaller than a pixel.
ROIS = torch.tensor(
    [
        [2, 40, 40, 40, 20, 0],
        [0, 30.7, 50.1, 33, 17, 0],
        [0, 4, 60, 30, 22, 0],
        [2, 90, 2, 40, 40, 0],
        [0, 300, 300, 9, 8, 0],
        [2, 47.9, 33.3, 2, 0.5, 0],
    ],
    dtype=torch.float64,
)


@pytest.mark.parametrize("sampling", [1, 2, 3])
def test_upright_it_is_torchvisions(sampling):
    """Images of a batch in any order, one without a RoI; the border too."""
    maps = drawn(3, 4, 20, 24)
    upright = torch.tensor(boxes.cxcywhr_to_xyxy(ROIS[:, 1:].numpy()))
    theirs = roi_align(
        maps, torch.cat([ROIS[:, :1], upright], dim=1), 5, 0.25, sampling, aligned=True
    )
    ours = boxes.rotated_roi_align(maps, ROIS, 5, 0.25, sampling=sampling)
    torch.testing.assert_close(ours, theirs)
    assert ours[4].abs().max() == 0  # outside


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_with_the_map(quarters):
    """A map and its boxes turned counter-clockwise by quarters show the same: a point (x, y) of an
    image W wide comes to (y, W - x)."""
    maps = drawn(3, 4, 20, 24)
    expected = boxes.rotated_roi_align(maps, ROIS, 5, 0.25)
    rois, width, height = ROIS.clone(), 96, 80
    for _ in range(quarters):
        x, y = rois[:, 1].clone(), rois[:, 2].clone()
        rois[:, 1], rois[:, 2] = y, width - x
        rois[:, 5] += math.pi / 2
        width, height = height, width
    turned = torch.rot90(maps, quarters, (2, 3))  # counter-clockwise as displayed
    torch.testing.assert_close(boxes.rotated_roi_align(turned, rois, 5, 0.25), expected)


def test_at_a_quarter_turn_the_box_lies_on_its_side():
    """A box that points up covers the pixels of the upright box with its edges swapped; its
    columns go up, its rows to the right."""
    maps = drawn(1, 2, 16, 16)
    up = torch.tensor([[0, 8, 7, 6, 4, math.pi / 2]], dtype=torch.float64)
    lying = torch.tensor([[0, 8, 7, 4, 6, 0]], dtype=torch.float64)
    found = boxes.rotated_roi_align(maps, up, 4, 1.0)
    expected = boxes.rotated_roi_align(maps, lying, 4, 1.0)
    torch.testing.assert_close(found, torch.rot90(expected, -1, (2, 3)))


@settings(max_examples=30)
@given(
    st.floats(10, 22),
    st.floats(10, 18),
    st.floats(0, 12),
    st.floats(0, 8),
    st.floats(-7, 7),
    st.sampled_from([1, 2, 7]),
)
def test_linear_ramps_are_exact(x, y, width, height, angle, size):
    """Bilinear interpolation and means over centred points keep a ramp a + b x + c y: each bin has
    its value at the bin's centre, which is at (j + 1/2) / size of the way along the edges."""
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(32.0), indexing="ij")
    ramp = (3 + 0.5 * (columns + 0.5) - 0.25 * (rows + 0.5)).double()[None, None]
    roi = torch.tensor([[0, 2 * x, 2 * y, 2 * width, 2 * height, angle]], dtype=torch.float64)
    found = boxes.rotated_roi_align(ramp, roi, size, 0.5)[0, 0]
    steps = (np.arange(size) + 0.5) / size - 0.5
    along, down = width * steps[None, :], height * steps[:, None]
    at_x = x + along * np.cos(angle) + down * np.sin(angle)
    at_y = y - along * np.sin(angle) + down * np.cos(angle)
    np.testing.assert_allclose(found, 3 + 0.5 * at_x - 0.25 * at_y, atol=1e-9)


def test_the_front_is_on_the_right():
    """Of the corners of forms.py, front left is the grid's top right: what lies there is seen
    there. One bright pixel near that corner of a box at 30 degrees."""
    box = np.array([16.0, 16, 20, 12, math.radians(30)])
    corner = boxes.cxcywhr_to_corners(box)[:2]
    column, row = np.floor(box[:2] + 0.8 * (corner - box[:2])).astype(int)
    one = torch.zeros(1, 1, 32, 32)
    one[0, 0, row, column] = 1
    roi = torch.tensor([[0, *box]], dtype=torch.float32)
    found = boxes.rotated_roi_align(one, roi, 2, 1.0)[0, 0]
    assert found[0, 1] > 0 and found.sum() == found[0, 1]


def test_gradients():
    """With respect to the maps, against finite differences; a map that no box sees has none."""
    maps = drawn(2, 1, 6, 6).requires_grad_()
    rois = torch.tensor([[1, 3, 3, 4, 2, 0.7], [1, 1, 5, 5, 3, -1.2]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: boxes.rotated_roi_align(m, rois, 2, 1.0), maps)
    boxes.rotated_roi_align(maps, rois, 2, 1.0).sum().backward()
    assert maps.grad[0].abs().max() == 0
    assert maps.grad[1].abs().max() > 0


def test_types_strides_and_no_boxes():
    maps = drawn(3, 4, 20, 24)
    expected = boxes.rotated_roi_align(maps, ROIS, 3, 0.25)
    channels_last = maps.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        boxes.rotated_roi_align(channels_last, ROIS.T.contiguous().T, 3, 0.25), expected
    )
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.02)):
        found = boxes.rotated_roi_align(maps.to(dtype), ROIS.float(), 3, 0.25)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
    maps.requires_grad_()
    none = boxes.rotated_roi_align(maps, torch.zeros(0, 6), 3, 0.25)
    assert none.shape == (0, 4, 3, 3)
    none.sum().backward()  # a batch without proposals trains like any other


def test_mistakes_are_named():
    with pytest.raises(ShapeError, match=r"RoIs \(N, 6\), got \(1, 1, 4, 4\) and \(2, 5\)"):
        boxes.rotated_roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(2, 5), 2, 1.0)
