"""Watching the routers: which experts the tokens of each modality go to, over any calls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ringmoe.errors import ConfigError
from ringmoe.models.backbone import RingMoE
from ringmoe.models.config import ModelConfig
from ringmoe.models.router import Branch, RouterLoad

DEAD_SHARE = 0.01  # of a branch's tokens: an expert under it, for every modality, is dead


@dataclass(frozen=True)
class RouterUse:
    """What one router did with the tokens of one modality.

    Attributes:
        block: Number of the block, from 0, over all stages.
        branch: "specialized" or "collaborative".
        modality: Whose tokens.
        load: Tokens that chose each expert; of a pruned branch each that is kept.
        share: The same over their sum.
        probability: The router's mean probability of each expert.
        entropy: Of `share`, over that of equal shares: 1 where all experts have as much to do, 0
            where one has it all.
        unused: Numbers of the experts with a share under 1 %, as before pruning.
    """

    block: int
    branch: Branch
    modality: str
    load: tuple[int, ...]
    share: tuple[float, ...]
    probability: tuple[float, ...]
    entropy: float
    unused: tuple[int, ...]


class RoutingTelemetry:
    """Counts of choices, added up over calls; its size does not depend on how many.

    Nothing waits for a GPU until a figure is asked for.

    Args:
        config: The model's shape.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self._sums: dict[tuple[int, Branch, str], tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def add(self, loads: Sequence[RouterLoad]) -> None:
        """Add the loads of one call."""
        for load in loads:
            key = load.block, load.branch, load.modality
            chosen, probability = load.chosen, load.probability.detach().double()
            if key in self._sums:
                before = self._sums[key]
                chosen, probability = before[0] + chosen, before[1] + probability
            self._sums[key] = chosen, probability

    def table(self) -> list[RouterUse]:
        """One row per block, branch and modality that had tokens, in this order."""
        return [
            _use(*key, self._numbers(*key[:2]), chosen.tolist(), probability.tolist())
            for key, (chosen, probability) in sorted(self._sums.items(), key=self._place)
            if chosen.any()
        ]

    @property
    def specialized(self) -> Tensor | None:
        """`(modalities, blocks, E)` float64 shares of a modality's tokens, each row sums to 1.

        Rows of modalities without tokens are 0. None for a model without that branch.
        """
        return self._shares("specialized", self.config.specialized_experts)

    @property
    def collaborative(self) -> Tensor | None:
        """The same for the experts that all modalities share; 0 for those that pruning took."""
        return self._shares("collaborative", self.config.collaborative_experts)

    def dead_experts(self) -> int:
        """How many experts no modality that may choose them gives 1 % of its tokens."""
        dead = 0
        if self.specialized is not None:
            dead += int((self.specialized < DEAD_SHARE).sum())
        if self.collaborative is not None:
            for block, shares in enumerate(self.collaborative.amax(0)):
                dead += sum(float(shares[e]) < DEAD_SHARE for e in self.config.kept_in(block))
        return dead

    def _numbers(self, block: int, branch: Branch) -> tuple[int, ...]:
        """Which experts of a branch a block has."""
        if branch == "collaborative":
            return self.config.kept_in(block)
        return tuple(range(self.config.specialized_experts))

    def _shares(self, branch: Branch, experts: int) -> Tensor | None:
        if not experts:
            return None
        config = self.config
        chosen = torch.zeros(
            len(config.modalities), sum(config.depths), experts, dtype=torch.float64
        )
        for (block, own_branch, modality), (count, _) in self._sums.items():
            if own_branch == branch:
                row = chosen[config.modalities.index(modality), block]
                row[list(self._numbers(block, branch))] = count.cpu().double()
        return chosen / chosen.sum(-1, keepdim=True).clamp(min=1)

    def _place(self, item: tuple[tuple[int, Branch, str], object]) -> tuple[int, bool, int]:
        block, branch, modality = item[0]
        return block, branch == "collaborative", self.config.modalities.index(modality)


def _use(
    block: int,
    branch: Branch,
    modality: str,
    numbers: tuple[int, ...],
    load: list[int],
    probability: list[float],
) -> RouterUse:
    tokens = sum(load)
    share = tuple(count / tokens for count in load)
    entropy = -sum(s * math.log(s) for s in share if s)
    return RouterUse(
        block=block,
        branch=branch,
        modality=modality,
        load=tuple(load),
        share=share,
        probability=tuple(p / tokens for p in probability),
        entropy=entropy / math.log(len(load)) if len(load) > 1 else 1.0,
        unused=tuple(n for n, s in zip(numbers, share, strict=True) if s < DEAD_SHARE),
    )


@contextmanager
def record_routing(module: nn.Module) -> Iterator[RoutingTelemetry]:
    """Record where every call inside the block sends its tokens, training or not.

        with record_routing(model) as telemetry:
            for images in loader:
                encoder(images)
        telemetry.table()

    Activations that gradient checkpointing computes again are not counted again.

    Args:
        module: A backbone, or what holds one: a view, an objective, a network with a head.

    Raises:
        ConfigError: It holds no backbone, or several.
    """
    models = [part for part in module.modules() if isinstance(part, RingMoE)]
    if len(models) != 1:
        raise ConfigError(
            f"routing is recorded of one backbone, but {type(module).__name__} holds {len(models)}"
        )
    telemetry = RoutingTelemetry(models[0].config)
    models[0].load_listeners.append(telemetry.add)
    try:
        yield telemetry
    finally:
        models[0].load_listeners.remove(telemetry.add)
