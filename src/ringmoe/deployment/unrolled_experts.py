"""RMoE layers as standard operators, expert by expert: what export formats can hold.

Which rows an expert gets is known only when a model runs, and such formats have no product over
groups of rows whose sizes are data. Two forms of the same sum, up to rounding:

| form | what an expert computes | shapes |
|---|---|---|
| routed | the tokens that chose it: found, gathered, added back | known only when it runs |
| masked | all tokens of its modality; what was not chosen is multiplied by 0 | fixed |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ringmoe.models import RingMoE
from ringmoe.models.rmoe import RMoE
from ringmoe.models.router import Routing, Span


class UnrolledExperts(nn.Module):
    """Stands in for an RMoE layer with experts; shares its weights.

    Args:
        layer: The layer.
        masked: Which form.
    """

    def __init__(self, layer: RMoE, masked: bool) -> None:
        super().__init__()
        assert layer.router is not None and layer.experts is not None
        self.masked = masked
        self.shared = layer.shared
        self.router = layer.router
        stacks = layer.experts
        self.w1, self.b1, self.w2, self.b2 = (
            nn.ParameterList(nn.Parameter(part, requires_grad=False) for part in stack.detach())
            for stack in (stacks.w1, stacks.b1, stacks.w2, stacks.b2)
        )

    def forward(
        self, x: Tensor, spans: Sequence[Span], collect: bool = False
    ) -> tuple[Tensor, Routing]:
        """As `RMoE.forward`: tokens `(T, C)` to `(T, C)`, and the routing, without its loads."""
        spans = _joined(spans)
        routing = self.router(x, spans)
        chosen, gates = routing.experts, routing.gates
        gates = torch.ones_like(chosen, dtype=x.dtype) if gates is None else gates.to(x.dtype)
        lengths = [length for _, length in spans]
        per_span = zip(
            spans, x.split(lengths), chosen.split(lengths, 1), gates.split(lengths, 1), strict=True
        )
        parts = [self._experts(modality, *rest) for (modality, _), *rest in per_span]
        y = parts[0] if len(parts) == 1 else torch.cat(parts)
        return (y if self.shared is None else y + self.shared(x)), routing

    def _experts(self, modality: int, x: Tensor, chosen: Tensor, gates: Tensor) -> Tensor:
        """Tokens of one modality through the experts that are open to it."""
        router = self.router
        first = modality * router.specialized
        open_to = {
            "specialized": range(first, first + router.specialized),
            "collaborative": range(
                router.first_collaborative, router.first_collaborative + len(router.kept)
            ),
        }
        y = torch.zeros_like(x)
        for branch, choice, gate in zip(router.branches, chosen, gates, strict=True):
            for number in open_to[branch]:
                here = choice == number
                if self.masked:
                    y = y + self._expert(number, x) * (here.to(x.dtype) * gate)[:, None]
                else:
                    rows = here.nonzero()[:, 0]
                    out = self._expert(number, x.index_select(0, rows))
                    y = y.index_add(0, rows, out * gate.index_select(0, rows)[:, None])
        return y

    def _expert(self, number: int, x: Tensor) -> Tensor:
        hidden = F.gelu(x @ self.w1[number] + self.b1[number])
        return hidden @ self.w2[number] + self.b2[number]


@contextmanager
def unrolled(backbone: RingMoE, masked: bool) -> Iterator[None]:
    """Put `UnrolledExperts` in place of the backbone's RMoE layers; they come back at the end."""
    layers = [(block, block.ffn) for block in backbone.blocks() if block.ffn.experts is not None]
    for block, layer in layers:
        block.register_module("ffn", UnrolledExperts(layer, masked))
    try:
        yield
    finally:
        for block, layer in layers:
            block.register_module("ffn", layer)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Neighbours of one modality made one: two dates pass the experts together."""
    joined: list[Span] = []
    for modality, length in spans:
        if joined and joined[-1][0] == modality:
            length += joined.pop()[1]
        joined.append((modality, length))
    return joined
