"""The routed experts of a block, stacked, and the one seam that computes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Experts(nn.Module):
    """Two-layer FFNs (C to hidden to C, GELU) stacked along the first axis.

    Args:
        count: Number of experts E.
        dim: Channels of a token C.
        hidden: Hidden width.
    """

    def __init__(self, count: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(count, dim, hidden))
        self.b1 = nn.Parameter(torch.empty(count, hidden))
        self.w2 = nn.Parameter(torch.empty(count, hidden, dim))
        self.b2 = nn.Parameter(torch.empty(count, dim))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every expert independently: truncated normal of 0.02, zero biases."""
        for weight in (self.w1, self.w2):
            nn.init.trunc_normal_(weight, std=0.02, generator=generator)
        for bias in (self.b1, self.b2):
            nn.init.zeros_(bias)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """Apply expert e to its rows of `x`; see `grouped_ffn`."""
        return grouped_ffn(x, offsets, self.w1, self.b1, self.w2, self.b2)


def grouped_ffn(
    x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """`gelu(x @ w1[e] + b1[e]) @ w2[e] + b2[e]` for the rows of each group e.

    Args:
        x: `(N, C)`, rows sorted by group.
        offsets: `(E,)` int32 or int64, where each group ends; group e is rows
            `offsets[e - 1]` to `offsets[e]`, and may be empty.
        w1: `(E, C, hidden)`.
        b1: `(E, hidden)`.
        w2: `(E, hidden, C)`.
        b2: `(E, C)`.

    Returns:
        `(N, C)`.
    """
    backend = _grouped_mm_ffn if x.is_cuda and hasattr(F, "grouped_mm") else _loop_ffn
    return backend(x, offsets, w1, b1, w2, b2)


def _loop_ffn(x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """One matrix product per group and layer. Reads the offsets on the host."""
    ends = offsets.tolist()
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    # unbind, not w1[e]: the gradient of indexing is a zero-filled stack per expert
    stacks = zip(
        x.split(sizes), w1.unbind(0), b1.unbind(0), w2.unbind(0), b2.unbind(0), strict=True
    )
    outputs = [
        torch.addmm(bias2, F.gelu(torch.addmm(bias1, rows, first)), second)
        for rows, first, bias1, second, bias2 in stacks
    ]
    return torch.cat(outputs)


def _grouped_mm_ffn(
    x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """One grouped product per layer; the offsets stay on the device, nothing waits for it."""
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype
    x, w1, b1, w2, b2 = (t.to(dtype) for t in (x, w1, b1, w2, b2))
    ends = offsets.to(torch.int32)
    rows = torch.arange(len(x), device=x.device, dtype=torch.int32)
    group = torch.searchsorted(ends, rows, right=True)
    hidden = F.gelu(F.grouped_mm(x, w1, offs=ends) + b1[group])
    return F.grouped_mm(hidden, w2, offs=ends) + b2[group]
