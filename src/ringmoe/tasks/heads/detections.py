"""What a detector's head gives for a batch, and which of its many boxes users get."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ringmoe.boxes import ObjectBatch, Objects, canonical
from ringmoe.errors import ValueRangeError
from ringmoe.sampling import mix, name_key
from ringmoe.training import Terms

CANDIDATES = {"training": 1000, "testing": 4000}
"""Of a level, before suppression: of a hundred ships each is what some thirty anchors say."""

DOUBT = 0.01
"""What is less likely is no candidate."""

BoxLoss = Literal["kld", "probiou"]
"""How predicted boxes are compared with true ones (`ringmoe.boxes.gaussian_distance`)."""


class Detections(ABC):
    """The result of a detector's first stage, with what it takes to go on from there.

    In training the labels decide which boxes are looked at further, in use the scores: so a head's
    `forward` ends here, and one of the two methods does the rest.
    """

    @abstractmethod
    def losses(self, labels: ObjectBatch) -> Terms:
        """Additive sums, with gradient: the same keys for every batch, zeros for one of no image.

        Whatever is drawn follows from `labels.names` and `labels.draws`.
        """

    @abstractmethod
    def objects(self) -> list[Objects]:
        """Of each image: scored, by falling score, in pixels of the image that was given.

        Raises:
            ValueRangeError: The model gives NaN or infinite numbers.
        """


@dataclass(frozen=True)
class Selection:
    """Which of many scored boxes are given.

    Attributes:
        score: At least so sure.
        overlap: Of two boxes of one class that overlap by more (IoU), only the better.
        most: At most so many an image.
        candidates: At most so many go into non-maximum suppression.
    """

    score: float = 0.05
    overlap: float = 0.3
    most: int = 300
    candidates: int = 2000

    def of(self, boxes: Tensor, scores: Tensor) -> Objects:
        """The objects of one image.

        Args:
            boxes: `(N, 4)` xyxy or `(N, 5)` cxcywhr.
            scores: `(N, K)` in [0, 1], one a class.
        """
        from ringmoe.boxes import nms

        place, kind = (scores >= self.score).nonzero(as_tuple=True)
        sure, order = scores[place, kind].sort(descending=True, stable=True)
        sure, order = sure[: self.candidates], order[: self.candidates]
        found, kind = boxes[place[order]], kind[order]
        kept = nms(found, sure, self.overlap, kind)[: self.most]
        numbers = found[kept].double().cpu().numpy()
        return Objects(
            boxes=canonical(numbers) if numbers.shape[1] == 5 else numbers,
            classes=kind[kept].cpu().numpy(),
            scores=sure[kept].double().cpu().numpy(),
        )


def check_finite(*tensors: Tensor) -> None:
    """Raise unless all is a number: NaN is no more than any threshold, and nothing would be found.

    Raises:
        ValueRangeError: Something is NaN or infinite.
    """
    if not all(bool(x.isfinite().all()) for x in tensors):
        raise ValueRangeError(
            "the detector gives NaN or infinite numbers: its weights, or the values of the image, "
            "are not what they should be"
        )


@contextmanager
def seeded(name: str, draw: int, device: torch.device) -> Iterator[None]:
    """Inside, torch draws what follows from name and number; outside, nothing has been drawn.

    For torchvision's samplers, which draw from the global generators.
    """
    seed = int(mix(name_key(name), draw))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield


_ROUNDING = 1e-5  # of a share, in single precision


def covered(boxes: Tensor, ignored: Tensor) -> Tensor:
    """Which boxes lie by half or more of their area in one that is ignored.

    Args:
        boxes: `(N, 4)` or `(N, 5)`.
        ignored: `(M, 4)` or `(M, 5)`, of the same form.

    Returns:
        `(N,)` bool.
    """
    from ringmoe.boxes import box_iou

    iou, own, other = box_iou(boxes, ignored), _areas(boxes)[:, None], _areas(ignored)
    shared = iou * (own + other) / (1 + iou)  # of iou = shared / (own + other - shared)
    return (shared >= (0.5 - _ROUNDING) * own).any(1)


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Which points lie in which boxes.

    Args:
        points: `(P, 2)` x and y.
        boxes: `(N, 4)` xyxy or `(N, 5)` cxcywhr.

    Returns:
        `(N, P)` bool.
    """
    if boxes.shape[1] == 4:
        after = (points >= boxes[:, None, :2]).all(-1)
        return after & (points <= boxes[:, None, 2:]).all(-1)
    along, across = in_frame(points - boxes[:, None, :2], boxes[:, None, 4])
    return (along.abs() <= boxes[:, None, 2] / 2) & (across.abs() <= boxes[:, None, 3] / 2)


def _areas(boxes: Tensor) -> Tensor:
    edges = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]
    return edges.prod(1)


def in_frame(vectors: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Parts of displacements `(..., 2)` along a box's long edge and, a quarter turn left, across.

    The long edge points along `(cos r, -sin r)`, so left of it is `(-sin r, -cos r)`.
    """
    cos, sin = angle.cos(), angle.sin()
    x, y = vectors.unbind(-1)
    return x * cos - y * sin, -x * sin - y * cos
