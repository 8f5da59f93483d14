"""Average precision as DOTA's development kit computes it, with the rules of VOC 2007 and 2012.

Source: `dota_evaluation_task1.py` of github.com/CAPTAIN-WHU/DOTA_devkit, which follows the PASCAL
VOC challenge. One thing is left open there, the order of equal scores; here the first comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from ringmoe.tasks.metrics.matching import FALSE, LEFT_OUT, TRUE, Pairs, precision_recall

Rule = Literal["voc07", "voc12"]


def average_precision(
    images: Iterable[Pairs], rule: Rule = "voc12", threshold: float = 0.5
) -> float:
    """Of one class, over images; whatever the form of the boxes whose IoU it is.

    Args:
        images: Pairs of each image.
        rule: Mean precision at 11 recalls, or the area under the monotone curve.
        threshold: The IoU that a detection must exceed.

    Returns:
        In [0, 1]; NaN where there is no object to find.
    """
    images = list(images)
    outcomes = [match(pairs, threshold) for pairs in images]
    scores = [pairs.scores for pairs in images]
    positives = sum(int((~pairs.ignored).sum()) for pairs in images)
    if not positives:
        return float("nan")
    precision, recall = precision_recall(
        np.concatenate(scores), np.concatenate(outcomes), positives
    )
    return (voc07 if rule == "voc07" else voc12)(precision, recall)


def match(pairs: Pairs, threshold: float = 0.5) -> np.ndarray:
    """Outcomes `(D,)` int8 of detections.

    A detection stands for the object that it overlaps most (of equals the first), if by more than
    the threshold. The first of an object finds it, later ones are mistakes, even where they
    overlap another object enough. A detection of an ignored object is left out.
    """
    outcomes = np.full(len(pairs.scores), FALSE, np.int8)
    if not pairs.ious.size:
        return outcomes
    nearest = pairs.ious.argmax(axis=1)
    over = pairs.ious.max(axis=1) > threshold
    outcomes[over & pairs.ignored[nearest]] = LEFT_OUT
    candidates = np.flatnonzero(over & ~pairs.ignored[nearest])
    _, first = np.unique(nearest[candidates], return_index=True)
    outcomes[candidates[first]] = TRUE
    return outcomes


def voc07(precision: np.ndarray, recall: np.ndarray) -> float:
    """The mean of the best precision at recalls from 0, 0.1, ... to 1 and above."""
    # The kit's own steps: 0.30000000000000004, not 0.3, decides whether a recall of 0.3 counts.
    steps = np.arange(0.0, 1.1, 0.1)
    return float(np.mean([precision[recall >= step].max(initial=0.0) for step in steps]))


def voc12(precision: np.ndarray, recall: np.ndarray) -> float:
    """The area under the curve of the best precision at a recall and above."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
