"""Choosing hidden units, merging them, and fitting what they add up to.

N tokens, U hidden units of which K are chosen, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

_AT_ONCE = 4096  # units that are compared with the chosen ones at a time
_SPANNED = 1e-10  # of a unit's own energy: what is left of it is rounding


def span(activations: Tensor, energy: Tensor, units: int) -> Tensor:
    """The hidden units that together span most of what all contribute.

    Args:
        activations: `(N, U)`.
        energy: `(U,)` what each unit contributes.
        units: How many to take at most.

    Returns:
        `(K,)` their numbers, ascending; K is smaller than `units` where fewer span all.
    """
    mean = activations.mean(0)  # the bias of the result serves it
    deviation = (activations - mean).square().sum(0).sqrt()
    factor = torch.where(deviation > 0, energy.sqrt() / deviation, 0)
    left = torch.where(deviation > 0, energy, 0).clone()
    basis = activations.new_empty(units, len(activations))
    chosen: list[int] = []
    while len(chosen) < units:
        unit = int(left.argmax())
        if left[unit] <= _SPANNED * energy[unit]:
            break
        column = (activations[:, unit] - mean[unit]) * factor[unit]
        known = basis[: len(chosen)]
        for _ in range(2):  # once more for what rounding left (Kahan and Parlett: twice is enough)
            column = column - known.T @ (known @ column)
        basis[len(chosen)] = direction = column / column.norm()
        along = (direction @ activations - direction.sum() * mean) * factor
        left = torch.where(left > _SPANNED * energy, left - along.square(), 0)
        left[unit] = 0
        chosen.append(unit)
    return torch.tensor(sorted(chosen), dtype=torch.long, device=energy.device)


def merge(activations: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
    """Rows of w2 for the chosen units that serve for all.

    Each unit's row is added to that of the chosen unit it is most alike, times the factor from
    the one's activations to the other's with the least squared error: 1 for a unit itself and for
    one that is equal, little for one that is alike to none.

    Args:
        activations: `(N, U)`.
        rows: `(U, C)`.
        chosen: `(K,)` numbers of units.

    Returns:
        `(K, C)`.
    """
    merged = rows.new_zeros(len(chosen), rows.shape[1])
    if not len(chosen):
        return merged
    base = activations[:, chosen] - activations[:, chosen].mean(0)
    length = base.norm(dim=0)
    for part, own in zip(activations.split(_AT_ONCE, 1), rows.split(_AT_ONCE), strict=True):
        along = (base / length).T @ (part - part.mean(0))
        nearest = along.abs().argmax(0)
        factor = along.gather(0, nearest[None])[0] / length[nearest]
        merged.index_add_(0, nearest, factor[:, None] * own)
    return merged


def least_squares(activations: Tensor, target: Tensor, prior: Tensor, ridge: float) -> Tensor:
    """Ridge regression around a prior, with an intercept that is free.

    Args:
        activations: `(N, K)` float64.
        target: `(N, C)`.
        prior: `(K, C)` the weights from which departures are penalised.
        ridge: In units of the mean squared activation.

    Returns:
        `(K + 1, C)`, the intercept last.
    """
    means = activations.mean(0), target.mean(0)
    centred = activations - means[0]
    gram = centred.T @ centred
    penalty = ridge * activations.square().sum() / max(1, len(gram))
    gram.diagonal().add_(penalty)
    left = target - means[1] - centred @ prior
    weights = prior + torch.linalg.solve(gram, centred.T @ left)
    return torch.cat([weights, (means[1] - means[0] @ weights)[None]])
