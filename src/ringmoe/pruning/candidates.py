"""What could be made of a model, and how large each would be, in closed form."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ringmoe.errors import ConfigError
from ringmoe.models import ModelConfig, describe
from ringmoe.models.plan import scale_shape
from ringmoe.pruning.averaging import Averaging
from ringmoe.pruning.budget import Budget
from ringmoe.pruning.decomposition import Decomposition
from ringmoe.pruning.expert_pruning import ExpertPruning
from ringmoe.pruning.fidelity import Fidelity
from ringmoe.pruning.integration import FunctionAware
from ringmoe.pruning.method import Method, Selection
from ringmoe.pruning.neurons import NeuronSelection
from ringmoe.pruning.prune import outline
from ringmoe.pruning.quantisation import is_quantised
from ringmoe.pruning.statistics import Statistics
from ringmoe.pruning.submodel import SubModel
from ringmoe.pruning.summation import Summation

_log = logging.getLogger(__name__)

KEEPS = (0.75, 0.5, 0.25)  # of the collaborative experts
HIDDEN = (1.0, 0.5, 0.25)  # of an expert's hidden width, where the method may choose it


@dataclass(frozen=True)
class Candidate:
    """A smaller model that could be made.

    Attributes:
        method: How.
        int8: Whether its matrices are then kept in 8 bits.
        config: Its shape.
        parameters: Number of weights.
        flops: Of a forward pass of an image of the first modality (`describe`).
        bytes: Of its tensors on disk, without the files' headers.
        latency: Seconds for one image of the first modality at the native size, with all its
            channels, on this machine; None where it was not measured.
        fidelity: To the full model; None where it was not measured.
    """

    method: Method
    int8: bool
    config: ModelConfig
    parameters: int
    flops: int
    bytes: int
    latency: float | None = None
    fidelity: Fidelity | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Options of the method that are set."""
        values = vars(self.method)
        return {name: value for name, value in values.items() if value is not None}

    @property
    def words(self) -> str:
        """As for the command line: "ep --keep 0.5 --scope layer --int8"."""
        options = [f"--{name.replace('_', '-')} {v}" for name, v in self.options.items()]
        return " ".join([self.method.name, *options, *["--int8"] * self.int8])


def methods(config: ModelConfig) -> Iterator[Method]:
    """All that is tried, those that keep most first."""
    yield SubModel()
    for keep in KEEPS:
        yield ExpertPruning(keep, "layer")
        yield ExpertPruning(keep, "global")
    for share in HIDDEN:
        yield FunctionAware(None if share == 1 else share * config.mlp_ratio)
    yield from (NeuronSelection(), Averaging(), Summation(), Decomposition())


def size_candidates(
    part: ModelConfig,
    types: Mapping[str, torch.dtype],
    statistics: Statistics | None,
    dtype: torch.dtype | None,
    budget: Budget,
) -> Iterator[Candidate]:
    """The candidates that there are, nothing measured; no model twice.

    Args:
        part: Shape of the full model of the wanted modalities.
        types: Of its tensors.
        statistics: Of the wanted modalities; None leaves out methods that need them.
        dtype: Floating type of the results instead; None for the tensors' own.
        budget: Of bytes: then each is there once more, in 8 bits.
    """
    seen: list[ModelConfig] = []  # of methods that only select: equal shapes are equal models
    without = []
    for method in methods(part):
        if method.needs_statistics and statistics is None:
            without.append(method.name)
            continue
        try:
            config = method.config(part, statistics)
        except ConfigError as error:  # several modalities, or nothing to prune
            _log.debug("%s: %s", method.name, error)
            continue
        if config in seen:
            continue
        if isinstance(method, Selection):
            seen.append(config)
        facts = describe(config)
        tensors = outline(config, types, dtype)
        for int8 in (False, True) if budget.kind == "bytes" else (False,):
            yield Candidate(
                method,
                int8,
                config,
                facts["parameters"]["total"],
                facts["flops_per_image"]["total"],
                sum(_stored_bytes(name, tensor, int8) for name, tensor in tensors.items()),
            )
    if without:
        _log.info("left out, without statistics: %s", ", ".join(dict.fromkeys(without)))


def _stored_bytes(name: str, tensor: torch.Tensor, int8: bool) -> int:
    """Of a tensor in a checkpoint, with its scale."""
    if not (int8 and is_quantised(name)):
        return tensor.nbytes
    return tensor.numel() + math.prod(scale_shape(tuple(tensor.shape))) * tensor.itemsize
