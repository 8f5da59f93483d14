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
    """CPU: group by group, so that hidden activations stay in the cache.

    With plain autograd the gradients of a stack's slices would be copied together once more,
    which costs as much as the products where an expert has few tokens.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, ends: list[int], w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
    ) -> Tensor:
        out = torch.empty_like(x)
        groups = _groups(ends)
        hidden, active = [], []
        for group, rows in groups:
            hidden.append(torch.addmm(b1[group], x[rows], w1[group]))
            active.append(F.gelu(hidden[-1]))
            torch.addmm(b2[group], active[-1], w2[group], out=out[rows])
        ctx.save_for_backward(x, w1, w2, *hidden, *active)
        ctx.groups = groups
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, w2, *saved = ctx.saved_tensors
        hidden, active = saved[: len(ctx.groups)], saved[len(ctx.groups) :]
        dx, dw1, dw2 = torch.empty_like(x), torch.empty_like(w1), torch.empty_like(w2)
        db1, db2 = w1.new_zeros(w1.shape[::2]), w2.new_zeros(w2.shape[::2])
        learns = ctx.needs_input_grad[2]  # frozen experts only pass the gradient on
        for (group, rows), h, a in zip(ctx.groups, hidden, active, strict=True):
            dy = grad[rows]
            dh = torch.mm(dy, w2[group].t())
            torch.ops.aten.gelu_backward.grad_input(dh, h, grad_input=dh)
            torch.mm(dh, w1[group].t(), out=dx[rows])
            if learns:
                torch.mm(a.t(), dy, out=dw2[group])
                torch.mm(x[rows].t(), dh, out=dw1[group])
                torch.sum(dy, dim=0, out=db2[group])
                torch.sum(dh, dim=0, out=db1[group])
        if not learns:
            return dx, None, None, None, None, None
        for group in set(range(len(w1))) - {group for group, _ in ctx.groups}:
            dw1[group].zero_()
            dw2[group].zero_()
        return dx, None, dw1, db1, dw2, db2


def _groups(ends: list[int]) -> list[tuple[int, slice]]:
    """Number and rows of each group that has any."""
    starts = [0, *ends]
    return [
        (group, slice(start, end))
        for group, (start, end) in enumerate(zip(starts, ends, strict=False))
        if start < end
    ]
