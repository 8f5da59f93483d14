"""`DetectionMetrics`: average precision of horizontal or rotated boxes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ringmoe.boxes import ObjectBatch, Objects
from ringmoe.errors import ShapeError
from ringmoe.tasks.metrics import dota, rotated_coco
from ringmoe.tasks.metrics.coco import HorizontalRecord
from ringmoe.tasks.metrics.matching import COCO_LIMIT, Pairs, precision_recall
from ringmoe.training import gather


class DetectionMetrics:
    """Average precision, COCO's of horizontal boxes, DOTA's and COCO's of rotated ones.

    `map` is the mean over IoU 0.5 to 0.95 by COCO's rule. `map50` is by COCO's rule for
    horizontal boxes, and for rotated ones by DOTA's with the area under the curve (VOC 2012);
    `map50_voc07` is DOTA's with eleven points. `ap50_<class>` is a class's part of `map50`.
    Horizontal boxes also have `map75`, and `map_small`, `map_medium` and `map_large` (areas
    divided at 32² and 96² square pixels); rotated ones have `map75`.

    Means leave out classes without an object to find; without any at all they are NaN. What is
    kept until `compute` is not more than the boxes. Under torchrun the figures are of the images
    of all processes, each of which must call `compute`.

    Args:
        classes: Names, by index.
        rotated: Whether boxes are cxcywhr.
    """

    def __init__(self, classes: Sequence[str], rotated: bool) -> None:
        self.classes, self.rotated = tuple(classes), rotated
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        record = RotatedRecord if self.rotated else HorizontalRecord
        self._record: RotatedRecord | HorizontalRecord = record(len(self.classes))

    def to(self, device: torch.device | str) -> Self:
        """Itself: boxes are on the host."""
        return self

    def update(self, predicted: Sequence[Objects], truth: ObjectBatch | Sequence[Objects]) -> None:
        """Add images.

        Args:
            predicted: Of each image what was found, with scores, in any order.
            truth: Labels of the same images.

        Raises:
            ShapeError: They are of unlike numbers of images or another form of boxes, or there
                are no scores.
        """
        labels = _each(truth) if isinstance(truth, ObjectBatch) else truth
        if len(predicted) != len(labels):
            raise ShapeError(
                f"metrics: detections of {len(predicted)} images, labels of {len(labels)}"
            )
        for found, true in zip(predicted, labels, strict=True):
            if found.scores is None:
                raise ShapeError("metrics: detections need scores, got None")
            if not found.rotated == true.rotated == self.rotated:
                form = "cxcywhr (N, 5)" if self.rotated else "xyxy (N, 4)"
                raise ShapeError(
                    f"metrics: boxes are due as {form}, got {found.boxes.shape} found and "
                    f"{true.boxes.shape} true"
                )
            self._record.add(found, true)

    def compute(self) -> dict[str, Tensor]:
        """Figures as float64 scalars."""
        everywhere: list[Any] = gather(self._record)
        by_class = self._record.join(everywhere).figures()
        means = {
            name: values[~np.isnan(values)].mean() if not np.isnan(values).all() else np.nan
            for name, values in by_class.items()
        }
        each = zip(self.classes, by_class["map50"], strict=True)
        figures = means | {f"ap50_{name}": value for name, value in each}
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in figures.items()}


class RotatedRecord:
    """Of each class and detection its score and what became of it.

    Matching looks at one image at a time, so no box is kept.

    Args:
        classes: How many.
    """

    def __init__(self, classes: int) -> None:
        self.rows: list[list[_Image]] = [[] for _ in range(classes)]

    def add(self, predicted: Objects, truth: Objects) -> None:
        """Those of an image."""
        for k, images in enumerate(self.rows):
            found, true = predicted.classes == k, truth.classes == k
            if found.any() or true.any():
                pairs = Pairs.of(predicted.take(found), truth.take(true))
                outcomes = np.column_stack([dota.match(pairs), rotated_coco.match(pairs)])
                images.append((pairs.scores, outcomes, int((~pairs.ignored).sum())))

    @classmethod
    def join(cls, parts: Sequence[RotatedRecord]) -> RotatedRecord:
        """The images of several, at least one."""
        joined = cls(len(parts[0].rows))
        joined.rows = [
            list(chain(*images)) for images in zip(*(p.rows for p in parts), strict=True)
        ]
        return joined

    def figures(self) -> dict[str, np.ndarray]:
        """Of each class `(K,)`, NaN where it has no object to find."""
        rows = np.array([_class_figures(images) for images in self.rows])
        names = ("map50", "map50_voc07", "map", "map75")
        return dict(zip(names, rows.reshape(-1, len(names)).T, strict=True))


_Image = tuple[np.ndarray, np.ndarray, int]
"""Scores `(D,)`, outcomes `(D, 1 + 10)` by DOTA's and COCO's rule, objects to find."""


def _class_figures(images: list[_Image]) -> tuple[float, float, float, float]:
    positives = [count for _, _, count in images]
    total = sum(positives)
    if not total:
        return (np.nan,) * 4
    scores = np.concatenate([image[0] for image in images])
    outcomes = np.concatenate([image[1] for image in images])
    curve = precision_recall(scores, outcomes[:, 0], total)
    limit = max(COCO_LIMIT, *positives)
    counted = np.concatenate([np.arange(len(image[0])) < limit for image in images])
    by_coco = rotated_coco.curves(scores[counted], outcomes[counted, 1:], total)
    return dota.voc12(*curve), dota.voc07(*curve), float(by_coco.mean()), float(by_coco[5])


def _each(batch: ObjectBatch) -> list[Objects]:
    return [batch.of(image) for image in range(len(batch))]
