"""Tokens to rows sorted by expert, and back.

Shapes: T tokens, C channels, E experts, K branches, of which each gives a token one expert; R rows:
K T, and more where groups are rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEAST_STEP = 32  # rows


@dataclass(frozen=True)
class Layout:
    """Which row is which token.

    Attributes:
        token: `(R,)`, of each row; 0 for rows that only fill a group up.
        place: `(K, T)`, the rows of each token.
        offsets: `(E,)`, where each expert's rows end.
    """

    token: Tensor
    place: Tensor
    offsets: Tensor

    @property
    def filled(self) -> bool:
        """Whether there are rows that are no token's."""
        return self.token.shape[0] > self.place.numel()


def lay_rows(experts: Tensor, count: int, *, rounded: bool) -> Layout:
    """Sort tokens by expert.

    Args:
        experts: `(K, T)` int64, the chosen ones.
        count: E.
        rounded: Whether to round the rows of each expert up, so that their numbers come again.
    """
    branches, tokens = experts.shape
    ordered, order = experts.flatten().sort(stable=True)
    numbers = torch.arange(count, device=order.device)
    offsets = torch.searchsorted(ordered, numbers, right=True)
    token, row = order % tokens, torch.arange(order.shape[0], device=order.device)
    if rounded:
        sizes = offsets.diff(prepend=offsets.new_zeros(1))
        room = _round_up(sizes)
        ends = room.cumsum(0)
        row = row + ((ends - room) - (offsets - sizes))[ordered]
        token, offsets = token.new_zeros(int(ends[-1])).index_copy(0, row, token), ends
    place = torch.empty_like(order)
    place[order] = row
    return Layout(token, place.view(branches, tokens), offsets)


def _round_up(sizes: Tensor) -> Tensor:
    """Up to a multiple of an eighth of the power of 2 below: at most an eighth more, or 31 rows."""
    power = torch.frexp(sizes.double()).exponent - 1
    step = (2 ** (power - 3).clamp(min=0)).clamp(min=_LEAST_STEP)
    return (sizes + step - 1) // step * step


def to_rows(x: Tensor, layout: Layout) -> Tensor:
    """`(T, C)` to `(R, C)`."""
    return _Dispatch.apply(x, layout.token, layout.place)


def to_tokens(rows: Tensor, gates: Tensor | None, layout: Layout) -> Tensor:
    """Each token's rows, times their gates `(K, T)`, added: `(R, C)` to `(T, C)`."""
    if gates is None and layout.filled:
        gates = rows.new_ones(layout.place.shape)  # tells rows that are no token's from others
    return _Combine.apply(rows, gates, layout.token, layout.place)


class _Dispatch(torch.autograd.Function):
    """Copy tokens `(T, C)` to rows, expert by expert: row n is token `token[n]`.

    Going backward, the rows that a token went to are known, `(K, T)` in `place`: gathering and
    adding them beats the scatter that indexing would do.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, token: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        return x.index_select(0, token)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (place,) = ctx.saved_tensors
        return _add_rows(grad, place, None), None, None


class _Combine(torch.autograd.Function):
    """Add each token's rows times their gates: the way back of `_Dispatch`, `(T, C)`."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, gates: Tensor | None, token: Tensor, place: Tensor
    ) -> Tensor:
        ctx.save_for_backward(rows, gates, token, place)
        return _add_rows(rows, place, gates)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, gates, token, place = ctx.saved_tensors
        grad = grad.index_select(0, token)
        if gates is None:
            return grad, None, None, None
        along = (grad * rows).sum(dim=-1)
        scattered = torch.zeros_like(along)
        scattered[place] = gates
        return grad * scattered[:, None], along[place], None, None


def _add_rows(rows: Tensor, place: Tensor, gates: Tensor | None) -> Tensor:
    """`sum over k of gates[k, t] * rows[place[k, t]]`."""
    fast = rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.bfloat16)
    if fast and not torch.compiler.is_compiling():  # one pass over memory, as a compiler does it
        weights = None if gates is None else gates.t().contiguous()
        return F.embedding_bag(place.t(), rows, mode="sum", per_sample_weights=weights)
    parts = [rows.index_select(0, index) for index in place]
    if gates is not None:
        parts = [part * gate[:, None] for part, gate in zip(parts, gates, strict=True)]
    return sum(parts[1:], parts[0])
