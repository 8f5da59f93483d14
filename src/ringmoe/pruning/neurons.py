"""Neuron selection: of all experts' hidden units, those with the largest measured energy.

One FFN of the experts' hidden width H is put together of whole hidden units: a unit's column of W1
and its bias as they are, its row of W2 times the mean gate of its expert (1 for the shared one).
The mean is over all the modality's tokens, 0 where another expert was chosen: for tokens that are
alike, it is the factor with the least squared error. Units are ranked by the mean of
(gate * activation)^2 * |row of W2|^2. Second biases add up, each times its expert's mean gate.

The result computes what the layer did where one expert of each branch takes all tokens at a
constant gate, and no more than H of their units are live. Else it is a start for distillation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.layer_statistics import PARTS, LayerStatistics, Part
from ringmoe.pruning.method import Integration, register


@register
@dataclass(frozen=True)
class NeuronSelection(Integration):
    """One FFN a block, of the hidden units with the most energy."""

    name: ClassVar[str] = "neurons"
    needs_statistics: ClassVar[bool] = True

    def layer(self, layer: Layer, statistics: LayerStatistics | None) -> Layer:
        """The layer with the selected units."""
        assert statistics is not None
        return layer.dense(select_neurons(layer, statistics))


def select_neurons(layer: Layer, statistics: LayerStatistics) -> Experts:
    """A stack of one FFN of the experts' hidden width.

    Args:
        layer: Of one modality.
        statistics: Of the same layer; rows of other modalities are ignored.

    Returns:
        In float32, or float64 where the experts are.
    """
    (modality,) = layer.modalities
    own = statistics.of([modality])
    stacks = dict(branches(layer, modality))
    like = next(iter(stacks.values())).b1
    hidden = like.shape[1]
    energy = torch.cat([own.unit_energy[part][0].flatten() for part in stacks]).to(like.device)
    chosen = energy.argsort(descending=True, stable=True)[:hidden].sort().values

    parts, bias, first = [], like.new_zeros(1, dtype=torch.float64), 0
    for part, experts in stacks.items():
        gates = mean_gates(own, part, experts).to(like.device)
        bias = bias + gates @ experts.b2.double()
        last = first + experts.b1.numel()
        units = chosen[(chosen >= first) & (chosen < last)] - first
        parts.append(take_units(experts, units, gates))
        first = last
    w1, b1, w2 = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return Experts(w1.T[None], b1[None], w2[None], bias[None].to(b1))


def take_units(experts: Experts, units: Tensor, gates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Some hidden units of a stack.

    Args:
        experts: The stack, of E experts with H units each.
        units: `(K,)` numbers of units, counted through the stack.
        gates: `(E,)`, what each expert's rows of w2 are multiplied by.

    Returns:
        Columns of w1 `(K, C)`, biases `(K,)` and rows of w2 `(K, C)`, in float32, or float64 where
        the experts are.
    """
    wide = torch.promote_types(experts.w1.dtype, torch.float32)
    expert, unit = units // experts.b1.shape[1], units % experts.b1.shape[1]
    w2 = experts.w2[expert, unit].to(wide) * gates[expert, None].to(wide)
    return experts.w1[expert, :, unit].to(wide), experts.b1[expert, unit].to(wide), w2


def branches(layer: Layer, modality: str) -> Iterator[tuple[Part, Experts]]:
    """The branches that the layer has, as one modality's tokens see them."""
    stacks = layer.specialized_of(modality), layer.collaborative, layer.shared
    for part, experts in zip(PARTS, stacks, strict=True):
        if experts is not None:
            yield part, experts


def mean_gates(statistics: LayerStatistics, part: Part, experts: Experts) -> Tensor:
    """`(E,)` float64: mean gate of each expert over all tokens of the first modality."""
    if part == "shared":
        return torch.ones(experts.count, dtype=torch.float64)
    return statistics.gate_mass[part][0]
