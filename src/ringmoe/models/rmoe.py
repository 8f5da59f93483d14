"""The RMoE layer: specialized, collaborative and shared experts in place of a block's FFN.

    y = g_m[e] * specialized[m, e](x)  +  g[e'] * collaborative[e'](x)  +  shared(x)

for a token x of modality m; e and e' are the choices of the routers (top 1, no capacity).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ringmoe.models.config import ModelConfig
from ringmoe.models.experts import Experts
from ringmoe.models.products import Linear
from ringmoe.models.router import Router, Routing, Span


class FeedForward(nn.Module):
    """The shared expert: a dense two-layer FFN with GELU.

    Args:
        dim: Channels of a token.
        hidden: Hidden width.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(dim, hidden)
        self.fc2 = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., C)` to `(..., C)`."""
        return self.fc2(F.gelu(self.fc1(x)))


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
        scattered = torch.empty_like(along)
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


class RMoE(nn.Module):
    """The FFN of a block: three branches of experts, added.

    Args:
        config: Numbers of experts, modalities and the kind of gate.
        dim: Channels of a token in this block's stage.
        block: Number of the block over all stages: pruning may have left it fewer experts.
    """

    def __init__(self, config: ModelConfig, dim: int, block: int = 0) -> None:
        super().__init__()
        hidden = config.hidden(dim)
        self.shared = FeedForward(dim, hidden) if config.shared_expert else None
        self.router: Router | None = None
        self.experts: Experts | None = None
        if config.experts_in(block):
            self.router = Router(
                dim,
                len(config.modalities),
                config.specialized_experts,
                config.collaborative_experts,
                config.gate,
                config.kept_in(block),
            )
            self.experts = Experts(config.experts_in(block), dim, hidden)

    def forward(
        self, x: Tensor, spans: Sequence[Span], collect: bool = False
    ) -> tuple[Tensor, Routing | None]:
        """Apply the layer.

        Args:
            x: `(T, C)` tokens of all modalities.
            spans: Whose tokens `x` holds, in order.
            collect: Whether to gather the routers' loads.

        Returns:
            `(T, C)` and the routing (None in a dense shape).
        """
        if self.router is None:
            assert self.shared is not None  # ModelConfig refuses a block without experts
            return self.shared(x), None
        routing = self.router(x, spans, collect)
        y = self._routed(x, routing)
        return y if self.shared is None else y + self.shared(x), routing

    def _routed(self, x: Tensor, routing: Routing) -> Tensor:
        """What the chosen expert of each branch makes of each token, times its gate, added."""
        assert self.experts is not None
        branches, tokens = routing.experts.shape
        ordered, order = routing.experts.flatten().sort(stable=True)
        numbers = torch.arange(len(self.experts.w1), device=order.device)
        offsets = torch.searchsorted(ordered, numbers, right=True)
        token = order % tokens
        place = torch.empty_like(order)
        place[order] = torch.arange(order.shape[0], device=order.device)
        place = place.view(branches, tokens)

        rows = self.experts(_Dispatch.apply(x, token, place), offsets)
        gates = None if routing.gates is None else routing.gates.to(rows.dtype)
        return _Combine.apply(rows, gates, token, place)
