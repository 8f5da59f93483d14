"""The routed experts of a block, stacked, and the one seam that computes them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


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
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, w1, b1, w2, b2 = (tensor.to(dtype) for tensor in (x, w1, b1, w2, b2))
    if x.is_cuda and x.dtype != torch.float64 and hasattr(F, "grouped_mm"):
        return _grouped_mm_ffn(x, offsets, w1, b1, w2, b2)
    return _LoopFFN.apply(x, offsets.tolist(), w1, b1, w2, b2)


def _grouped_mm_ffn(
    x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """CUDA: one grouped product per layer; the offsets stay on the device, nothing waits."""
    ends = offsets.to(torch.int32)
    rows = torch.arange(len(x), device=x.device, dtype=torch.int32)
    group = torch.searchsorted(ends, rows, right=True)
    hidden = F.gelu(F.grouped_mm(x, w1, offs=ends) + b1.index_select(0, group))
    return F.grouped_mm(hidden, w2, offs=ends) + b2.index_select(0, group)


class _LoopFFN(torch.autograd.Function):
    """CPU: one product per group and layer, each written where its result belongs.

    With plain autograd the gradients of a stack's slices would be copied together once more,
    which costs as much as the products where an expert has few tokens.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, ends: list[int], w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
    ) -> Tensor:
        hidden = x.new_empty(len(x), w1.shape[2])
        out = torch.empty_like(x)
        groups = _groups(ends)
        for group, rows in groups:
            torch.addmm(b1[group], x[rows], w1[group], out=hidden[rows])
        active = F.gelu(hidden)
        for group, rows in groups:
            torch.addmm(b2[group], active[rows], w2[group], out=out[rows])
        ctx.save_for_backward(x, hidden, active, w1, w2)
        ctx.groups = groups
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, hidden, active, w1, w2 = ctx.saved_tensors
        d_active, dx = torch.empty_like(active), torch.empty_like(x)
        for group, rows in ctx.groups:
            torch.mm(grad[rows], w2[group].t(), out=d_active[rows])
        d_hidden = torch.ops.aten.gelu_backward(d_active, hidden)
        for group, rows in ctx.groups:
            torch.mm(d_hidden[rows], w1[group].t(), out=dx[rows])
        if not ctx.needs_input_grad[2]:  # frozen experts
            return dx, None, None, None, None, None
        first = _weight_gradients(x, d_hidden, w1, ctx.groups)
        return dx, None, *first, *_weight_gradients(active, grad, w2, ctx.groups)


def _groups(ends: list[int]) -> list[tuple[int, slice]]:
    """Number and rows of each group that has any."""
    starts = [0, *ends]
    return [
        (group, slice(start, end))
        for group, (start, end) in enumerate(zip(starts, ends, strict=False))
        if start < end
    ]


def _weight_gradients(
    inputs: Tensor, grad: Tensor, weight: Tensor, groups: list[tuple[int, slice]]
) -> tuple[Tensor, Tensor]:
    """Gradients of a layer's stacked weights and biases; zero where a group has no rows."""
    d_weight = torch.empty_like(weight)
    d_bias = grad.new_zeros(len(weight), weight.shape[2])
    used = {group for group, _ in groups}
    for group in range(len(weight)):
        if group not in used:
            d_weight[group].zero_()
    for group, rows in groups:
        torch.mm(inputs[rows].t(), grad[rows], out=d_weight[group])
        torch.sum(grad[rows], dim=0, out=d_bias[group])
    return d_weight, d_bias
