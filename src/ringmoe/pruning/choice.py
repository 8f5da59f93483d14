"""Which of several candidates to take, and which are worth a look at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ringmoe.errors import ConfigError
from ringmoe.pruning.budget import Budget
from ringmoe.pruning.candidates import Candidate

AXES = ("bytes", "parameters", "flops", "latency")


def choose(candidates: Sequence[Candidate], budget: Budget) -> Candidate:
    """The most faithful candidate that meets a budget; of equals the one that costs least.

    Where fidelity is not known it is the one with the most weights, in 8 bits only if that is
    needed; of equals the first.

    Raises:
        ConfigError: None meets it; the message names the smallest.
    """
    costs = {id(c): getattr(c, budget.kind) for c in candidates}
    meeting = [c for c in candidates if costs[id(c)] <= budget.limit]
    if not meeting:
        least = min(candidates, key=lambda c: costs[id(c)])
        raise ConfigError(
            f"no candidate meets the budget of {budget.words(budget.limit)}: the smallest is "
            f"{least.words!r} with {budget.words(costs[id(least)])}"
            + (
                f"; with one modality instead of {len(least.config.modalities)} there are smaller"
                if len(least.config.modalities) > 1
                else ""
            )
        )

    def worth(candidate: Candidate) -> tuple[float, ...]:
        if candidate.fidelity is None:
            return candidate.parameters, not candidate.int8
        return candidate.fidelity.features, -costs[id(candidate)]

    return max(meeting, key=worth)


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[bool]:
    """Which points no other is better than: cheaper and as good, or better and as cheap."""
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -values[i]))
    front = [False] * len(costs)
    best, at = -math.inf, -math.inf  # the best so far, and the least cost that it was had for
    for i in order:
        if values[i] > best:
            best, at = values[i], costs[i]
        front[i] = values[i] == best and costs[i] == at
    return front


def plain(
    candidates: Sequence[Candidate], budget: Budget, chosen: Candidate
) -> list[dict[str, Any]]:
    """The candidates as plain values, ready for JSON.

    `front` names the costs for which a candidate is on the Pareto front with the features'
    fidelity; none where that was not measured.
    """
    fronts: dict[str, list[bool]] = {}
    for axis in AXES:
        costs = [getattr(c, axis) for c in candidates]
        if all(c.fidelity for c in candidates) and None not in costs:
            features = [c.fidelity.features for c in candidates if c.fidelity]
            fronts[axis] = pareto_front(costs, features)
    return [
        {
            "candidate": c.words,
            "method": c.method.name,
            "options": c.options,
            "int8": c.int8,
            **{axis: getattr(c, axis) for axis in AXES},
            "fidelity": None if c.fidelity is None else c.fidelity.features,
            "fidelity_last_map": None if c.fidelity is None else c.fidelity.last_map,
            "front": [axis for axis, front in fronts.items() if front[i]],
            "meets": getattr(c, budget.kind) <= budget.limit,
            "chosen": c is chosen,
        }
        for i, c in enumerate(candidates)
    ]
