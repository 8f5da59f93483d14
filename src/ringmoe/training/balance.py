"""Keeping experts in use: the load-balance loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

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
        for the branches that the model has; where pruning left fewer experts than E, the rest of
        the row is 0.
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
                _padded(getattr(found[key], kind).to(nothing.dtype), experts)
                if key in found
                else nothing
                for modality in config.modalities
                for key in ((branch, modality, block) for block in range(sum(config.depths)))
            ]
            shape = (len(config.modalities), sum(config.depths), experts)
            stacked[f"{branch}/{kind}"] = torch.stack(rows).view(shape)
    return stacked


def _padded(row: Tensor, length: int) -> Tensor:
    return pad(row, (0, length - len(row)))


def balance_loss(
    probability: Tensor, chosen: Tensor, experts: Tensor | int | None = None
) -> Tensor:
    """E * sum over experts of f_e * p_e, the load-balance loss of Switch Transformer.

    Fedus et al. 2022 (arXiv 2101.03961, equations 4 to 6): f_e is the share of tokens that chose
    expert e, p_e its mean probability. 1 at perfect balance, E where all goes to one expert.

    Args:
        probability: `(..., E)` probabilities summed over tokens.
        chosen: `(..., E)` counts of tokens.
        experts: How many of the E can be chosen, `(...)`; None for all.

    Returns:
        `(...)`; 0 for a router without tokens.
    """
    experts = chosen.shape[-1] if experts is None else experts
    tokens = chosen.sum(-1, keepdim=True).clamp(min=1)
    return experts * (chosen / tokens * (probability / tokens)).sum(-1)


def total_balance(
    sums: Mapping[str, Tensor], config: ModelConfig, scales: Mapping[str, float] | None = None
) -> tuple[Tensor, Tensor] | None:
    """Sum of `balance_loss` over all routers that had tokens, and its mean.

    The sum, not the mean, so that the push on one router does not depend on how deep the model is
    (as in Switch Transformer).

    A modality's specialized router is balanced over its own tokens; the collaborative router of a
    block over the tokens of all modalities together, so that modalities may prefer different
    experts.

    Args:
        sums: As `stack_loads` makes them.
        config: The model's shape.
        scales: Modality to a factor on the losses of its specialized routers in the sum.

    Returns:
        Two scalars, the mean without gradient and factors; or None for a model without routers.
    """
    total: Tensor | None = None
    losses, used = [], []
    for branch in BRANCHES:
        if f"{branch}/chosen" not in sums:
            continue
        probability, chosen = sums[f"{branch}/probability"], sums[f"{branch}/chosen"]
        experts = None
        if branch == "collaborative":
            probability, chosen = probability.sum(0), chosen.sum(0)
            kept = [len(config.kept_in(block)) for block in range(sum(config.depths))]
            experts = chosen.new_tensor(kept)
        loss = balance_loss(probability, chosen, experts)
        losses.append(loss.detach().flatten())
        used.append((chosen.sum(-1) > 0).flatten())
        if branch == "specialized" and scales:
            factors = [scales.get(modality, 1.0) for modality in config.modalities]
            loss = loss * loss.new_tensor(factors)[:, None]
        total = loss.sum() if total is None else total + loss.sum()
    if total is None:
        return None
    return total, torch.cat(losses).sum() / torch.cat(used).sum().clamp(min=1)
