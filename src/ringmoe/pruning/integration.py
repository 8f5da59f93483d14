"""Function-aware integration: one FFN a block, fitted to what the layer was measured to compute.

For a sample of the layer's input tokens x, of one modality, its output y is computed anew, and

    y / s,    s = sum of the gates of the token's experts, 1 for the shared one

is fitted: the norm after the layer takes a token's scale away, and where all experts are equal this
is what each of them gives, whatever the routers say. The FFN's hidden units are units of the
experts, taken as they are; its second matrix and bias are fitted.

Which units: those that span most of what all of them contribute (`span`). Each unit's activations
over the sample are a column, scaled to the energy that the unit contributes to y / s; a Cholesky
factorisation of the columns' Gram matrix, pivoted by the energy that is left, takes one unit after
the other (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 10.3). A unit
that others already span has no energy left, so that of equal units one is taken.

Which second matrix: similar units are merged first (`merge`), each at the mean of its expert's
gate / s. Where experts are equal, or one of each branch takes all tokens and the live units fit,
that is the answer. From there least squares go on, departures being penalised (`least_squares`):
without the penalty the fit is better on the sample, and worse on images that are unlike it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ringmoe.errors import StatisticsError
from ringmoe.models import ModelConfig
from ringmoe.models.router import Branch
from ringmoe.pruning.fitting import least_squares, merge, span
from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.layer_statistics import LayerStatistics, Part
from ringmoe.pruning.method import Integration, register
from ringmoe.pruning.neurons import branches, take_units
from ringmoe.pruning.statistics import Statistics

_log = logging.getLogger(__name__)

RIDGE = 1e-3
_TOO_FEW = 16  # tokens
# Tokens that decide on the units: more changed no error by 1 %, and take longer.
_TOKENS_A_UNIT, _FEWEST_TOKENS = 2, 256


@register
@dataclass(frozen=True)
class FunctionAware(Integration):
    """One FFN a block, fitted to the layer's inputs and outputs.

    Attributes:
        hidden_ratio: Hidden width over the width of the stage; None for that of the experts.
    """

    name: ClassVar[str] = "function-aware"
    needs_statistics: ClassVar[bool] = True
    hidden_ratio: float | None = None

    def config(self, config: ModelConfig, statistics: Statistics | None = None) -> ModelConfig:
        """The dense shape, of another `mlp_ratio` where a `hidden_ratio` is given.

        Raises:
            ConfigError: There are several modalities, or the ratio is not positive.
        """
        dense = super().config(config, statistics)
        return dense if self.hidden_ratio is None else dense.replace(mlp_ratio=self.hidden_ratio)

    def layer(self, layer: Layer, statistics: LayerStatistics | None) -> Layer:
        """The layer with the fitted FFN.

        Raises:
            StatisticsError: The sample of input tokens is too small to fit anything.
        """
        assert statistics is not None
        (modality,) = layer.modalities
        inputs = statistics.inputs[modality]
        if len(inputs) < _TOO_FEW:
            raise StatisticsError(
                f"{len(inputs)} input tokens of {modality} are too few to fit block {layer.block}: "
                "calibrate with more images and samples"
            )
        units = next(experts for _, experts in branches(layer, modality)).b1.shape[1]
        if self.hidden_ratio is not None:
            units = int(inputs.shape[1] * self.hidden_ratio)
        return layer.dense(fit_dense(layer, inputs, units))


@dataclass(frozen=True)
class Computed:
    """What a layer makes of N tokens of its one modality, with U hidden units in all its experts.

    Attributes:
        activations: `(N, U)` of every unit, whether its expert was chosen or not.
        rows: `(U, C)` each unit's row of w2 times the mean of its expert's gate over the scale.
        energy: `(U,)` mean of |gate / scale * activation * row of w2|^2.
        output: `(N, C)`.
        scale: `(N,)` sum of the gates.
    """

    activations: Tensor
    rows: Tensor
    energy: Tensor
    output: Tensor
    scale: Tensor


def compute(layer: Layer, x: Tensor) -> Computed:
    """Run a layer in float64.

    Args:
        layer: Of one modality.
        x: `(N, C)`.
    """
    (modality,) = layer.modalities
    stacks = dict(branches(layer, modality))
    x = x.to(next(iter(stacks.values())).b1.device, torch.float64)
    gates = {part: gates_of(layer, part, x) for part in stacks}
    scale = torch.cat(list(gates.values())).sum(0)
    output = torch.zeros_like(x)
    units = sum(experts.b1.numel() for experts in stacks.values())
    activations, energy = x.new_empty(len(x), units), x.new_empty(units)
    rows = x.new_empty(units, x.shape[1])
    first = 0
    for part, experts in stacks.items():
        for expert, gate in enumerate(gates[part]):
            w1, b1, w2, b2 = (tensor[expert].double() for tensor in experts)
            own = slice(first, first + len(b1))
            active = F.gelu(torch.addmm(b1, x, w1))
            output += gate[:, None] * torch.addmm(b2, active, w2)
            share = gate / scale
            energy[own] = (share[:, None] * active).square().mean(0) * w2.square().sum(1)
            rows[own] = share.mean() * w2
            activations[:, own] = active
            first += len(b1)
    return Computed(activations, rows, energy, output, scale)


def gates_of(layer: Layer, part: Part, x: Tensor) -> Tensor:
    """`(E, N)` what each expert of a part is multiplied by for each of `(N, C)` tokens."""
    if part == "shared":
        return x.new_ones(1, len(x))
    assert layer.router is not None
    rows: dict[Branch, slice] = {
        "specialized": slice(0, layer.specialized),
        "collaborative": slice(layer.specialized, None),
    }
    probabilities = (layer.router[rows[part]].to(x) @ x.T).softmax(0)
    if part == "collaborative":
        probabilities = probabilities[list(layer.kept)]
    gate, choice = probabilities.max(0, keepdim=True)
    gate = torch.ones_like(gate) if layer.gate == "unit" else gate
    return torch.zeros_like(probabilities).scatter_(0, choice, gate)


def fit_dense(layer: Layer, inputs: Tensor, units: int, ridge: float = RIDGE) -> Experts:
    """The FFN of so many hidden units that computes what the layer computes, but for its scale.

    Args:
        layer: Of one modality.
        inputs: `(N, C)` a sample of its input tokens, in random order.
        units: Hidden width H. Where fewer span all that the experts do, the others stay zero.
        ridge: Penalty on squared departures from merged units, in units of the mean squared
            activation. Large ones give merged units, small ones trust the sample.

    Returns:
        A stack of one, in float32, or float64 where the experts are.
    """
    if len(inputs) < 2 * units:
        _log.warning(
            "block %d: %d hidden units are fitted to only %d tokens; calibrate with more samples",
            layer.block,
            units,
            len(inputs),
        )
    found = compute(layer, inputs)
    few = found.activations[: max(_FEWEST_TOKENS, _TOKENS_A_UNIT * units)]
    chosen = span(few, found.energy, units)
    second = least_squares(
        found.activations[:, chosen],
        found.output / found.scale[:, None],
        merge(few, found.rows, chosen),
        ridge,
    )
    (modality,) = layer.modalities
    parts, first = [], 0
    for _, experts in branches(layer, modality):
        last = first + experts.b1.numel()
        own = chosen[(chosen >= first) & (chosen < last)] - first
        parts.append(take_units(experts, own, experts.b1.new_ones(experts.count))[:2])
        first = last
    w1, b1 = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    empty = units - len(chosen)
    w1, w2 = (F.pad(matrix.to(b1), (0, 0, 0, empty)) for matrix in (w1, second[:-1]))
    return Experts(w1.T[None], F.pad(b1, (0, empty))[None], w2[None], second[-1:].to(b1))
