"""Average precision of horizontal boxes by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from ringmoe.boxes import Objects, area
from ringmoe.tasks.metrics.matching import COCO_LIMIT

AREAS = ("all", "small", "medium", "large")


class HorizontalRecord:
    """The boxes of an evaluation.

    Args:
        classes: How many.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.predicted: list[Objects] = []
        self.truth: list[Objects] = []

    def add(self, predicted: Objects, truth: Objects) -> None:
        """Those of an image."""
        ignored = np.zeros(len(truth), bool) if truth.ignored is None else truth.ignored
        self.predicted.append(Objects(predicted.boxes, predicted.classes, predicted.scores))
        self.truth.append(Objects(truth.boxes, truth.classes, ignored=ignored))

    @classmethod
    def join(cls, parts: Sequence[HorizontalRecord]) -> HorizontalRecord:
        """The images of several, at least one."""
        joined = cls(parts[0].classes)
        for part in parts:
            joined.predicted += part.predicted
            joined.truth += part.truth
        return joined

    def figures(self) -> dict[str, np.ndarray]:
        """Of each class `(K,)`, NaN where it has no object to find."""
        precision = np.full((self.classes, 10, len(AREAS)), np.nan)
        if self.truth:
            predicted, truth = Objects.join(self.predicted), Objects.join(self.truth)
            where = [_images(self.predicted), _images(self.truth)]
            for k in range(self.classes):
                found, true = predicted.classes == k, truth.classes == k
                precision[k] = class_precision(
                    (where[0][found], predicted.take(found)), (where[1][true], truth.take(true))
                )
        return {
            "map": precision[:, :, 0].mean(axis=1),
            "map50": precision[:, 0, 0],
            "map75": precision[:, 5, 0],
            **{f"map_{AREAS[a]}": precision[:, :, a].mean(axis=1) for a in (1, 2, 3)},
        }


def class_precision(
    predicted: tuple[np.ndarray, Objects], truth: tuple[np.ndarray, Objects]
) -> np.ndarray:
    """Average precision of one class.

    Args:
        predicted: Of each box its image, and the scored boxes of all images.
        truth: The same of true ones; ignored objects are what COCO calls crowds.

    Returns:
        `(10, 4)` at IoU 0.5 to 0.95 and for `AREAS`, which are divided at 32² and 96² square
        pixels; NaN in areas without an object to find.
    """
    images, objects = truth
    assert objects.ignored is not None
    due = images[~objects.ignored]
    if not len(due):
        return np.full((10, len(AREAS)), np.nan)
    limit = max(COCO_LIMIT, int(np.unique(due, return_counts=True)[1].max()))
    found, scored = predicted
    fixed = {
        "images": [{"id": int(i)} for i in np.union1d(images, found)],
        "categories": [{"id": 1, "name": "object"}],
    }
    true = _entries(images, objects, iscrowd=objects.ignored.astype(int))
    results = _entries(found, scored, iscrowd=np.zeros(len(found), int), score=scored.scores)
    # Not `loadRes`: it gives every box an outline, and some versions fail where there is no box.
    evaluation = COCOeval_faster(
        COCO(fixed | {"annotations": true}), COCO(fixed | {"annotations": results}), "bbox"
    )
    evaluation.params.maxDets = [limit]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[:, :, 0, :, 0]  # (10, 101, 4)
    return np.where(precision < 0, np.nan, precision).mean(axis=1)


def _images(objects: list[Objects]) -> np.ndarray:
    return np.repeat(np.arange(len(objects)), [len(one) for one in objects])


def _entries(images: np.ndarray, objects: Objects, **values: Any) -> list[dict[str, Any]]:
    """One dictionary a box, as in COCO's files; `id` counts from 1, for 0 means "no match"."""
    boxes = objects.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    columns = {
        "id": np.arange(1, len(boxes) + 1),
        "image_id": images,
        "category_id": np.ones(len(boxes), int),
        "bbox": boxes,
        "area": area(objects.boxes),
        **values,
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
