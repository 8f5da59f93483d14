"""The FFN of one block as pruning sees it: what every method takes, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from ringmoe.models import ModelConfig
from ringmoe.models.config import Gate

EXPERTS, ROUTER, SHARED = "experts.", "router.weight", "shared."


class Experts(NamedTuple):
    """Two-layer FFNs, `gelu(x @ w1[e] + b1[e]) @ w2[e] + b2[e]`, stacked along the first axis.

    Attributes:
        w1: `(E, C, H)`.
        b1: `(E, H)`.
        w2: `(E, H, C)`.
        b2: `(E, C)`.
    """

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor

    @property
    def count(self) -> int:  # type: ignore[override] # of a tuple, which nobody asks
        """Number of experts E."""
        return len(self.w1)

    def take(self, rows: slice | list[int]) -> Experts:
        """Some of the experts."""
        return Experts(*(tensor[rows] for tensor in self))


@dataclass(frozen=True)
class Layer:
    """The experts and the router of one block.

    Attributes:
        block: Number of the block, from 0, over all stages.
        modalities: Whose specialized experts it holds, in order.
        specialized: Experts per modality.
        kept: Numbers of the collaborative experts that it holds.
        gate: As `ModelConfig.gate`.
        experts: The routed experts: each modality's specialized ones, then the collaborative
            ones; None for a dense layer.
        router: `(rows, C)`, a row for each specialized expert, then for each collaborative one
            that the model was trained with, kept or not; None for a dense layer.
        shared: The shared expert as a stack of one; None where there is none.
    """

    block: int
    modalities: tuple[str, ...]
    specialized: int
    kept: tuple[int, ...]
    gate: Gate
    experts: Experts | None
    router: Tensor | None
    shared: Experts | None

    @classmethod
    def of(cls, config: ModelConfig, block: int, tensors: Mapping[str, Tensor]) -> Layer:
        """The layer with these tensors, named as in a checkpoint after `ffn.`."""
        stack = (
            Experts(*(tensors[EXPERTS + n] for n in Experts._fields))
            if (EXPERTS + "w1" in tensors)
            else None
        )
        return cls(
            block=block,
            modalities=config.modalities,
            specialized=config.specialized_experts,
            kept=config.kept_in(block),
            gate=config.gate,
            experts=stack,
            router=tensors.get(ROUTER),
            shared=_shared(tensors) if SHARED + "fc1.weight" in tensors else None,
        )

    def tensors(self) -> dict[str, Tensor]:
        """The same as a checkpoint names them after `ffn.`."""
        found: dict[str, Tensor] = {}
        if self.shared is not None:
            w1, b1, w2, b2 = (tensor[0] for tensor in self.shared)
            found = {"fc1.weight": w1.T, "fc1.bias": b1, "fc2.weight": w2.T, "fc2.bias": b2}
            found = {SHARED + name: tensor for name, tensor in found.items()}
        if self.router is not None:
            found[ROUTER] = self.router
        if self.experts is not None:
            found |= {EXPERTS + n: t for n, t in self.experts._asdict().items()}
        return found

    def specialized_of(self, modality: str) -> Experts | None:
        """A modality's specialized experts; None where there are none."""
        first = self.modalities.index(modality) * self.specialized
        return self._part(slice(first, first + self.specialized))

    @property
    def collaborative(self) -> Experts | None:
        """The collaborative experts that are kept; None where there are none."""
        return self._part(slice(len(self.modalities) * self.specialized, None))

    def dense(self, ffn: Experts) -> Layer:
        """The layer with nothing but this FFN, a stack of one."""
        return replace(self, specialized=0, kept=(), experts=None, router=None, shared=ffn)

    def _part(self, rows: slice) -> Experts | None:
        if self.experts is None:
            return None
        part = self.experts.take(rows)
        return part if part.count else None


def _shared(tensors: Mapping[str, Tensor]) -> Experts:
    """A dense FFN's `(out, in)` matrices as a stack of one expert."""
    w1, w2 = (tensors[f"{SHARED}{fc}.weight"].T[None] for fc in ("fc1", "fc2"))
    b1, b2 = (tensors[f"{SHARED}{fc}.bias"][None] for fc in ("fc1", "fc2"))
    return Experts(w1, b1, w2, b2)
