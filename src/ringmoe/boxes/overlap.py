"""How much boxes overlap: intersection over union (IoU), horizontal and rotated.

The intersection of two rotated boxes needs no clipped polygon, and so no sorting of its corners. In
the frame of the second box, which is there the window |x| <= W, |y| <= H, cut the first box
vertically at x: it spans [bottom(x), top(x)], of which the window keeps
`clamp(top) - clamp(bottom)`, clamped to [-H, H], because clamping keeps the order. Hence the area
is the integral of the clamped height under each of the four edges between x = -W and x = W, signed
by the edge's direction: four terms a pair, each in closed form. They are continuous in the boxes,
so that edges that coincide are no special case.
"""

from __future__ import annotations

import torch
import torchvision.ops
from torch import Tensor

from ringmoe.errors import ShapeError

# Pairs worked on at once: what is computed of them stays in a core's cache, or fills a GPU.
_PAIRS_CPU, _PAIRS_GPU = 1 << 13, 1 << 20
# Entries of an IoU matrix whose enclosing boxes are compared at once.
_ENTRIES = 1 << 20


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of each box with each.

    Args:
        a: `(N, 4)` xyxy or `(N, 5)` cxcywhr.
        b: `(M, 4)` or `(M, 5)`, of the same form.

    Returns:
        `(N, M)` in [0, 1], 0 where a box has no area.

    Raises:
        ShapeError: The boxes are of no form or of two.
    """
    if _form(a, b) == 5:
        return rotated_iou(a, b)
    return torchvision.ops.box_iou(a, b).nan_to_num(nan=0.0)  # two boxes without area: 0 / 0


@torch.no_grad()
def rotated_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of each rotated box with each, exact to rounding in float64.

    Only pairs whose enclosing horizontal boxes overlap are computed, a limited number at a time.

    Args:
        a: `(N, 5)` cxcywhr, not necessarily canonical.
        b: `(M, 5)`.

    Returns:
        `(N, M)` of a's type (float64 of integers), in [0, 1], 0 where a box has no area. It has no
        gradient; losses are in `ringmoe.boxes.gaussian`.

    Raises:
        ShapeError: The boxes are not rotated boxes.
    """
    if _form(a, b) != 5:
        raise ShapeError(f"rotated boxes are (N, 5) cxcywhr, got {tuple(a.shape)}")
    result = torch.zeros(len(a), len(b), dtype=_real(a), device=a.device)
    a, b = a.double(), b.double()
    low_a, high_a = enclosing_xyxy(a).unsqueeze(1).split(2, dim=-1)
    low_b, high_b = enclosing_xyxy(b).split(2, dim=-1)
    rows = max(1, _ENTRIES // max(1, len(b)))
    for start in range(0, len(a), rows):
        part = slice(start, start + rows)
        touch = (torch.maximum(low_a[part], low_b) < torch.minimum(high_a[part], high_b)).all(-1)
        i, j = touch.nonzero(as_tuple=True)
        result[i + start, j] = pairs_iou(a, b, i + start, j).to(result.dtype)
    return result


@torch.no_grad()
def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of each box with the one in the same place.

    Args:
        a: `(N, 4)` xyxy or `(N, 5)` cxcywhr.
        b: `(N, 4)` or `(N, 5)`, of the same form.

    Returns:
        `(N,)` of a's type (float64 of integers), in [0, 1], 0 where a box has no area. It has no
        gradient.

    Raises:
        ShapeError: The boxes are of no form or of two, or not as many.
    """
    form = _form(a, b)
    if len(a) != len(b):
        raise ShapeError(f"boxes in pairs are as many on both sides, got {len(a)} and {len(b)}")
    kind, a, b = _real(a), a.double(), b.double()
    if form == 5:
        each = torch.arange(len(a), device=a.device)
        return pairs_iou(a, b, each, each).to(kind)
    shared = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    areas = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return _ratio(shared.clamp(min=0).prod(-1), *areas).to(kind)


def _real(boxes: Tensor) -> torch.dtype:
    return boxes.dtype if boxes.is_floating_point() else torch.float64


def pairs_iou(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """IoU of the pairs `(a[i], b[j])` of rotated boxes: `(P,)` of float64 boxes and indices."""
    limit = _PAIRS_CPU if a.device.type == "cpu" else _PAIRS_GPU
    frames_a, frames_b = _frames(a), _frames(b)
    parts = [
        _frames_iou(frames_a.index_select(1, one), frames_b.index_select(1, other))
        for one, other in zip(i.split(limit), j.split(limit), strict=True)
    ]
    return torch.cat(parts) if parts else a.new_zeros(0)


def enclosing_xyxy(boxes: Tensor) -> Tensor:
    """The smallest horizontal boxes around rotated ones: `(..., 5)` to `(..., 4)`."""
    centre, edges, angle = boxes.split((2, 2, 1), dim=-1)
    cos, sin = angle.cos().abs(), angle.sin().abs()
    width, height = edges.split(1, dim=-1)
    reach = torch.cat([width * cos + height * sin, width * sin + height * cos], dim=-1) / 2
    return torch.cat([centre - reach, centre + reach], dim=-1)


def _frames(boxes: Tensor) -> Tensor:
    """Rotated boxes `(N, 5)` as centre (y up), half edges, cosine and sine: `(6, N)`."""
    x, y, width, height, angle = boxes.unbind(-1)
    return torch.stack([x, -y, width / 2, height / 2, angle.cos(), angle.sin()])


def _frames_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of `(6, P)` frames with `(6, P)` frames: the integral that the module describes."""
    ax, ay, aw, ah, a_cos, a_sin = a
    bx, by, bw, bh, b_cos, b_sin = b
    # The first box in the second's frame: its centre, and its half edges as vectors.
    right, up = ax - bx, ay - by
    x, y = right * b_cos + up * b_sin, up * b_cos - right * b_sin
    cos, sin = a_cos * b_cos + a_sin * b_sin, a_sin * b_cos - a_cos * b_sin
    wx, wy, hx, hy = aw * cos, aw * sin, -ah * sin, ah * cos
    # Counter-clockwise from the corner +w -h: each edge's start and the way to its end.
    start_x = torch.stack([x + wx - hx, x + wx + hx, x - wx + hx, x - wx - hx])
    start_y = torch.stack([y + wy - hy, y + wy + hy, y - wy + hy, y - wy - hy])
    way_x = torch.stack([hx, -wx, -hx, wx]).mul_(2)
    way_y = torch.stack([hy, -wy, -hy, wy]).mul_(2)
    # The part of the edge within |x| <= W; an upright edge has none that counts.
    from_x = start_x.clamp(-bw, bw)
    till_x = (start_x + way_x).clamp(-bw, bw)
    run = way_x.masked_fill(way_x == 0, 1)
    from_y = start_y + ((from_x - start_x) / run).clamp_(0, 1) * way_y
    till_y = start_y + ((till_x - start_x) / run).clamp_(0, 1) * way_y
    # clamp(y, -H, H) = relu(y + H) - relu(y - H) - H, and the last adds up to 0 around the box.
    height = _mean_positive(from_y + bh, till_y + bh) - _mean_positive(from_y - bh, till_y - bh)
    return _ratio(((from_x - till_x) * height).sum(0), 4 * aw * ah, 4 * bw * bh)


def _mean_positive(first: Tensor, last: Tensor) -> Tensor:
    """The mean of relu over values that go evenly from first to last, without cancellation."""
    positive = first.clamp(min=0) + last.clamp(min=0)
    share = positive / (last - first).abs().clamp_(min=1e-300)  # at least 1 if both are positive
    return positive * share.clamp_(max=1) / 2


def _ratio(shared: Tensor, area_a: Tensor, area_b: Tensor) -> Tensor:
    """IoU of areas; rounding must not take it out of [0, 1], nor missing areas to NaN.

    Below 1e-12 it is 0: boxes that only come near one another have no more than rounding.
    """
    shared = torch.minimum(shared.clamp(min=0), torch.minimum(area_a, area_b))
    union = area_a + area_b - shared
    return torch.where(shared > 1e-12 * union, shared / union, 0)


def _form(a: Tensor, b: Tensor) -> int:
    """The length of the last axis of boxes: 4 or 5."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] not in (4, 5):
        raise ShapeError(
            "boxes are (N, 4) xyxy or (N, 5) cxcywhr, both of one form, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    return a.shape[1]
