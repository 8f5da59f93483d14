"""Non-maximum suppression (NMS): of boxes that overlap much, the one with the highest score."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torchvision.ops
from torch import Tensor

from ringmoe.boxes.overlap import enclosing_xyxy, pairs_iou
from ringmoe.errors import ShapeError, ValueRangeError

# Pairs looked at together; the memory of the sweep, about 50 bytes a pair, hangs on it alone.
_PAIRS = 1 << 20
_FAR = 1e12  # pixels


@torch.no_grad()
def nms(boxes: Tensor, scores: Tensor, threshold: float, classes: Tensor | None = None) -> Tensor:
    """Keep each box that overlaps no kept box of a higher score by more than a threshold.

    Of equal scores the box that comes first is the higher. Boxes without area overlap none and are
    all kept. On any device; float64 throughout, so that float32 boxes in scene coordinates and the
    classes' apartness cost no precision.

    Args:
        boxes: `(N, 4)` xyxy or `(N, 5)` cxcywhr.
        scores: `(N,)`.
        threshold: The IoU in [0, 1] above which the lower box goes.
        classes: `(N,)` integers: boxes of different classes never suppress one another, as in
            torchvision's `batched_nms`. None takes all boxes as of one class.

    Returns:
        `(K,)` int64: indices of the kept boxes by falling score.

    Raises:
        ShapeError: The boxes are of no form, or boxes, scores and classes are not as many.
        ValueRangeError: The threshold is not in [0, 1].
    """
    _check(boxes, scores, threshold, classes)
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes.double()[order]
    if classes is None:
        classes = torch.zeros_like(order)
    classes = classes[order]
    kept = _kept_rotated if boxes.shape[1] == 5 else _kept_horizontal
    return order[kept(boxes, classes, threshold)]


def _kept_horizontal(boxes: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """Ranks that torchvision keeps of xyxy boxes by rank, each class moved to a place of its own.

    `batched_nms` moves by the highest coordinate alone, so that classes meet where coordinates are
    negative.
    """
    if len(boxes) == 0:
        return torch.zeros_like(classes)
    boxes = boxes.clamp(-_FAR, _FAR)  # of an infinite one no shift would be a number
    shift = classes.double() * (boxes.max() - boxes.min() + 1)
    falling = torch.arange(len(boxes), 0, -1, device=boxes.device).double()
    return torchvision.ops.nms(boxes + shift.unsqueeze(1), falling, threshold)


def _kept_rotated(boxes: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """Ranks that are kept of cxcywhr boxes by rank: greedy suppression, many boxes at a time.

    What no box above can suppress any more is kept, and suppresses all that it overlaps; what is
    suppressed suppresses none, which frees others. The rounds are as many as the longest chain
    of boxes that depend on one another, a handful in real scenes.
    """
    higher, lower = _overlapping_pairs(boxes, classes, threshold)
    suppressed = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    while len(lower):
        undecided = torch.zeros_like(suppressed)
        undecided[lower] = True
        suppressed[lower[~undecided[higher]]] = True
        open_ = ~(suppressed[higher] | suppressed[lower])
        higher, lower = higher[open_], lower[open_]
    return (~suppressed).nonzero().squeeze(1)


def _overlapping_pairs(boxes: Tensor, classes: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """All pairs of one class with an IoU above the threshold, as ranks: the higher, the lower."""
    around, areas = enclosing_xyxy(boxes), boxes[:, 2] * boxes[:, 3]
    found = [torch.zeros(2, 0, dtype=torch.int64, device=boxes.device)]
    for i, j in _pairs_meeting_on_one_axis(around):
        shared = torch.minimum(around[i, 2:], around[j, 2:]) - torch.maximum(
            around[i, :2], around[j, :2]
        )
        # IoU <= what the enclosing boxes share / the larger area; a little room for rounding.
        least = threshold * (1 - 1e-9) * torch.maximum(areas[i], areas[j])
        near = (shared > 0).all(1) & (shared.prod(1) >= least) & (classes[i] == classes[j])
        i, j = i[near], j[near]
        above = pairs_iou(boxes, boxes, i, j) > threshold
        found.append(torch.stack([i[above], j[above]]))
    pairs = torch.cat(found, dim=1)
    return pairs.amin(0), pairs.amax(0)


def _pairs_meeting_on_one_axis(around: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of horizontal boxes `(N, 4)` that overlap along x or along y, each pair once.

    A sweep: of boxes sorted by where they begin, those that begin before box i ends follow i
    without a gap. Of the axes it takes that on which the boxes are shorter beside their crowd.
    """
    if len(around) < 2:
        return
    low, high = around.split(2, dim=1)
    axis = int(((high - low).sum(0) / (high.amax(0) - low.amin(0))).argmin())
    begins, order = low[:, axis].sort()
    places = torch.arange(len(order), device=order.device)
    following = torch.searchsorted(begins, high[order, axis]) - places - 1
    following.clamp_(min=0)  # a box without length ends before itself
    till = following.cumsum(0)
    steps = _PAIRS * torch.arange(1, 1 + int(till[-1]) // _PAIRS, device=till.device)
    for part in places.tensor_split(torch.searchsorted(till, steps, right=True).cpu()):
        first = part.repeat_interleave(following[part])
        before = (till - following)[part]  # pairs of the boxes before, of all parts
        nth = torch.arange(len(first), device=first.device) + before[:1]
        second = first + 1 + nth - before.repeat_interleave(following[part])
        yield order[first], order[second]


def _check(boxes: Tensor, scores: Tensor, threshold: float, classes: Tensor | None) -> None:
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise ShapeError(f"boxes are (N, 4) xyxy or (N, 5) cxcywhr, got {tuple(boxes.shape)}")
    for name, values in (("scores", scores), ("classes", classes)):
        if values is not None and values.shape != boxes.shape[:1]:
            raise ShapeError(f"{name} of {len(boxes)} boxes, got shape {tuple(values.shape)}")
    if not 0 <= threshold <= 1:
        raise ValueRangeError(f"the IoU threshold of NMS is in [0, 1], got {threshold}")
