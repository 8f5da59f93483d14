"""Window attention of Swin Transformer V2 (Liu et al., arXiv 2111.09883).

Cosine attention with a learned temperature, and a position bias that a small network computes
from log-spaced relative coordinates. Shapes: B images, H x W tokens, C channels, windows of
N = h * w tokens, n windows in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ringmoe.models.products import Linear, emulated, linear, without_autocast
from ringmoe.models.windows import (
    partition,
    plan_windows,
    relative_coordinates,
    relative_index,
    separation_mask,
    unpartition,
)

MAX_LOGIT_SCALE = math.log(100.0)
SHORTEST = 1e-4


class _UnitLength(torch.autograd.Function):
    """`F.normalize(x, dim=-1)`, with half the passes over memory that autograd would take.

    Vectors shorter than `SHORTEST` are divided by it: the gradient of a direction grows as one
    over the length, and one null vector would drown all others.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(SHORTEST)
        unit = x / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        unit, length = ctx.saved_tensors
        along = (grad * unit).sum(dim=-1, keepdim=True)
        return torch.addcmul(grad, unit, along, value=-1).div_(length)


def plain_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """`softmax(q k^T + bias) v`, logits in the dtype of `q`: bfloat16 ones err four times as much.

    Args:
        q: `(n, heads, N, dim / heads)`, scaled; the windows of an image are consecutive.
        k: As `q`.
        v: As `q`, perhaps of a narrower dtype.
        bias: `(windows of an image or 1, heads, N, N)`, masks added.

    Returns:
        `(n, heads, N, dim / heads)`, or its first axis in two, in the dtype of `v`.
    """
    logits = (q @ k.transpose(-2, -1)).view(-1, *bias.shape)
    logits += bias
    weights = logits.softmax(dim=-1).view(*q.shape[:-1], -1)
    if emulated(v):
        return (weights @ v.to(weights.dtype)).to(v.dtype)
    return weights.to(v.dtype) @ v


def fused_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """`plain_attention` in one kernel that keeps no logits.

    It takes all operands in one dtype, so in bfloat16 queries, keys and bias are rounded; logits
    and softmax are computed in float32 inside.
    """
    # an image's windows and heads side by side, so that one bias serves all images
    q, k, v = (
        t.to(v.dtype).view(-1, *bias.shape[:2], *t.shape[2:]).flatten(1, 2) for t in (q, k, v)
    )
    mask = bias.to(v.dtype).flatten(0, 1)[None]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    return out.unflatten(1, bias.shape[:2])


def backend_for(device: torch.device) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """What computes attention: one kernel on GPUs; plain products on CPUs, where they are faster.

    On two AMD EPYC cores the fused kernel takes 1.07 to 1.27 times as long in float32 and 1.5 to
    1.7 times in bfloat16.
    """
    return fused_attention if device.type == "cuda" else plain_attention


class Projection(nn.Linear):
    """A linear layer whose bias is an argument: its own stays unset.

    A layer, and not a bare product with the weight, so that libraries that put something in a
    layer's place (peft's LoRA) are asked too.
    """

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:  # type: ignore[override]
        """`(..., in)` to `(..., out)`."""
        return linear(x, self.weight, bias)


class WindowAttention(nn.Module):
    """Multi-head cosine attention inside windows, with continuous position bias.

    Args:
        dim: Channels of a token.
        num_heads: Heads.
        window: Largest window side in tokens.
        reference: Window side at the native image size, which scales relative coordinates.
        shifted: Whether windows are shifted by half their size.
    """

    def __init__(
        self, dim: int, num_heads: int, window: int, reference: int, shifted: bool = False
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window = window
        self.reference = reference
        self.shifted = shifted
        self.logit_scale = nn.Parameter(torch.empty(num_heads, 1, 1))
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, 512), nn.ReLU(inplace=True), nn.Linear(512, num_heads, bias=False)
        )
        self.qkv = Projection(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.empty(dim))  # keys have none in Swin V2
        self.v_bias = nn.Parameter(torch.empty(dim))
        self.proj = Linear(dim, dim)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Temperature 10, zero biases (the linear layers are drawn by the backbone)."""
        nn.init.constant_(self.logit_scale, math.log(10.0))
        nn.init.zeros_(self.q_bias)
        nn.init.zeros_(self.v_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within windows of maps `(B, H, W, C)`; returns the same shape."""
        _, height, width, _ = x.shape
        windows = plan_windows(height, width, self.window, self.shifted)
        (down, right), (below, beside) = windows.shift, windows.pad
        if down or right:
            x = x.roll((-down, -right), dims=(1, 2))
        if below or beside:
            x = F.pad(x, (0, 0, 0, beside, 0, below))
        mask = None
        if any(windows.shift + windows.pad):
            kind = torch.promote_types(x.dtype, torch.float32)
            mask = separation_mask(height, width, windows, kind, x.device)
        out = self.attend(partition(x, windows.size), windows.size, mask)
        out = unpartition(out, windows.size, height + below, width + beside)
        if below or beside:
            out = out[:, :height, :width]
        return out.roll((down, right), dims=(1, 2)) if down or right else out

    def attend(self, x: Tensor, size: tuple[int, int], mask: Tensor | None = None) -> Tensor:
        """Attend within windows already cut.

        Args:
            x: `(n, N, C)` tokens of n windows; the windows of an image are consecutive.
            size: Height and width of a window; N is their product.
            mask: `(windows of an image, N, N)` added to the logits, or None.

        Returns:
            `(n, N, C)`.
        """
        count, tokens, dim = x.shape
        bias = self.position_bias(size)
        bias = bias[None] if mask is None else bias + mask[:, None]  # (windows, heads, N, N)
        qkv = self.qkv(x, self._qkv_bias())
        qkv = qkv.view(count, tokens, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).contiguous().unbind(0)  # (n, heads, N, dim / heads)
        with without_autocast(x):
            kind = bias.dtype
            scale = self.logit_scale.to(kind).clamp(max=MAX_LOGIT_SCALE).exp()
            q = _UnitLength.apply(q.to(kind)) * scale
            k = _UnitLength.apply(k.to(kind))
            out = backend_for(x.device)(q, k, v, bias)  # (..., heads, N, dim / heads)
        return self.proj(out.transpose(-3, -2).reshape(count, tokens, dim))

    def _qkv_bias(self) -> Tensor:
        return torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))

    def position_bias(self, size: tuple[int, int]) -> Tensor:
        """Bias of each pair of tokens, `(heads, N, N)`, float32 at least, in 0 to 16.

        Computed at every call: what was kept in eval mode went stale after changes that parameters
        do not count (`.data`, fused optimisers, adapters switched off).
        """
        weight = self.qkv.weight
        kind = torch.promote_types(weight.dtype, torch.float32)
        tokens = size[0] * size[1]
        coordinates = relative_coordinates(size, self.reference, weight.dtype, weight.device)
        table = 16 * self.cpb_mlp(coordinates).to(kind).sigmoid()  # (offsets, heads)
        bias = table.t().index_select(1, relative_index(size, weight.device))
        return bias.view(self.num_heads, tokens, tokens)
