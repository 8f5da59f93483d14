"""EP: the collaborative experts that the wanted modalities' tokens choose most (arXiv 2504.03166).

Routers keep every row, so that a token whose expert is kept gets the output that it had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ringmoe.errors import ConfigError
from ringmoe.models import ModelConfig
from ringmoe.pruning.method import Selection, register
from ringmoe.pruning.statistics import Statistics

Scope = Literal["layer", "global"]


@register
@dataclass(frozen=True)
class ExpertPruning(Selection):
    """Keep a share of the collaborative experts: those chosen most often on calibration data.

    For several modalities the sum of their frequencies counts, whatever the number of tokens.

    Attributes:
        keep: Share that is kept, over 0 to 1; the paper's is a quarter.
        scope: "layer": the share of each block's experts, at least one. "global": the share of all
            blocks' together; a block may keep none, and another all.

    Raises:
        ConfigError: A value is not allowed.
    """

    name: ClassVar[str] = "ep"
    needs_statistics: ClassVar[bool] = True

    keep: float = 0.25
    scope: Scope = "layer"

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ConfigError(f"keep must be a share over 0, at most 1, got {self.keep:g}")
        if self.scope not in ("layer", "global"):
            raise ConfigError(f"scope must be 'layer' or 'global', got {self.scope!r}")

    def config(self, config: ModelConfig, statistics: Statistics | None) -> ModelConfig:
        """The shape with the kept experts.

        Raises:
            ConfigError: There are no collaborative experts, or no statistics.
        """
        if statistics is None:
            raise ConfigError(f"method {self.name!r} needs statistics: none were given")
        blocks = range(sum(config.depths))
        kept = [config.kept_in(block) for block in blocks]
        if not any(kept):
            raise ConfigError("the model has no collaborative experts: there is nothing to prune")
        layers = statistics.of(config.modalities).layers
        frequencies = [
            layers[block].frequency["collaborative"].sum(0) if kept[block] else None
            for block in blocks
        ]
        return config.replace(kept_experts=most_frequent(frequencies, kept, self.keep, self.scope))


def most_frequent(
    frequencies: Sequence[Tensor | None],
    experts: Sequence[tuple[int, ...]],
    keep: float,
    scope: Scope,
) -> tuple[tuple[int, ...], ...]:
    """Which experts of each block are kept.

    Args:
        frequencies: Of each block, `(E,)` how often each of its experts is chosen; None for a
            block without any.
        experts: Their numbers.
        keep: Share of them that is kept, to the nearest whole number, and at least one.
        scope: Whether shares and ranks are of each block or of all together.

    Returns:
        Numbers of each block, ascending. Of equally frequent experts the first is kept.
    """
    ranked = sorted(
        (-float(frequency), block, number)
        for block, (values, numbers) in enumerate(zip(frequencies, experts, strict=True))
        if values is not None
        for frequency, number in zip(values.tolist(), numbers, strict=True)
    )
    if scope == "global":
        chosen = ranked[: _share(keep, len(ranked))]
    else:
        chosen = []
        for block, numbers in enumerate(experts):
            own = [entry for entry in ranked if entry[1] == block]
            chosen += own[: _share(keep, len(numbers))]
    kept: list[list[int]] = [[] for _ in experts]
    for _, block, number in chosen:
        kept[block].append(number)
    return tuple(tuple(sorted(numbers)) for numbers in kept)


def _share(keep: float, count: int) -> int:
    return max(1, math.floor(keep * count + 0.5))
