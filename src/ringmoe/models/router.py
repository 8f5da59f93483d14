"""Which experts each token goes to.

Shapes: T tokens, C channels, E experts of a branch, K branches (specialized, collaborative).
Experts of a block are numbered as they are stacked: every modality's specialized ones in the
order of the config's modalities, then the collaborative ones. Where pruning has left only some of
the latter, their router keeps its rows, and a branch's experts E are those that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ringmoe.models.products import without_autocast

Branch = Literal["specialized", "collaborative"]
Span = tuple[int, int]  # index of the modality, number of consecutive tokens

ROUTER_STD = 0.002  # a tenth of the other weights': gates start near 1 / E, and turn easily


@dataclass(frozen=True)
class RouterLoad:
    """How one modality's tokens of a batch were spread over one branch of one block.

    Attributes:
        block: Number of the block, from 0, over all stages.
        branch: "specialized" or "collaborative".
        modality: Whose tokens.
        probability: `(E,)` the router's probabilities among these experts, summed over tokens;
            differentiable.
        chosen: `(E,)` int64, how many tokens chose each expert.
    """

    block: int
    branch: Branch
    modality: str
    probability: Tensor
    chosen: Tensor


@dataclass
class Routing:
    """The choices of one router.

    Attributes:
        experts: `(K, T)` int64, number of the chosen expert in the block's stack.
        gates: `(K, T)` float32, what its output is multiplied by; None for 1.
        loads: Branch, modality index, summed probabilities and counts, where asked for.
    """

    experts: Tensor
    gates: Tensor | None
    loads: list[tuple[Branch, int, Tensor, Tensor]] = field(default_factory=list)


class Router(nn.Module):
    """Top-1 routers of a block: one per modality for its specialized experts, one for all.

    Args:
        dim: Channels of a token.
        modalities: Number of modalities.
        specialized: Experts per modality; 0 for no such branch.
        collaborative: Experts that all modalities share; 0 for no such branch.
        gate: "softmax" or "unit" (`ModelConfig.gate`).
        kept: Numbers of the collaborative experts that are left, ascending; None for all.
    """

    def __init__(
        self,
        dim: int,
        modalities: int,
        specialized: int,
        collaborative: int,
        gate: str,
        kept: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.specialized = specialized
        self.collaborative = collaborative
        self.kept = tuple(range(collaborative) if kept is None else kept)
        self.gate = gate
        self.first_collaborative = modalities * specialized
        self.weight = nn.Parameter(torch.empty(self.first_collaborative + collaborative, dim))

    @property
    def branches(self) -> list[Branch]:
        """The branches that are there, in the order of `Routing.experts`."""
        sizes: dict[Branch, int] = {
            "specialized": self.specialized,
            "collaborative": len(self.kept),
        }
        return [branch for branch, size in sizes.items() if size]

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw small weights from a truncated normal."""
        nn.init.trunc_normal_(self.weight, std=ROUTER_STD, generator=generator)

    def forward(self, x: Tensor, spans: Sequence[Span], collect: bool = False) -> Routing:
        """Choose experts.

        Args:
            x: `(T, C)`.
            spans: Whose tokens `x` holds, in order.
            collect: Whether to fill `Routing.loads`.
        """
        kind = torch.promote_types(x.dtype, torch.float32)
        with without_autocast(x):
            # (experts, T): what follows goes over experts, and CPUs do that ten times faster along
            # the first axis than along a last one of four
            logits = F.linear(self.weight.to(kind), x.to(kind))
        experts, gates, loads = [], [], []
        lengths = [length for _, length in spans]
        if self.specialized:
            parts = [
                part[modality * self.specialized : (modality + 1) * self.specialized]
                for part, (modality, _) in zip(logits.split(lengths, 1), spans, strict=True)
            ]
            probabilities = torch.cat(parts, 1).softmax(dim=0)
            gate, choice = probabilities.max(dim=0)
            gates.append(gate)
            experts.append(
                torch.cat(
                    [
                        part + modality * self.specialized
                        for part, (modality, _) in zip(choice.split(lengths), spans, strict=True)
                    ]
                )
            )
            if collect:
                loads += _loads("specialized", probabilities, choice, spans)
        if self.kept:
            own = logits[self.first_collaborative :]
            probabilities = own.softmax(dim=0)
            if len(self.kept) < self.collaborative:
                # what decides is still the probability among all, so that a token whose expert is
                # kept goes there at the same gate; rows are taken without an index tensor
                own = torch.stack([own[number] for number in self.kept])
                probabilities = torch.stack([probabilities[number] for number in self.kept])
            gate, choice = probabilities.max(dim=0)
            gates.append(gate)
            experts.append(choice + self.first_collaborative)
            if collect:
                if len(self.kept) < self.collaborative:
                    probabilities = own.softmax(dim=0)
                loads += _loads("collaborative", probabilities, choice, spans)
        return Routing(
            torch.stack(experts), torch.stack(gates) if self.gate == "softmax" else None, loads
        )


def _loads(
    branch: Branch, probabilities: Tensor, choice: Tensor, spans: Sequence[Span]
) -> list[tuple[Branch, int, Tensor, Tensor]]:
    """Sums of `(E, T)` over each span's tokens."""
    lengths = [length for _, length in spans]
    numbers = torch.arange(probabilities.shape[0], device=choice.device)
    chosen = choice == numbers[:, None]
    return [
        (branch, modality, p.sum(1), c.sum(1))
        for (modality, _), p, c in zip(
            spans, probabilities.split(lengths, 1), chosen.split(lengths, 1), strict=True
        )
    ]
