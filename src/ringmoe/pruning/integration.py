"""Function-aware integration: one FFN a block, fitted to what the layer was measured to compute.

For a sample of the layer's input tokens x, of one modality, its output y is computed anew, and

    y / s,    s = sum of the gates of the token's experts, 1 for the shared one

is fitted: the norm after the layer takes a token's scale away, and where all experts are equal this
is what each of them gives, whatever the routers say. The FFN's hidden units are units of the
experts, taken as they are; its second matrix and bias are fitted by least squares.

Which units: those that span most of what all of them contribute. Each unit's activations over the
sample are a column, scaled to the energy that the unit contributes to y / s; a Cholesky
factorisation of the columns' Gram matrix, pivoted by the energy that is left, takes one unit after
the other (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 10.3). A unit
that others already span has no energy left. So experts that are similar are merged: of units that
are equal up to a factor one is taken, and its row of the second matrix, fitted, stands for all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
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

RIDGES = (1e-12, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # times the Gram matrix's mean diagonal
_HELD_BACK = 8  # one token in so many decides among them
# Tokens that decide on the units: more changed no error by 1 %, and take longer.
_TOKENS_A_UNIT, _FEWEST_TOKENS = 2, 256
_SPANNED = 1e-10  # of a unit's own energy: what is left of it is rounding


@register
@dataclass(frozen=True)
class FunctionAware:
    """One FFN a block, fitted to the layer's inputs and outputs.

    Attributes:
        hidden_ratio: Hidden width over the width of the stage; None for that of the experts.
        ridge: Penalty on the squared weights, in units of the mean squared activation; None for
            the one of `RIDGES` that does best on an eighth of the sample that is held back.
    """

    name: ClassVar[str] = "function-aware"
    needs_statistics: ClassVar[bool] = True
    hidden_ratio: float | None = None
    ridge: float | None = None

    def __post_init__(self) -> None:
        if self.ridge is not None and self.ridge <= 0:
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
        if len(inputs) < 2 * _HELD_BACK:
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
        energy: `(U,)` mean of (gate / scale * activation)^2 * |row of w2|^2.
        output: `(N, C)`.
        scale: `(N,)` sum of the gates.
    """

    activations: Tensor
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
    scale = torch.stack([gate.sum(0) for gate in gates.values()]).sum(0)
    output = torch.zeros_like(x)
    activations = x.new_empty(len(x), sum(experts.b1.numel() for experts in stacks.values()))
    energy = x.new_empty(activations.shape[1])
    first = 0
    for part, experts in stacks.items():
        for expert, gate in enumerate(gates[part]):
            w1, b1, w2, b2 = (tensor[expert].double() for tensor in experts)
            own = slice(first, first + len(b1))
            active = F.gelu(torch.addmm(b1, x, w1))
            activations[:, own] = active
            weighted = ((gate / scale)[:, None] * active).square().mean(0)
            energy[own] = weighted * w2.square().sum(1)
            output += gate[:, None] * torch.addmm(b2, active, w2)
            first += len(b1)
    return Computed(activations, energy, output, scale)


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


def fit_dense(layer: Layer, inputs: Tensor, units: int, ridge: float | None = None) -> Experts:
    """The FFN of so many hidden units that computes what the layer computes, but for its scale.

    Args:
        layer: Of one modality.
        inputs: `(N, C)` a sample of its input tokens, in random order; several times as many as
            units, or the fit knows the sample and not the layer.
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
    enough = max(_FEWEST_TOKENS, _TOKENS_A_UNIT * units)
    chosen = span(found.activations[:enough], found.energy, units)
    second = least_squares(
        found.activations[:, chosen], found.output / found.scale[:, None], found.output, ridge
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


def least_squares(
    activations: Tensor, target: Tensor, output: Tensor, ridge: float | None = None
) -> Tensor:
    """Ridge regression with an intercept.

    Args:
        activations: `(N, K)` float64.
        target: `(N, C)` what is fitted.
        output: `(N, C)` the same up to a factor of each token, what errors are measured against.
        ridge: In units of the mean squared activation; None to choose it among `RIDGES`: the one
            with the smallest error, as the norm after the layer sees it, on the tokens held back.

    Returns:
        `(K + 1, C)`, the intercept last.
    """
    if ridge is None:
        count = len(target) - len(target) // _HELD_BACK
        errors = {}
        for tried, fit in zip(
            RIDGES, _ridge(activations[:count], target[:count], RIDGES), strict=True
        ):
            errors[tried] = relative_error(activations[count:] @ fit[:-1] + fit[-1], output[count:])
        ridge = min(errors, key=lambda tried: errors[tried])
    return next(_ridge(activations, target, [ridge]))


def _ridge(activations: Tensor, target: Tensor, ridges: Iterable[float]) -> Iterator[Tensor]:
    """The solution for each ridge."""
    means = activations.mean(0), target.mean(0)  # so that the intercept is not penalised
    centred = activations - means[0]
    gram, cross = centred.T @ centred, centred.T @ (target - means[1])
    unit = activations.square().sum() / max(1, len(gram)) * torch.eye(len(gram)).to(gram)
    for ridge in ridges:
        weights = torch.linalg.solve(gram + ridge * unit, cross)
        yield torch.cat([weights, (means[1] - means[0] @ weights)[None]])


def relative_error(found: Tensor, due: Tensor) -> float:
    """Squared error over squared length, of `(N, C)` outputs after a norm without weights."""
    found, due = (F.layer_norm(tensor, tensor.shape[-1:]) for tensor in (found, due))
    return float((found - due).square().sum() / due.square().sum())
