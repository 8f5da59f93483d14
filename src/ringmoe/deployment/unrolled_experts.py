"""RMoE layers as standard operators, expert by expert: what export formats can hold.

Which rows an expert gets is known only when a model runs, and such formats have no product over
groups of rows whose sizes are data. Two forms of the same sum, up to rounding:

| form | what an expert computes | shapes |
|---|---|---|
| routed | the tokens that chose it: found, gathered, added back | known only when it runs |
| masked | all tokens of its modality; what was not chosen is multiplied by 0 | fixed |

Masked, the experts that are open to a modality are two products of stacks of matrices: the fewer
operations there are, the sooner they are traced and converted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ringmoe.models import RingMoE
from ringmoe.models.experts import Experts
from ringmoe.models.rmoe import RMoE
from ringmoe.models.router import Branch, Router, Routing, Span


class UnrolledExperts(nn.Module, ABC):
    """Stands in for an RMoE layer with experts; shares its router and its shared expert.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: RMoE) -> None:
        super().__init__()
        assert layer.router is not None and layer.experts is not None
        self.shared = layer.shared
        self.router: Router = layer.router

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
        parts = [self._of_span(modality, *rest) for (modality, _), *rest in per_span]
        y = parts[0] if len(parts) == 1 else torch.cat(parts)
        return (y if self.shared is None else y + self.shared(x)), routing

    def _of_span(self, modality: int, x: Tensor, chosen: Tensor, gates: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        for branch, choice, gate in zip(self.router.branches, chosen, gates, strict=True):
            y = self._add(y, _open_to(self.router, branch, modality), x, choice, gate)
        return y

    @abstractmethod
    def _add(self, y: Tensor, numbers: range, x: Tensor, choice: Tensor, gate: Tensor) -> Tensor:
        """Add what the experts of these numbers make of the tokens that chose them."""


class RoutedExperts(UnrolledExperts):
    """Each expert computes the tokens that chose it."""

    def __init__(self, layer: RMoE) -> None:
        super().__init__(layer)
        assert layer.experts is not None
        stacks = layer.experts
        self.w1, self.b1, self.w2, self.b2 = (
            nn.ParameterList(nn.Parameter(part, requires_grad=False) for part in stack.detach())
            for stack in (stacks.w1, stacks.b1, stacks.w2, stacks.b2)
        )

    def _add(self, y: Tensor, numbers: range, x: Tensor, choice: Tensor, gate: Tensor) -> Tensor:
        for number in numbers:
            rows = (choice == number).nonzero()[:, 0]
            hidden = F.gelu(x.index_select(0, rows) @ self.w1[number] + self.b1[number])
            out = hidden @ self.w2[number] + self.b2[number]
            y = y.index_add(0, rows, out * gate.index_select(0, rows)[:, None])
        return y


class MaskedExperts(UnrolledExperts):
    """All experts that are open to a modality compute all of its tokens, together."""

    def __init__(self, layer: RMoE) -> None:
        super().__init__(layer)
        assert layer.experts is not None
        router = self.router
        modalities = router.first_collaborative // max(1, router.specialized)
        self.neighbours = nn.ModuleDict()
        for branch in router.branches:
            for numbers in {_open_to(router, branch, index) for index in range(max(1, modalities))}:
                self.neighbours[str(numbers.start)] = _Neighbours(layer.experts, numbers)

    def _add(self, y: Tensor, numbers: range, x: Tensor, choice: Tensor, gate: Tensor) -> Tensor:
        return y + self.neighbours[str(numbers.start)](x, choice, gate)


class _Neighbours(nn.Module):
    """Some experts of a stack, one after another in it."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    numbers: Tensor

    def __init__(self, experts: Experts, numbers: range) -> None:
        super().__init__()
        for name in ("w1", "b1", "w2", "b2"):
            part = getattr(experts, name).detach()[numbers.start : numbers.stop]
            self.register_buffer(name, part)
        self.register_buffer("numbers", torch.tensor(numbers))

    def forward(self, x: Tensor, choice: Tensor, gate: Tensor) -> Tensor:
        """Tokens `(T, C)`, the numbers of their experts and their gates `(T,)`, to `(T, C)`."""
        here = (self.numbers[:, None] == choice).to(x.dtype) * gate  # (E, T)
        hidden = F.gelu(x @ self.w1 + self.b1[:, None]) * here[..., None]  # (E, T, hidden)
        return (hidden @ self.w2).sum(0) + here.t() @ self.b2


def _open_to(router: Router, branch: Branch, modality: int) -> range:
    """Numbers of the experts of a branch that a modality's tokens may choose."""
    if branch == "specialized":
        return range(modality * router.specialized, (modality + 1) * router.specialized)
    return range(router.first_collaborative, router.first_collaborative + len(router.kept))


@contextmanager
def unrolled(backbone: RingMoE, masked: bool) -> Iterator[None]:
    """Put `UnrolledExperts` in place of the backbone's RMoE layers; they come back at the end."""
    layers = [(block, block.ffn) for block in backbone.blocks() if block.ffn.experts is not None]
    for block, layer in layers:
        block.register_module("ffn", (MaskedExperts if masked else RoutedExperts)(layer))
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
