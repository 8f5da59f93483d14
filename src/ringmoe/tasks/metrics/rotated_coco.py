"""Average precision as COCO computes it, of pairs with any IoU: for rotated boxes.

Source: Lin et al., Microsoft COCO (2014), and its evaluation code (`cocoeval.py` of pycocotools).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ringmoe.tasks.metrics.matching import (
    COCO_LIMIT,
    FALSE,
    LEFT_OUT,
    TRUE,
    Pairs,
    precision_recall,
)

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


def average_precision(images: Iterable[Pairs], limit: int = COCO_LIMIT) -> np.ndarray:
    """Of one class, over images.

    Args:
        images: Pairs of each image.
        limit: Detections of an image that count.

    Returns:
        `(10,)` in [0, 1] at `THRESHOLDS`; NaN where there is no object to find.
    """
    images = list(images)
    scores = [pairs.scores[:limit] for pairs in images]
    outcomes = [match(pairs)[:limit] for pairs in images]
    positives = sum(int((~pairs.ignored).sum()) for pairs in images)
    if not positives:
        return np.full(len(THRESHOLDS), np.nan)
    return curves(np.concatenate(scores), np.concatenate(outcomes), positives)


def curves(scores: np.ndarray, outcomes: np.ndarray, positives: int) -> np.ndarray:
    """Average precision `(T,)` of the ranking of all detections.

    Args:
        scores: `(D,)`.
        outcomes: `(D, T)`, of each detection at each threshold.
        positives: Objects that had to be found, at least one.
    """
    return np.array(
        [interpolated(*precision_recall(scores, column, positives)) for column in outcomes.T]
    )


def interpolated(precision: np.ndarray, recall: np.ndarray) -> float:
    """The mean of the best precision at recalls from 0, 0.01, ... to 1 and above."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.append(envelope, 0.0)[np.searchsorted(recall, RECALLS)].mean())


def match(pairs: Pairs, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Outcomes `(D, T)` int8 of detections at each threshold.

    By falling score, a detection takes of the objects not yet taken the one that it overlaps
    most, if by at least the threshold. Only where there is none it may go to an ignored object,
    any number of detections to each, and is then left out.
    """
    at_least = np.minimum(thresholds, 1 - 1e-10)  # as COCO, so that equal boxes match at 1
    objects = pairs.ious[:, ~pairs.ignored]
    free = np.ones((len(thresholds), objects.shape[1]), bool)
    covered = _crowd_overlap(pairs).max(axis=1, initial=0.0)
    outcomes = np.where(covered[:, None] >= at_least, LEFT_OUT, FALSE).astype(np.int8)
    for detection in np.flatnonzero(objects.max(axis=1, initial=0.0) >= at_least.min()):
        ious = np.where(free, objects[detection], -1.0)
        best = ious.shape[1] - 1 - ious[:, ::-1].argmax(axis=1)  # of equals COCO takes the last
        levels = np.flatnonzero(ious.max(axis=1) >= at_least)
        free[levels, best[levels]] = False
        outcomes[detection, levels] = TRUE
    return outcomes


def _crowd_overlap(pairs: Pairs) -> np.ndarray:
    """Of each detection the part that each ignored object covers, as COCO has it for crowds."""
    ious = pairs.ious[:, pairs.ignored]
    if not ious.size:
        return ious
    assert pairs.sizes is not None, "COCO's rule needs areas where objects are ignored"
    found, true = pairs.sizes[0][:, None], pairs.sizes[1][None, pairs.ignored]
    shared = ious * (found + true) / (1 + ious)  # for IoU = shared / (found + true - shared)
    return (shared / np.where(found > 0, found, 1.0)).round(12)  # a half is one, as COCO has it
