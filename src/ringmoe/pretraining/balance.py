"""Keeping experts in use: the load-balance loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ringmoe.models import ModelConfig, RouterLoad

BRANCHES = ("specialized", "collaborative")


def stack_loads(
    loads: Sequence[RouterLoad], config: ModelConfig, like: Tensor
) -> dict[str, Tensor]:
    """Router statistics as additive tensors of a fixed shape.

    Args:
        loads: Of one forward pass; modalities without images are missing.
        config: The model's shape.
        like: Gives device and dtype.

    Returns:
        `BRANCH/probability` (with gradient) and `BRANCH/chosen`, each `(modalities, blocks, E)`,
        for the branches that the model has.
    """
    found = {(load.branch, load.modality, load.block): load for load in loads}
    numbers = {
        "specialized": config.specialized_experts,
        "collaborative": config.collaborative_experts,
    }
    stacked: dict[str, Tensor] = {}
    for branch in BRANCHES:
        experts = numbers[branch]
        if not experts:
            continue
        nothing = like.new_zeros(experts)
        for kind in ("probability", "chosen"):
            rows = [
                getattr(found[key], kind).to(nothing.dtype) if key in found else nothing
                for modality in config.modalities
                for key in ((branch, modality, block) for block in range(sum(config.depths)))
            ]
            shape = (len(config.modalities), sum(config.depths), experts)
            stacked[f"{branch}/{kind}"] = torch.stack(rows).view(shape)
    return stacked


def balance_loss(probability: Tensor, chosen: Tensor) -> Tensor:
    """E * sum over experts of f_e * p_e, the load-balance loss of Switch Transformer.

    Fedus et al. 2022 (arXiv 2101.03961, equations 4 to 6): f_e is the share of tokens that chose
    expert e, p_e its mean probability. 1 at perfect balance, E where all goes to one expert.

    Args:
        probability: `(..., E)` probabilities summed over tokens.
        chosen: `(..., E)` counts of tokens.

    Returns:
        `(...)`; 0 for a router without tokens.
    """
    tokens = chosen.sum(-1, keepdim=True).clamp(min=1)
    return chosen.shape[-1] * (chosen / tokens * (probability / tokens)).sum(-1)


def total_balance(sums: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """Sum of `balance_loss` over all routers that had tokens, and how many these are.

    The sum, not the mean, so that the push on one router does not depend on how deep the model is
    (as in Switch Transformer).

    A modality's specialized router is balanced over its own tokens; the collaborative router of a
    block over the tokens of all modalities together, so that modalities may prefer different
    experts.

    Args:
        sums: As `stack_loads` makes them.

    Returns:
        Two scalars, or None for a model without routers.
    """
    losses, used = [], []
    for branch in BRANCHES:
        if f"{branch}/chosen" not in sums:
            continue
        probability, chosen = sums[f"{branch}/probability"], sums[f"{branch}/chosen"]
        if branch == "collaborative":
            probability, chosen = probability.sum(0), chosen.sum(0)
        losses.append(balance_loss(probability, chosen).flatten())
        used.append((chosen.sum(-1) > 0).flatten())
    if not losses:
        return None
    return torch.cat(losses).sum(), torch.cat(used).sum()
