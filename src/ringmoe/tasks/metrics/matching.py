"""What the rules of average precision share: pairs of one image, and the ranking over all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
import torch

from ringmoe.boxes import Objects, area
from ringmoe.boxes.overlap import box_iou
from ringmoe.errors import ShapeError

COCO_LIMIT = 100
"""Detections of a class in an image that count, by COCO's rule."""

TRUE, FALSE, LEFT_OUT = 1, 0, -1
"""Outcomes of a detection: it finds an object, it does not, or it is neither right nor wrong."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detections and true objects of one class in one image.

    Attributes:
        ious: `(D, G)` float64, of each detection, by falling score, with each true object.
        scores: `(D,)` float64, falling.
        ignored: `(G,)` bool: true objects that need not be found.
        sizes: Areas `(D,)` of detections and `(G,)` of true objects. Only COCO's rule asks for
            them, and only where an object is ignored.

    Raises:
        ShapeError: The arrays do not agree, or scores rise.
    """

    ious: np.ndarray
    scores: np.ndarray
    ignored: np.ndarray
    sizes: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.ious.shape != (len(self.scores), len(self.ignored)):
            raise ShapeError(
                f"Pairs: {len(self.scores)} detections and {len(self.ignored)} true objects, "
                f"got IoU of shape {self.ious.shape}"
            )
        if (np.diff(self.scores) > 0).any():
            raise ShapeError("Pairs: detections are due by falling score, got rising scores")

    @classmethod
    def of(cls, predicted: Objects, truth: Objects) -> Pairs:
        """Those of scored and true objects, all of one class."""
        assert predicted.scores is not None
        predicted = predicted.take(np.argsort(-predicted.scores, kind="stable"))
        assert predicted.scores is not None
        return cls(
            ious=overlaps(predicted.boxes, truth.boxes),
            scores=predicted.scores,
            ignored=np.zeros(len(truth), bool) if truth.ignored is None else truth.ignored,
            sizes=(area(predicted.boxes), area(truth.boxes)),
        )

    @classmethod
    def of_quadrilaterals(
        cls,
        corners: np.ndarray,
        scores: np.ndarray,
        true_corners: np.ndarray,
        ignored: np.ndarray | None = None,
    ) -> Pairs:
        """Those of four-sided polygons as they were drawn, such as DOTA's labels.

        Args:
            corners: `(D, 8)` x1, y1, ..., x4, y4 of detections, in any order.
            scores: `(D,)` of detections.
            true_corners: `(G, 8)` of true objects.
            ignored: `(G,)` bool; None for none.
        """
        order = np.argsort(-scores, kind="stable")
        found, true = (  # corners in the wrong order make two triangles
            shapely.make_valid(shapely.polygons(points.reshape(-1, 4, 2)))
            for points in (corners[order], true_corners)
        )
        i, j = shapely.STRtree(true).query(found)  # pairs that are near each other
        shared = shapely.area(shapely.intersection(found[i], true[j]))
        ious = np.zeros((len(found), len(true)))
        ious[i, j] = shared / np.maximum(
            shapely.area(found[i]) + shapely.area(true[j]) - shared, np.finfo(float).tiny
        )
        return cls(
            ious=ious,
            scores=scores[order],
            ignored=np.zeros(len(true), bool) if ignored is None else ignored,
            sizes=(shapely.area(found), shapely.area(true)),
        )


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU `(N, M)` float64 of boxes of one form; 0 where a box has no area."""
    return box_iou(torch.from_numpy(a).double(), torch.from_numpy(b).double()).numpy()


def precision_recall(
    scores: np.ndarray, outcomes: np.ndarray, positives: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall down the ranking of all detections; of equal scores the first is first.

    Args:
        scores: `(D,)`.
        outcomes: `(D,)`, of each detection.
        positives: True objects that had to be found, at least one.

    Returns:
        Two arrays `(D,)`, in [0, 1].
    """
    ranked = outcomes[np.argsort(-scores, kind="stable")]
    true, false = np.cumsum(ranked == TRUE), np.cumsum(ranked == FALSE)
    return true / np.maximum(true + false, 1), true / positives
