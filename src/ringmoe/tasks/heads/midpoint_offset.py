"""Rotated boxes as numbers to be predicted: relative to anchors, and to other rotated boxes.

Both after Xie et al. 2021, "Oriented R-CNN for Object Detection" (arXiv:2108.05699).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ringmoe.tasks.heads.detections import in_frame

LARGEST = math.log(1000 / 16)  # as torchvision's: what is multiplied by more is not meant
UPRIGHT = 1e-3  # radians: a box that is turned by less is taken as one that is not
SCALE = (10.0, 10.0, 5.0, 5.0, 10.0)  # of offsets, edges and angle in the second stage, to order 1


def encode_midpoints(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Midpoint offsets of rotated boxes, equations 1 and 2 of the paper backwards.

    The horizontal box around a rotated one, as Faster R-CNN has it; and how far along the top the
    highest corner is from the middle, and along the right side the rightmost one, over the
    horizontal box's width and height. An upright box has two highest corners, and takes the right
    one; of the two rightmost, the lower. So does one that is hardly turned: a corner of an edge
    that is drawn one pixel off in a thousand must not jump from one end to the other.

    Args:
        boxes: `(N, 5)` cxcywhr.
        anchors: `(N, 4)` xyxy.

    Returns:
        `(N, 6)`.
    """
    quarter = math.pi / 2
    turn = (boxes[:, 4] + UPRIGHT) % quarter - UPRIGHT
    swapped = ((boxes[:, 4] - turn) / quarter).round() % 2 == 1
    edges = torch.where(swapped[:, None], boxes[:, [3, 2]], boxes[:, 2:4])
    turn = torch.where(turn < UPRIGHT, torch.zeros_like(turn), turn)
    # along the edge that rises to the right, by less than a quarter turn, and across it
    (a, b), cos, sin = edges.unbind(-1), turn.cos(), turn.sin()
    size = torch.stack([a * cos + b * sin, a * sin + b * cos], -1).clamp(min=1e-6)
    highest, rightmost = (a * cos - b * sin) / 2, (b * cos - a * sin) / 2
    start, extent = _centre_and_size(anchors)
    return torch.cat(
        [
            (boxes[:, :2] - start) / extent,
            (size / extent).log(),
            (highest / size[:, 0])[:, None],
            (rightmost / size[:, 1])[:, None],
        ],
        -1,
    )


def decode_midpoints(codes: Tensor, anchors: Tensor) -> Tensor:
    """Rotated boxes of midpoint offsets.

    The four points are a parallelogram; its shorter diagonal is drawn out to the length of the
    longer one, which makes it a rectangle (section 3.1 of the paper).

    Args:
        codes: `(N, 6)`.
        anchors: `(N, 4)` xyxy.

    Returns:
        `(N, 5)` cxcywhr with the long edge first.
    """
    start, extent = _centre_and_size(anchors)
    centre = start + codes[:, :2] * extent
    size = extent * codes[:, 2:4].clamp(max=LARGEST).exp()
    top = torch.stack([codes[:, 4].clamp(-0.5, 0.5) * size[:, 0], -size[:, 1] / 2], -1)
    right = torch.stack([size[:, 0] / 2, codes[:, 5].clamp(-0.5, 0.5) * size[:, 1]], -1)
    reach = [half.norm(dim=-1, keepdim=True).clamp(min=1e-6) for half in (top, right)]
    longest = torch.maximum(*reach)
    top, right = top * longest / reach[0], right * longest / reach[1]
    one, other = right - top, right + top  # two edges of the rectangle
    lengths = one.norm(dim=-1), other.norm(dim=-1)
    edge = torch.where((lengths[0] >= lengths[1])[:, None], one, other)
    angle = torch.atan2(-edge[:, 1], edge[:, 0])
    edges = torch.stack([torch.maximum(*lengths), torch.minimum(*lengths), angle], -1)
    return torch.cat([centre, edges], -1)


def encode_rotated(boxes: Tensor, proposals: Tensor) -> Tensor:
    """Rotated boxes relative to others, in their frames.

    A box is the same with its edges exchanged and a quarter turn: the form is taken whose angle is
    nearer to the proposal's, so that what is to be predicted is at most an eighth of a turn.

    Args:
        boxes: `(N, 5)` cxcywhr.
        proposals: `(N, 5)`.

    Returns:
        `(N, 5)`, times `SCALE`.
    """
    turn = _half_turn(boxes[:, 4] - proposals[:, 4])
    swapped = turn.abs() > math.pi / 4
    turn = torch.where(swapped, _half_turn(turn + math.pi / 2), turn)
    edges = torch.where(swapped[:, None], boxes[:, [3, 2]], boxes[:, 2:4]).clamp(min=1e-6)
    extent = proposals[:, 2:4].clamp(min=1e-6)
    offset = torch.stack(in_frame(boxes[:, :2] - proposals[:, :2], proposals[:, 4]), -1)
    codes = torch.cat([offset / extent, (edges / extent).log(), turn[:, None]], -1)
    return codes * codes.new_tensor(SCALE)


def decode_rotated(codes: Tensor, proposals: Tensor) -> Tensor:
    """The boxes again, `(N, 5)`, not necessarily canonical."""
    codes = codes / codes.new_tensor(SCALE)
    extent = proposals[:, 2:4].clamp(min=1e-6)
    along, across = (codes[:, :2] * extent).unbind(-1)
    cos, sin = proposals[:, 4].cos(), proposals[:, 4].sin()
    offset = torch.stack([along * cos - across * sin, -along * sin - across * cos], -1)
    edges = extent * codes[:, 2:4].clamp(max=LARGEST).exp()
    return torch.cat([proposals[:, :2] + offset, edges, proposals[:, 4:] + codes[:, 4:]], -1)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def _half_turn(angle: Tensor) -> Tensor:
    """To [-pi/2, pi/2): boxes are the same after half a turn."""
    return (angle + math.pi / 2) % math.pi - math.pi / 2
