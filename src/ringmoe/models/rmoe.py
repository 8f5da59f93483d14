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

from ringmoe.models.config import ModelConfig
from ringmoe.models.experts import Experts
from ringmoe.models.router import Router, Routing, Span


class FeedForward(nn.Module):
    """The shared expert: a dense two-layer FFN with GELU.

    Args:
        dim: Channels of a token.
        hidden: Hidden width.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., C)` to `(..., C)`."""
        return self.fc2(F.gelu(self.fc1(x)))


class _Gather(torch.autograd.Function):
    """`x[forward_index]`, whose gradient is gathered too, because the copies are known.

    `backward_index` is `(K * T,)`: copy k of row t went to row `backward_index[k * T + t]`.
    Gathering and adding beats the scatter that indexing would do.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward_index: Tensor, backward_index: Tensor) -> Tensor:
        ctx.save_for_backward(backward_index)
        ctx.rows = len(x)
        return x.index_select(0, forward_index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        copies = grad.index_select(0, index).view(-1, ctx.rows, grad.shape[1])
        return (copies.sum(0) if len(copies) > 1 else copies[0]), None, None


class RMoE(nn.Module):
    """The FFN of a block: three branches of experts, added.

    Args:
        config: Numbers of experts, modalities and the kind of gate.
        dim: Channels of a token in this block's stage.
    """

    def __init__(self, config: ModelConfig, dim: int) -> None:
        super().__init__()
        hidden = config.hidden(dim)
        self.shared = FeedForward(dim, hidden) if config.shared_expert else None
        self.router: Router | None = None
        self.experts: Experts | None = None
        if config.routed_experts:
            self.router = Router(
                dim,
                len(config.modalities),
                config.specialized_experts,
                config.collaborative_experts,
                config.gate,
            )
            self.experts = Experts(config.routed_experts, dim, hidden)

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
        parts = list(self._routed(x, routing).unbind(0))
        if routing.gates is not None:
            gates = routing.gates.to(x.dtype).unbind(0)
            parts = [part * gate[:, None] for part, gate in zip(parts, gates, strict=True)]
        if self.shared is not None:
            parts.append(self.shared(x))
        return sum(parts[1:], parts[0]), routing

    def _routed(self, x: Tensor, routing: Routing) -> Tensor:
        """What the chosen expert of each branch makes of each token, `(K, T, C)`."""
        assert self.experts is not None
        branches, tokens = routing.experts.shape
        flat = routing.experts.flatten()
        ordered, order = flat.sort(stable=True)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        numbers = torch.arange(len(self.experts.w1), device=order.device)
        offsets = torch.searchsorted(ordered, numbers, right=True)

        rows = _Gather.apply(x, order % tokens, inverse)
        done = self.experts(rows, offsets)
        return _Gather.apply(done, inverse, order).view(branches, tokens, -1)
