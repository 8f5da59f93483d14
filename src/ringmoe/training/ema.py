"""A moving average of the weights, optional."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of a module's parameters.

    Args:
        module: Followed from its weights now.
        decay: How much of the average a step keeps, e.g. 0.999.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(module.named_parameters())
        self.weights: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """After a step: average = decay * average + (1 - decay) * weights."""
        torch._foreach_lerp_(
            list(self.weights.values()), list(self._parameters.values()), 1.0 - self.decay
        )

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take the average from a checkpoint."""
        self.weights = {name: weights[name] for name in self.weights}

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average with the module's weights; again to exchange them back."""
        for name, parameter in self._parameters.items():
            kept = parameter.detach().clone()
            parameter.copy_(self.weights[name])
            self.weights[name].copy_(kept)
