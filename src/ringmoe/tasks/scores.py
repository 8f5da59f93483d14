"""Losses of class scores: cross-entropy and Dice as additive sums."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ringmoe.datasets import IGNORED
from ringmoe.tasks.heads.blocks import in_full


def cross_entropy_sum(
    output: Tensor, labels: Tensor, weights: Sequence[float], smoothing: float
) -> Tensor:
    """Cross-entropy summed over labelled images or pixels.

    Divided by `cross_entropy_count` it is `torch.nn.functional.cross_entropy`'s mean.

    Args:
        output: Scores `(B, K)` or `(B, K, H, W)`.
        labels: Class indices `(B,)` or `(B, H, W)`, `IGNORED` where there is none.
        weights: One a class; none for 1 each.
        smoothing: Share of the truth that is spread evenly over all classes.
    """
    scores = in_full(output)
    return F.cross_entropy(
        scores,
        labels,
        weight=scores.new_tensor(weights) if weights else None,
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )


def cross_entropy_count(labels: Tensor, weights: Sequence[float]) -> Tensor:
    """Labelled images or pixels, each counted with its class's weight; float64."""
    labelled = labels != IGNORED
    if not weights:
        return labelled.sum().double()
    table = torch.tensor(weights, dtype=torch.float64, device=labels.device)
    return (table[labels.clamp(min=0)] * labelled).sum()


def dice_sum(output: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice loss summed over the images and, of each, the classes that its truth has.

        1 - 2 * sum(p * t) / (sum(p) + sum(t))

    with the sums over the image's labelled pixels (Milletari et al. 2016, arXiv:1606.04797,
    without its squares). A Dice of a whole batch would not be a sum over its images, and a step of
    several micro-batches would then minimise something else than a step of one.

    Args:
        output: Scores `(B, K, H, W)`.
        labels: `(B, H, W)`.
    """
    share = in_full(output).softmax(dim=1) * (labels != IGNORED)[:, None]
    predicted = share.sum(dim=(2, 3))  # (B, K)
    index = labels.clamp(min=0)
    of_truth = share.gather(1, index[:, None]).flatten(1)  # (B, H * W)
    overlap = torch.zeros_like(predicted).scatter_add(1, index.flatten(1), of_truth)
    true = _pixels(labels, predicted.shape[1]).to(predicted.dtype)
    present = true > 0
    dice = 2 * overlap / torch.where(present, predicted + true, 1)
    return ((1 - dice) * present).sum()


def dice_count(labels: Tensor, classes: int) -> Tensor:
    """Pairs of an image and a class that its truth has; float64."""
    return (_pixels(labels, classes) > 0).sum().double()


def _pixels(labels: Tensor, classes: int) -> Tensor:
    """Labelled pixels of each image and class, `(B, K)`."""
    counts = torch.zeros(len(labels), classes, dtype=torch.int64, device=labels.device)
    labelled = (labels != IGNORED).long()
    return counts.scatter_add(1, labels.clamp(min=0).flatten(1), labelled.flatten(1))
