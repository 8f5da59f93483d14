"""The routed experts of a block, stacked, and the one seam that computes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ringmoe.models.initialisation import draw_matrices
from ringmoe.models.products import addmm_into, mm_into


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
        """Draw every expert independently; biases are zero."""
        for weight in (self.w1, self.w2):
            draw_matrices(weight, generator)
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
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, w1, b1, w2, b2))
    if torch.compiler.is_compiling():
        return _operator(x, offsets, w1, b1, w2, b2, keep)[0]
    if keep:
        return _LoopFFN.apply(x, offsets, w1, b1, w2, b2)
    return _loop_ffn(x, offsets, w1, b1, w2, b2, keep)[0]


def _grouped_mm_ffn(
    x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """CUDA: one grouped product per layer; the offsets stay on the device, nothing waits."""
    ends = offsets.to(torch.int32)
    rows = torch.arange(x.shape[0], device=x.device, dtype=torch.int32)
    group = torch.searchsorted(ends, rows, right=True)
    hidden = F.gelu(F.grouped_mm(x, w1, offs=ends) + b1.index_select(0, group))
    return F.grouped_mm(hidden, w2, offs=ends) + b2.index_select(0, group)


def _loop_ffn(
    x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """CPU: group by group, so that hidden activations stay in the cache.

    Returns `grouped_ffn` and, to keep for the gradient, the hidden rows before and after GELU:
    `(N, hidden)`, or without rows.
    """
    out, hidden, active = _outputs(x, w1, keep)
    sizes = _sizes(offsets)
    rows = [t.split(sizes) for t in ((x, out, hidden, active) if keep else (x, out))]
    stacks = [t.unbind(0) for t in (w1, b1, w2, b2)]
    for (x_, out_, *kept), (w1_, b1_, w2_, b2_) in zip(
        zip(*rows, strict=True), zip(*stacks, strict=True), strict=True
    ):
        if len(x_):
            h, a = kept or [x.new_empty(len(x_), w1.shape[2])] * 2
            addmm_into(h, b1_, x_, w1_)
            F.gelu(h, out=a)  # type: ignore[call-arg] # the stubs do not know `out`
            addmm_into(out_, b2_, a, w2_)
    return out, hidden, active


def _loop_ffn_backward(
    grad: Tensor,
    x: Tensor,
    offsets: Tensor,
    w1: Tensor,
    w2: Tensor,
    hidden: Tensor,
    active: Tensor,
    learns: bool,
) -> list[Tensor]:
    """Gradients of `x` and, where the experts learn, of `w1`, `b1`, `w2` and `b2`."""
    dx, *dstacks = gradients = _gradients(x, w1, w2, learns)
    sizes = _sizes(offsets)
    rows = [t.split(sizes) for t in (grad, x, hidden, active, dx)]
    stacks = [t.unbind(0) for t in (w1, w2, *dstacks)]
    for (dy, x_, h, a, dx_), (w1_, w2_, *dstacks_) in zip(
        zip(*rows, strict=True), zip(*stacks, strict=True), strict=True
    ):
        dh = torch.empty_like(h)
        mm_into(dh, dy, w2_.t())
        torch.ops.aten.gelu_backward.grad_input(dh, h, grad_input=dh)
        mm_into(dx_, dh, w1_.t())
        if learns:  # also without rows: the gradient is zero then
            dw1, db1, dw2, db2 = dstacks_
            mm_into(dw1, x_.t(), dh)
            torch.sum(dh, dim=0, out=db1)
            mm_into(dw2, a.t(), dy)
            torch.sum(dy, dim=0, out=db2)
    return gradients


def _sizes(offsets: Tensor) -> list[int]:
    """Rows of each group."""
    ends = offsets.tolist()
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _outputs(x: Tensor, w1: Tensor, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    kept = (x.shape[0] if keep else 0, w1.shape[2])
    return torch.empty_like(x), x.new_empty(kept), x.new_empty(kept)


def _gradients(x: Tensor, w1: Tensor, w2: Tensor, learns: bool) -> list[Tensor]:
    dx = torch.empty_like(x)
    if not learns:
        return [dx]
    db1, db2 = (weight.new_empty(weight.shape[::2]) for weight in (w1, w2))
    return [dx, torch.empty_like(w1), db1, torch.empty_like(w2), db2]


class _LoopFFN(torch.autograd.Function):
    """The loop with its gradient.

    With plain autograd the gradients of a stack's slices would be copied together once more,
    which costs as much as the products where an expert has few tokens.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
    ) -> Tensor:
        output = _loop_ffn(x, offsets, w1, b1, w2, b2, keep=True)
        _save(ctx, (x, offsets, w1, b1, w2, b2), output)
        return output[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad, _loop_ffn_backward)


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, offsets, w1, _, w2, *_ = inputs
    ctx.save_for_backward(x, offsets, w1, w2, *output[1:])


def _backward(
    ctx: Any, grad: Tensor, loop_backward: Callable[..., list[Tensor]]
) -> tuple[Tensor | None, ...]:
    learns = any(ctx.needs_input_grad[2:6])  # frozen experts only pass the gradient on
    dx, *stacks = loop_backward(grad, *ctx.saved_tensors, learns)
    return dx, None, *(stacks if learns else [None] * 4)


# torch.compile and torch.export cannot look into the loop: which rows are a group's is known only
# when it runs. They take it whole, as an operator, and its gradient as another. Eager mode does
# without these, which take a second to be first called and hide the products from a FLOP counter.
_operator = torch.library.custom_op("ringmoe::grouped_ffn", _loop_ffn, mutates_args=())
_operator_backward = torch.library.custom_op(
    "ringmoe::grouped_ffn_backward", _loop_ffn_backward, mutates_args=()
)


@_operator.register_fake
def _(
    x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return _outputs(x, w1, keep)


@_operator_backward.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    offsets: Tensor,
    w1: Tensor,
    w2: Tensor,
    hidden: Tensor,
    active: Tensor,
    learns: bool,
) -> list[Tensor]:
    return _gradients(x, w1, w2, learns)


def _operator_save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)  # of the hidden rows, which nobody uses
    _save(ctx, inputs, output)


def _operator_gradients(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    return (None,) * 7 if grad is None else (*_backward(ctx, grad, _operator_backward), None)


_operator.register_autograd(_operator_gradients, setup_context=_operator_save)
