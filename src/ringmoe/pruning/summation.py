"""KS, knowledge summation: weights and biases of all experts added up (arXiv 2504.03166).

    sum over specialized + sum over collaborative + shared

GELU is not linear, so that the sum computes something else than the experts' outputs added, even
where all experts are equal: it is a start for distillation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch

from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.layer_statistics import LayerStatistics
from ringmoe.pruning.method import Integration, register


@register
@dataclass(frozen=True)
class Summation(Integration):
    """One FFN a block: the sum of all experts."""

    name: ClassVar[str] = "ks"
    needs_statistics: ClassVar[bool] = False

    def layer(self, layer: Layer, statistics: LayerStatistics | None = None) -> Layer:
        """The layer with the summed expert."""
        return layer.dense(sum_experts(layer))


def sum_experts(layer: Layer) -> Experts:
    """A stack of one: the sum of the first modality's specialized, collaborative and shared."""
    (modality,) = layer.modalities
    parts = (layer.specialized_of(modality), layer.collaborative, layer.shared)
    return weighted_sum((part, 1.0) for part in parts)


def weighted_sum(parts: Iterable[tuple[Experts | None, float]]) -> Experts:
    """Sum of stacks' experts times factors, as a stack of one.

    Experts are added one by one, so that besides them there is only the sum.

    Args:
        parts: Stacks with the factor of each expert in it; None for a branch that is absent. At
            least one is there.

    Returns:
        In float32, or float64 where the experts are.
    """
    total: Experts | None = None
    for stack, factor in parts:
        if stack is None:
            continue
        wide = torch.promote_types(stack.w1.dtype, torch.float32)
        if total is None:
            total = Experts(*(torch.zeros_like(tensor[:1], dtype=wide) for tensor in stack))
        for tensor, sums in zip(stack, total, strict=True):
            for expert in tensor:
                sums[0].add_(expert, alpha=factor)
    assert total is not None  # ModelConfig refuses a block without experts
    return total
