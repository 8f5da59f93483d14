"""The RMoE layer: specialized, collaborative and shared experts in place of a block's FFN.

    y = g_m[e] * specialized[m, e](x)  +  g[e'] * collaborative[e'](x)  +  shared(x)

for a token x of modality m; e and e' are the choices of the routers (top 1, no capacity).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ringmoe.models.config import ModelConfig
from ringmoe.models.dispatch import lay_rows, to_rows, to_tokens
from ringmoe.models.experts import Experts
from ringmoe.models.products import Linear, compiles_shapes
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
        layout = lay_rows(routing.experts, len(self.experts.w1), rounded=compiles_shapes(x))
        rows = self.experts(to_rows(x, layout), layout.offsets)
        gates = None if routing.gates is None else routing.gates.to(rows.dtype)
        return to_tokens(rows, gates, layout)
