"""Shares as exact quotas, spread evenly over the steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

QUOTA_STEPS = 1000


def quota_table(weights: Sequence[float], per_step: int, steps: int = QUOTA_STEPS) -> np.ndarray:
    """How many of `per_step` places each claimant gets at each of `steps` steps.

    The table repeats for ever, so that any `steps` consecutive steps hold every quota exactly.
    Totals are the shares of `steps * per_step` places, rounded by largest remainder; places are
    dealt in order of `(j + 1/2) / total` (place j of a claimant), which spreads every claimant's
    places evenly and deals equal shares in turn.

    Args:
        weights: One per claimant, not negative, at least one positive; they need not sum to 1.
        per_step: Places at each step.
        steps: Rows of the table.

    Returns:
        `(steps, len(weights))` int64; rows sum to `per_step`, columns to the quotas.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    exact = share * (steps * per_step)
    totals = np.floor(exact + 1e-9).astype(np.int64)  # 0.1 * 32000 is 3200.0000000000005 or so
    short = steps * per_step - int(totals.sum())
    totals[np.argsort(totals - exact, kind="stable")[:short]] += 1

    claimant = np.repeat(np.arange(len(totals)), totals)
    turn = np.concatenate([(np.arange(total) + 0.5) / total for total in totals if total])
    dealt = claimant[np.argsort(turn, kind="stable")].reshape(steps, per_step)
    return np.stack([(dealt == i).sum(axis=1) for i in range(len(totals))], axis=1)


def turns(weights: Sequence[float], images: np.ndarray) -> np.ndarray:
    """Whose turn each step is, where one claimant takes all images of a step.

    Images are dealt, not steps: steps may have different numbers of them, or none. The claimant
    that is owed most takes a step, so that totals are the shares of all images, to within what one
    step holds.

    Args:
        weights: One per claimant, see `quota_table`.
        images: How many each step has, `(steps,)`.

    Returns:
        `(steps, len(weights))` bool, one true in each row that has images.
    """
    taken = np.zeros((len(images), len(weights)), bool)
    ends = np.cumsum(images)
    if not ends[-1]:
        return taken
    due = np.cumsum(quota_table(weights, per_step=1, steps=int(ends[-1])), axis=0)
    given = np.zeros(len(weights), np.int64)
    for step in np.flatnonzero(images):
        claimant = np.argmax(due[ends[step] - 1] - given)
        taken[step, claimant] = True
        given[claimant] += images[step]
    return taken
