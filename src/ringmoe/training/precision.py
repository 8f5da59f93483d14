"""In which numbers a model computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

PrecisionName = Literal["auto", "float32", "bfloat16", "float64"]


@dataclass(frozen=True)
class Precision:
    """The dtype of weights, and of the matrix products of a forward pass.

    Attributes:
        weights: dtype of parameters, gradients and optimiser state.
        autocast: dtype of autocast, None for none.
        device_type: "cpu" or "cuda".
    """

    weights: torch.dtype
    autocast: torch.dtype | None
    device_type: str

    def context(self) -> AbstractContextManager:
        """What a forward pass runs in."""
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device_type, self.autocast)


def choose_precision(name: PrecisionName, device: torch.device) -> Precision:
    """The precision of that name; "auto" is the faster one, as measured.

    On CUDA that is bfloat16 autocast over float32 weights. On CPUs it is float32: bfloat16
    autocast was slower there (docs/pretraining.md has the figures).

    Args:
        name: "auto", "float32", "bfloat16" (autocast) or "float64" (for exact comparisons).
        device: Where the model is.
    """
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    weights = torch.float64 if name == "float64" else torch.float32
    return Precision(weights, torch.bfloat16 if name == "bfloat16" else None, device.type)
