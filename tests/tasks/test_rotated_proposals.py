"""Oriented R-CNN's first stage: which anchors learn an object, and what is there to refine."""

import math

import numpy as np
import torch
from torch.testing import assert_close

from ringmoe.boxes import rotated_iou
from ringmoe.boxes.overlap import enclosing_xyxy
from ringmoe.tasks import OrientedDetection
from ringmoe.tasks.heads import rotated_proposals as proposals
from ringmoe.tasks.heads.detections import seeded
from ringmoe.tasks.heads.fpn import STRIDES, make_anchors


def anchors_of(size: int) -> torch.Tensor:
    """Those of an image, with the task's own sizes."""
    from torchvision.models.detection.image_list import ImageList

    image = torch.zeros(1, 3, size, size)
    maps = [torch.zeros(1, 1, size // stride, size // stride) for stride in STRIDES]
    sizes = OrientedDetection(classes=("ship",)).anchor_sizes
    return make_anchors(sizes)(ImageList(image, [(size, size)]), maps)[0]


def random_ships(number: int, size: int) -> torch.Tensor:
    """Long and thin, as in SAR of 2 m pixels: 12 to 55 pixels, six times as long as wide."""
    rng = np.random.default_rng(0)
    length = rng.uniform(12, 55, number)
    place = rng.uniform(30, size - 30, (2, number))
    return torch.tensor(np.stack([*place, length, length / 6, rng.uniform(-1.57, 1.57, number)], 1))


def learnt(boxes: torch.Tensor, size: int) -> torch.Tensor:
    """How many anchors learn each box."""
    matched, state = proposals._match(
        proposals._ANCHORS, enclosing_xyxy(boxes), anchors_of(size).double(), least=proposals.LEAST
    )
    return torch.bincount(matched[state == 1], minlength=len(boxes))


def test_thin_ships_are_learnt_by_several_anchors():
    """By one each, the loss of boxes would be drowned by that of hundreds of other anchors."""
    counts = torch.cat([learnt(ship[None], 256) for ship in random_ships(60, 256)])
    assert (counts > 0).all() and counts.double().mean() > 5


def test_what_no_anchor_is_like_teaches_none():
    huge = torch.tensor([[128.0, 128, 1200, 1200, 0.0]]).double()
    nothing = torch.tensor([[128.0, 128, 0, 0, 0.0]]).double()
    assert learnt(huge, 256).tolist() == [0] and learnt(nothing, 256).tolist() == [0]


def test_copies_are_a_little_off():
    """Most overlap their object by more than half, none is the object, turns follow the aspect."""
    ships = random_ships(200, 256)
    with seeded("a", 0, torch.device("cpu")):
        copies = proposals.shaken(ships)
    with seeded("a", 0, torch.device("cpu")):
        assert_close(proposals.shaken(ships), copies, atol=0, rtol=0)
    assert copies.shape == (proposals.COPIES * len(ships), 5)
    overlap = rotated_iou(copies, ships)
    own = overlap[torch.arange(len(copies)), torch.arange(len(ships)).repeat(proposals.COPIES)]
    assert 0.85 < (own > 0.5).double().mean() < 1 and own.max() < 1
    turns = (copies[:, 4] - ships.repeat(proposals.COPIES, 1)[:, 4]).std()
    assert math.isclose(turns, proposals.SHAKEN[4] / 6, rel_tol=0.1)


def test_how_much_of_a_proposal_an_image_shows():
    """Of 20 x 10: all, half beyond the left edge, a quarter in the corner, nothing, no area."""
    corners = [[5, 5, 25, 15], [-10, 5, 10, 15], [54, 43, 74, 53], [80, 5, 100, 15], [9, 9, 9, 9]]
    shown = proposals._shown(torch.tensor(corners).float(), (48, 64))
    assert_close(shown, torch.tensor([1, 0.5, 0.25, 0, 0]))
