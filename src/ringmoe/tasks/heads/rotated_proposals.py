"""What Oriented R-CNN's first stage says: its losses, and the boxes that are made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, Matcher

from ringmoe.boxes import ObjectBatch, Objects, box_iou, nms
from ringmoe.boxes.overlap import enclosing_xyxy
from ringmoe.models.products import without_autocast
from ringmoe.tasks.heads.detections import (
    CANDIDATES,
    DOUBT,
    Detections,
    check_finite,
    covered,
    seeded,
)
from ringmoe.tasks.heads.midpoint_offset import (
    SCALE,
    decode_midpoints,
    decode_rotated,
    encode_midpoints,
    encode_rotated,
)
from ringmoe.training import Terms

if TYPE_CHECKING:
    from ringmoe.tasks.heads.oriented_rcnn import OrientedRCNN

PROPOSALS = 500  # of an image, after suppression
OVERLAP = 0.8  # of two proposals whose horizontal boxes overlap by more, only the better
SHOWN = 0.3  # share of a proposal's horizontal box in the image, as of objects that are cut
SMOOTH = 1 / 9  # where the loss of boxes turns from square to linear, as torchvision's

LEAST = 0.2  # IoU of an object's nearest anchors, from which on they learn it
COPIES = 8  # of each object, a little off, to learn to refine
SHAKEN = (0.08, 0.12, 0.12, 0.15, 0.35)  # deviations: along, across, edges, angle by aspect

_ANCHORS = Matcher(0.5, 0.3, allow_low_quality_matches=True)
_OBJECTS = Matcher(0.5, 0.5)
_DRAW_ANCHORS = BalancedPositiveNegativeSampler(256, 0.5)
_DRAW_PROPOSALS = BalancedPositiveNegativeSampler(128, 0.25)


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
            for number, about in enumerate(zip(labels.names, labels.draws, strict=True)):
                mine = labels.images == number
                truth = _Truth(
                    labels.boxes[mine & ~labels.ignored].to(self.codes.dtype),
                    labels.classes[mine & ~labels.ignored],
                    labels.boxes[mine & labels.ignored].to(self.codes.dtype),
                )
                with seeded(*about, self.anchors.device):
                    first = self._first(number, truth)
                    drawn.append(self._draw(number, truth))
                sums = {key: sums[key] + value for key, value in first.items()}
            return sums | self._second(drawn)

    def _first(self, number: int, truth: _Truth) -> Terms:
        """Losses of the proposals of one image."""
        around = enclosing_xyxy(truth.boxes)
        matched, state = _match(_ANCHORS, around, self.anchors, least=LEAST)
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
            # over what is learnt, not what is drawn: of small objects that is a few in hundreds
            "proposal_box": F.smooth_l1_loss(found, target, beta=SMOOTH, reduction="sum")
            / max(1, len(positive)),
        }

    def _draw(self, number: int, truth: _Truth) -> _Drawn:
        """Proposals of one image to learn from, the objects and their copies among them."""
        boxes = torch.cat([self._proposals(number, "training"), truth.boxes, shaken(truth.boxes)])
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
    def _proposals(self, number: int, purpose: Literal["training", "testing"]) -> Tensor:
        """Of one image, those that it shows enough of, `(P, 5)`, by falling score."""
        offsets = torch.tensor([0, *self.counts]).cumsum(0).tolist()
        best, levels = [], []
        for place, values in enumerate(self.objectness[number].split(self.counts)):
            sure, top = values.topk(min(CANDIDATES[purpose], len(values)))
            top = top[sure.sigmoid() >= DOUBT]
            best.append(top + offsets[place])
            levels.append(torch.full_like(top, place))
        index = torch.cat(best)
        boxes = decode_midpoints(self.codes[number, index], self.anchors[index])
        boxes[:, 2:4] = boxes[:, 2:4].clamp(max=math.hypot(*self.size))
        scores, level = self.objectness[number, index], torch.cat(levels)
        around = enclosing_xyxy(boxes)
        here = _shown(around, self.size) >= SHOWN
        boxes, scores, level, around = boxes[here], scores[here], level[here], around[here]
        return boxes[nms(around, scores, OVERLAP, level)[:PROPOSALS]]

    @torch.no_grad()
    def objects(self) -> list[Objects]:
        """Proposals, classified and refined."""
        check_finite(self.objectness, self.codes)
        found = []
        with without_autocast(self.maps[0]):
            for number in range(len(self.objectness)):
                rois = _with_image(self._proposals(number, "testing"), number)
                scores, codes = self.head.look(self.maps, rois)
                check_finite(scores, codes)
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


def shaken(boxes: Tensor) -> Tensor:
    """Copies of boxes `(N, 5)`, each a little off, `(COPIES * N, 5)`.

    Proposals overlap small objects by half only late; till then there would be nothing to refine
    but the objects themselves, which need no refining.
    """
    copies = boxes.repeat(COPIES, 1)
    codes = torch.randn_like(copies) * copies.new_tensor(SHAKEN) * copies.new_tensor(SCALE)
    long, short = copies[:, 2:4].amax(1), copies[:, 2:4].amin(1)
    codes[:, 4] *= short / long.clamp(min=1e-6)
    return decode_rotated(codes, copies)


def _match(
    matcher: Matcher, truth: Tensor, boxes: Tensor, *, least: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Of each box an object, and whether it is one (1), is none (0), or neither (-1).

    Boxes that overlap by less than `least` are none, even if no other is nearer to an object.
    """
    if not len(truth) or not len(boxes):
        nothing = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return nothing, nothing.clone()
    overlap = box_iou(truth, boxes)
    found = matcher(overlap)
    near = (found != Matcher.BELOW_LOW_THRESHOLD) & (overlap.amax(0) >= least)
    state = near.to(torch.int64)
    state[found == Matcher.BETWEEN_THRESHOLDS] = -1
    return found.clamp(min=0), state


def _shown(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Share of boxes `(P, 4)` that lies in an image of such height and width, `(P,)`."""
    corners = boxes.view(-1, 2, 2)
    extent = boxes.new_tensor([size[1], size[0]])
    seen = corners.clamp(min=0).minimum(extent).diff(dim=1).prod(-1)
    return (seen / corners.diff(dim=1).prod(-1).clamp(min=1e-6)).squeeze(1)


def _with_image(boxes: Tensor, number: int) -> Tensor:
    return F.pad(boxes, (1, 0), value=float(number))
