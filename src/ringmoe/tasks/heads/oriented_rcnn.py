"""Oriented R-CNN: rotated proposals from horizontal anchors, read along their own axes, refined.

Xie et al. 2021 (arXiv:2108.05699). As in the Faster R-CNN here, losses are means over each image's
own boxes, what is drawn follows from the image's name, and ignored objects are neither learnt nor
background. Boxes are refined alike for all classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, Matcher
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList

from ringmoe.boxes import ObjectBatch, Objects, box_iou, nms, rotated_roi_align
from ringmoe.boxes.overlap import enclosing_xyxy
from ringmoe.models.products import without_autocast
from ringmoe.tasks.heads.blocks import in_full
from ringmoe.tasks.heads.detections import (
    Detections,
    Selection,
    covered,
    inside,
    seeded,
)
from ringmoe.tasks.heads.fpn import RATIOS, RESOLUTION, STRIDES, DetectionPyramid, make_anchors
from ringmoe.tasks.heads.midpoint_offset import (
    decode_midpoints,
    decode_rotated,
    encode_midpoints,
    encode_rotated,
)
from ringmoe.training import Terms

CANDIDATES, PROPOSALS = 1000, 500  # of a level before suppression, of an image after it
OVERLAP = 0.8  # of two proposals whose horizontal boxes overlap by more, only the better
FINEST = 112.0  # proposals up to so many pixels (root of the area) are read at stride 4, as in FPN
SMOOTH = 1 / 9  # where the loss of boxes turns from square to linear, as torchvision's

_ANCHORS = Matcher(0.7, 0.3, allow_low_quality_matches=True)
_OBJECTS = Matcher(0.5, 0.5)
_DRAW_ANCHORS = BalancedPositiveNegativeSampler(256, 0.5)
_DRAW_PROPOSALS = BalancedPositiveNegativeSampler(128, 0.25)


class OrientedRCNN(nn.Module):
    """The pyramid network, rotated proposals and the second stage.

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        classes: How many, without background.
        channels: Of the pyramid; the second stage has four times as many.
        anchor_sizes: Pixels, one a level.
        selection: Which boxes are given.
    """

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        *,
        channels: int,
        anchor_sizes: Sequence[float],
        selection: Selection,
    ) -> None:
        super().__init__()
        self.selection = selection
        self.pyramid = DetectionPyramid(widths, channels)
        self.anchors = make_anchors(anchor_sizes)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, len(RATIOS), 1)
        self.midpoints = nn.Conv2d(channels, 6 * len(RATIOS), 1)
        hidden = 4 * channels
        self.second = TwoMLPHead(channels * RESOLUTION**2, hidden)
        self.classify = nn.Linear(hidden, classes + 1)  # background is the first
        self.refine = nn.Linear(hidden, 5)
        for layer in (self.conv, self.objectness, self.midpoints):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> OrientedRCNNDetections:
        """Maps, and what the first stage says of every anchor."""
        (pyramid,) = pyramids
        maps = self.pyramid(pyramid)
        seen = [F.relu(self.conv(level)) for level in maps]
        objectness = [_by_anchor(self.objectness(level), 1) for level in seen]
        maps = [in_full(level) for level in maps]
        images = ImageList(maps[0].new_empty(1, 0, *size), [size])
        return OrientedRCNNDetections(
            head=self,
            maps=maps,
            size=size,
            anchors=self.anchors(images, maps)[0],
            objectness=torch.cat(objectness, 1).squeeze(2),
            codes=torch.cat([_by_anchor(self.midpoints(level), 6) for level in seen], 1),
            counts=tuple(level.shape[1] for level in objectness),
        )

    def look(self, maps: Sequence[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """The second stage.

        Args:
            maps: Of the pyramid.
            rois: `(R, 6)`: the image's number and a rotated box.

        Returns:
            `(R, K + 1)` logits and `(R, 5)` refinements of the boxes.
        """
        size = rois[:, 3:5].prod(1).clamp(min=1e-6).sqrt()
        level = (size / FINEST).log2().floor().long().add(1).clamp(0, len(maps) - 1)
        shape = (len(rois), maps[0].shape[1], RESOLUTION, RESOLUTION)
        features = maps[0].new_zeros(shape)
        for number, (values, stride) in enumerate(zip(maps, STRIDES, strict=True)):
            mine = (level == number).nonzero().squeeze(1)
            part = rotated_roi_align(values, rois[mine], RESOLUTION, 1 / stride)
            features = features.index_copy(0, mine, part)
        hidden = self.second(features)
        return self.classify(hidden), self.refine(hidden)


@dataclass(frozen=True, eq=False)
class OrientedRCNNDetections(Detections):
    """What the first stage says, A anchors an image.

    Attributes:
        head: For the second stage.
        maps: Of the pyramid.
        size: Height and width of the images.
        anchors: `(A, 4)` xyxy, the same of all images.
        objectness: `(B, A)` logits.
        codes: `(B, A, 6)` midpoint offsets.
        counts: Anchors of each level.
    """

    head: OrientedRCNN
    maps: Sequence[Tensor]
    size: tuple[int, int]
    anchors: Tensor
    objectness: Tensor
    codes: Tensor
    counts: tuple[int, ...]

    def losses(self, labels: ObjectBatch) -> Terms:
        """Sums over images of each image's means: divide them by the images."""
        zero = self.objectness.new_zeros(())
        sums = {"objectness": zero, "proposal_box": zero}
        drawn = []
        with without_autocast(self.maps[0]):
            for number, name in enumerate(labels.names):
                mine = labels.images == number
                truth = _Truth(
                    labels.boxes[mine & ~labels.ignored].to(self.codes.dtype),
                    labels.classes[mine & ~labels.ignored],
                    labels.boxes[mine & labels.ignored].to(self.codes.dtype),
                )
                with seeded(name, self.anchors.device):
                    first = self._first(number, truth)
                    drawn.append(self._draw(number, truth))
                sums = {key: sums[key] + value for key, value in first.items()}
            return sums | self._second(drawn)

    def _first(self, number: int, truth: _Truth) -> Terms:
        """Losses of the proposals of one image."""
        around = enclosing_xyxy(truth.boxes)
        matched, state = _match(_ANCHORS, around, self.anchors)
        state[(state == 0) & covered(self.anchors, enclosing_xyxy(truth.ignored))] = -1
        ((positive,), (negative,)) = (
            [mask.nonzero().squeeze(1) for mask in masks] for masks in _DRAW_ANCHORS([state])
        )
        both = torch.cat([positive, negative])
        count = max(1, len(both))
        target = encode_midpoints(truth.boxes[matched[positive]], self.anchors[positive])
        found = self.codes[number, positive]
        scores = self.objectness[number, both]
        return {
            "objectness": F.binary_cross_entropy_with_logits(
                scores, state[both].to(scores.dtype), reduction="sum"
            )
            / count,
            "proposal_box": F.smooth_l1_loss(found, target, beta=SMOOTH, reduction="sum") / count,
        }

    def _draw(self, number: int, truth: _Truth) -> _Drawn:
        """Proposals of one image to learn from, the objects themselves among them."""
        boxes = torch.cat([self._proposals(number), truth.boxes])
        matched, state = _match(_OBJECTS, truth.boxes, boxes)
        state[(state == 0) & covered(boxes, truth.ignored)] = -1
        ((positive,), (negative,)) = _DRAW_PROPOSALS([state])
        chosen = (positive | negative).nonzero().squeeze(1)
        learnt, matched = state[chosen] > 0, matched[chosen]
        kinds = torch.zeros_like(chosen)
        kinds[learnt] = truth.classes[matched[learnt]] + 1
        target = boxes[chosen].clone()
        target[learnt] = truth.boxes[matched[learnt]]
        return _Drawn(_with_image(boxes[chosen], number), kinds, target)

    def _second(self, drawn: Sequence[_Drawn]) -> Terms:
        """Losses of the second stage, of all images at once."""
        if not drawn:
            zero = self.objectness.new_zeros(())
            return {"class": zero, "box": zero}
        rois = torch.cat([one.rois for one in drawn])
        kinds = torch.cat([one.kinds for one in drawn])
        counts = [len(one.kinds) for one in drawn]
        weight = torch.cat([rois.new_full((n,), 1 / max(1, n)) for n in counts])
        scores, codes = self.head.look(self.maps, rois)
        learnt = kinds > 0
        target = encode_rotated(torch.cat([one.boxes for one in drawn])[learnt], rois[learnt, 1:])
        errors = F.smooth_l1_loss(codes[learnt], target, beta=SMOOTH, reduction="none").sum(1)
        entropy = F.cross_entropy(scores, kinds, reduction="none")
        return {"class": (entropy * weight).sum(), "box": (errors * weight[learnt]).sum()}

    @torch.no_grad()
    def _proposals(self, number: int) -> Tensor:
        """Of one image, those with the centre in it, `(P, 5)`, by falling score."""
        offsets = torch.tensor([0, *self.counts]).cumsum(0).tolist()
        best, levels = [], []
        for place, values in enumerate(self.objectness[number].split(self.counts)):
            top = values.topk(min(CANDIDATES, len(values))).indices
            best.append(top + offsets[place])
            levels.append(torch.full_like(top, place))
        index = torch.cat(best)
        boxes = decode_midpoints(self.codes[number, index], self.anchors[index])
        boxes[:, 2:4] = boxes[:, 2:4].clamp(max=math.hypot(*self.size))
        scores, level = self.objectness[number, index], torch.cat(levels)
        height, width = self.size
        here = inside(boxes[:, :2], boxes.new_tensor([[0.0, 0, width, height]]))[0]
        boxes, scores, level = boxes[here], scores[here], level[here]
        return boxes[nms(enclosing_xyxy(boxes), scores, OVERLAP, level)[:PROPOSALS]]

    @torch.no_grad()
    def objects(self) -> list[Objects]:
        """Proposals, classified and refined."""
        found = []
        with without_autocast(self.maps[0]):
            for number in range(len(self.objectness)):
                rois = _with_image(self._proposals(number), number)
                scores, codes = self.head.look(self.maps, rois)
                boxes = decode_rotated(codes, rois[:, 1:])
                found.append(self.head.selection.of(boxes, scores.softmax(1)[:, 1:]))
        return found


@dataclass(frozen=True, eq=False)
class _Truth:
    """Objects of one image: boxes and classes, and boxes to be ignored."""

    boxes: Tensor
    classes: Tensor
    ignored: Tensor


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Of some proposals: with the image's number, class (0 background), the object's box."""

    rois: Tensor
    kinds: Tensor
    boxes: Tensor


def _match(matcher: Matcher, truth: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Of each box an object, and whether it is one (1), is none (0), or neither (-1)."""
    if not len(truth) or not len(boxes):
        nothing = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return nothing, nothing.clone()
    found = matcher(box_iou(truth, boxes))
    state = torch.where(found == Matcher.BELOW_LOW_THRESHOLD, 0, 1)
    state[found == Matcher.BETWEEN_THRESHOLDS] = -1
    return found.clamp(min=0), state


def _with_image(boxes: Tensor, number: int) -> Tensor:
    return F.pad(boxes, (1, 0), value=float(number))


def _by_anchor(x: Tensor, numbers: int) -> Tensor:
    """`(B, A * n, H, W)` to `(B, H * W * A, n)`, as torchvision orders anchors."""
    return in_full(x).unflatten(1, (-1, numbers)).permute(0, 3, 4, 1, 2).flatten(1, 3)
