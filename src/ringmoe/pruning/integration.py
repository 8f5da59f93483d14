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

from ringmoe.errors import ConfigError, StatisticsError
from ringmoe.models import ModelConfig
from ringmoe.models.router import Branch
from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.method import dense_config, register
from ringmoe.pruning.neurons import branches, take_units
from ringmoe.pruning.statistics import LayerStatistics, Part, Statistics

_log = logging.getLogger(__name__)

RIDGE = 1e-3
_TOO_FEW = 16  # tokens
_AT_ONCE = 4096  # units that are compared with the chosen ones at a time
# Tokens that decide on the units: more changed no error by 1 %, and take longer.
_TOKENS_A_UNIT, _FEWEST_TOKENS = 2, 256
_SPANNED = 1e-10  # of a unit's own energy: what is left of it is rounding


@register
@dataclass(frozen=True)
class FunctionAware:
    """One FFN a block, fitted to the layer's inputs and outputs.

    Attributes:
        hidden_ratio: Hidden width over the width of the stage; None for that of the experts.
        ridge: Penalty on squared departures from merged units, in units of the mean squared
            activation. Large ones give merged units, small ones trust the sample.
    """

    name: ClassVar[str] = "function-aware"
    needs_statistics: ClassVar[bool] = True
    hidden_ratio: float | None = None
    ridge: float = RIDGE

    def __post_init__(self) -> None:
        if self.ridge <= 0:
            raise ConfigError(f"ridge must be positive, got {self.ridge}")

    def config(self, config: ModelConfig, statistics: Statistics | None) -> ModelConfig:
        """The dense shape, of another `mlp_ratio` where a `hidden_ratio` is given.

        Raises:
            ConfigError: There are several modalities, or the ratio is not positive.
        """
        dense = dense_config(config, self.name)
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
        return layer.dense(fit_dense(layer, inputs, units, self.ridge))


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
        ridge: As for `FunctionAware`.

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


def span(activations: Tensor, energy: Tensor, units: int) -> Tensor:
    """The hidden units that together span most of what all contribute.

    Args:
        activations: `(N, U)`.
        energy: `(U,)` what each unit contributes.
        units: How many to take at most.

    Returns:
        `(K,)` their numbers, ascending; K is smaller than `units` where fewer span all.
    """
    mean = activations.mean(0)  # the bias of the result serves it
    deviation = (activations - mean).square().sum(0).sqrt()
    factor = torch.where(deviation > 0, energy.sqrt() / deviation, 0)
    left = torch.where(deviation > 0, energy, 0).clone()
    basis = activations.new_empty(units, len(activations))
    chosen: list[int] = []
    while len(chosen) < units:
        unit = int(left.argmax())
        if left[unit] <= _SPANNED * energy[unit]:
            break
        column = (activations[:, unit] - mean[unit]) * factor[unit]
        known = basis[: len(chosen)]
        for _ in range(2):  # once more for what rounding left (Kahan and Parlett: twice is enough)
            column = column - known.T @ (known @ column)
        basis[len(chosen)] = direction = column / column.norm()
        along = (direction @ activations - direction.sum() * mean) * factor
        left = torch.where(left > _SPANNED * energy, left - along.square(), 0)
        left[unit] = 0
        chosen.append(unit)
    return torch.tensor(sorted(chosen), dtype=torch.long, device=energy.device)


def merge(activations: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
    """Rows of w2 for the chosen units that serve for all.

    Each unit's row is added to that of the chosen unit it is most alike, times the factor from
    the one's activations to the other's with the least squared error: 1 for a unit itself and for
    one that is equal, little for one that is alike to none.

    Args:
        activations: `(N, U)`.
        rows: `(U, C)`.
        chosen: `(K,)` numbers of units.

    Returns:
        `(K, C)`.
    """
    merged = rows.new_zeros(len(chosen), rows.shape[1])
    if not len(chosen):
        return merged
    base = activations[:, chosen] - activations[:, chosen].mean(0)
    length = base.norm(dim=0)
    for part, own in zip(activations.split(_AT_ONCE, 1), rows.split(_AT_ONCE), strict=True):
        along = (base / length).T @ (part - part.mean(0))
        nearest = along.abs().argmax(0)
        factor = along.gather(0, nearest[None])[0] / length[nearest]
        merged.index_add_(0, nearest, factor[:, None] * own)
    return merged


def least_squares(activations: Tensor, target: Tensor, prior: Tensor, ridge: float) -> Tensor:
    """Ridge regression around a prior, with an intercept that is free.

    Args:
        activations: `(N, K)` float64.
        target: `(N, C)`.
        prior: `(K, C)` the weights from which departures are penalised.
        ridge: In units of the mean squared activation.

    Returns:
        `(K + 1, C)`, the intercept last.
    """
    means = activations.mean(0), target.mean(0)
    centred = activations - means[0]
    gram = centred.T @ centred
    penalty = ridge * activations.square().sum() / max(1, len(gram))
    gram.diagonal().add_(penalty)
    left = target - means[1] - centred @ prior
    weights = prior + torch.linalg.solve(gram, centred.T @ left)
    return torch.cat([weights, (means[1] - means[0] @ weights)[None]])


def relative_error(found: Tensor, due: Tensor) -> float:
    """Squared error over squared length, of `(N, C)` outputs after a norm without weights."""
    found, due = (F.layer_norm(tensor, tensor.shape[-1:]) for tensor in (found, due))
    return float((found - due).square().sum() / due.square().sum())
