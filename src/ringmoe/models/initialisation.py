"""How weight matrices are drawn."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def draw_matrices(weight: Tensor, generator: torch.Generator | None = None) -> None:
    """Fill the matrices of the last two axes from a truncated normal, in place.

    Its variance is 2 / (rows + columns) (Glorot and Bengio 2010), so that products have a spread
    of order one at every width. The usual fixed deviation of 0.02 fits widths of about a thousand:
    at nano's 32 to 256 it leaves GELUs in their linear part for much of a short run (measured:
    docs/measurements.md).

    Args:
        weight: `(..., rows, columns)`.
        generator: Draws them; None for torch's own.
    """
    rows, columns = weight.shape[-2:]
    nn.init.trunc_normal_(weight, std=(2 / (rows + columns)) ** 0.5, generator=generator)
