"""Window attention of Swin Transformer V2 (Liu et al., arXiv 2111.09883).

Cosine attention with a learned temperature, and a position bias that a small network computes
from log-spaced relative coordinates. Shapes: B images, H x W tokens, C channels, windows of
N = h * w tokens, n windows in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_LOGIT_SCALE = math.log(100.0)


class Windows(NamedTuple):
    """How a map of tokens is cut into windows.

    Attributes:
        size: Height and width of a window in tokens.
        shift: Rows and columns by which the map is rolled up and left before it is cut.
        pad: Rows and columns added at the bottom and right, never attended.
    """

    size: tuple[int, int]
    shift: tuple[int, int]
    pad: tuple[int, int]


def plan_windows(height: int, width: int, window: int, shifted: bool) -> Windows:
    """Windows for a map: clipped to it, not shifted along an axis that is one window.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        window: Largest window side.
        shifted: Whether this block shifts by half a window.
    """
    sides = (height, width)
    size = tuple(min(side, window) for side in sides)
    shift = tuple(window // 2 if shifted and side > window else 0 for side in sides)
    pad = tuple(-side % cut for side, cut in zip(sides, size, strict=True))
    return Windows(size, shift, pad)  # type: ignore[arg-type]


def cached_constant(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keep what a function of hashable arguments returns, unless a compiler is tracing.

    The tensors are made outside inference mode, so that those first needed under it can serve
    training later.
    """

    def make_ordinary(*key: object) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            return make(*key)

    kept = lru_cache(maxsize=256)(make_ordinary)

    @wraps(make)
    def constant(*key: object) -> Tensor:
        return make_ordinary(*key) if torch.compiler.is_compiling() else kept(*key)

    return constant


@cached_constant
def relative_coordinates(
    size: tuple[int, int], reference: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Log-spaced offsets between two tokens of a window, `((2h - 1) * (2w - 1), 2)`.

    `sign(d) * log2(1 + |8 d / (reference - 1)|) / log2(8)` for an offset of d tokens (equation 4
    of the paper). The reference is the window at the native image size, so that an offset keeps
    its meaning where an image of another size has another window.
    """
    axes = [torch.arange(-(side - 1), side, dtype=torch.float64) for side in size]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 2)
    scaled = offsets * (8 / max(reference - 1, 1))
    spaced = scaled.sign() * (scaled.abs() + 1).log2() / 3
    return spaced.to(device=device, dtype=dtype)


@cached_constant
def relative_index(size: tuple[int, int], device: torch.device) -> Tensor:
    """Row of `relative_coordinates` for each pair of tokens, `(N * N,)`."""
    height, width = size
    rows, columns = torch.arange(height), torch.arange(width)
    down = rows[:, None] - rows[None, :] + height - 1
    right = columns[:, None] - columns[None, :] + width - 1
    index = down[:, None, :, None] * (2 * width - 1) + right[None, :, None, :]
    return index.reshape(-1).to(device)


@cached_constant
def separation_mask(
    height: int, width: int, windows: Windows, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Minus infinity between tokens that must not see each other, `(windows, N, N)`, else 0.

    Those are tokens that only the roll brought into one window, and padding. Padding sees
    padding, so that no row is all minus infinity.
    """

    def zones(side: int, shift: int, pad: int) -> Tensor:
        place = torch.arange(side + pad)
        return (place >= side - shift).long() + (place >= side).long()  # 0, rolled in 1, padding 2

    down = zones(height, windows.shift[0], windows.pad[0])[:, None]
    right = zones(width, windows.shift[1], windows.pad[1])[None, :]
    zone = torch.where((down == 2) | (right == 2), 4, 2 * down + right)
    cut = partition(zone[None, :, :, None], windows.size).squeeze(-1)  # (windows, N)
    apart = cut[:, :, None] != cut[:, None, :]
    return torch.zeros(apart.shape, dtype=dtype).masked_fill(apart, -math.inf).to(device)


def partition(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut maps `(B, H, W, C)` into windows `(n, h * w, C)`; H and W are multiples of the window."""
    batch, height, width, channels = x.shape
    h, w = size
    x = x.view(batch, height // h, h, width // w, w, channels)
    return x.transpose(2, 3).reshape(-1, h * w, channels)


def unpartition(x: Tensor, size: tuple[int, int], height: int, width: int) -> Tensor:
    """Join windows `(n, h * w, C)` into maps `(B, H, W, C)`: the inverse of `partition`."""
    h, w = size
    x = x.view(-1, height // h, width // w, h, w, x.shape[-1])
    return x.transpose(2, 3).reshape(-1, height, width, x.shape[-1])


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
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.empty(dim))  # keys have no bias: softmax would cancel it
        self.v_bias = nn.Parameter(torch.empty(dim))
        self.proj = nn.Linear(dim, dim)
        self._kept_bias: dict[tuple, tuple[tuple, Tensor]] = {}

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
        qkv = F.linear(x, self.qkv.weight, self._qkv_bias())
        qkv = qkv.view(count, tokens, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (n, heads, N, dim / heads)
        with torch.autocast(x.device.type, enabled=False):
            # logits in float32 at least: bfloat16 ones err by four times as much
            kind = bias.dtype
            scale = self.logit_scale.to(kind).clamp(max=MAX_LOGIT_SCALE).exp()
            q = F.normalize(q.to(kind), dim=-1) * scale
            k = F.normalize(k.to(kind), dim=-1)
            logits = q @ k.transpose(-2, -1)
            logits = logits.view(-1, *bias.shape) + bias
            weights = logits.softmax(dim=-1).view(count, self.num_heads, tokens, tokens)
        out = weights.to(v.dtype) @ v
        return self.proj(out.transpose(1, 2).reshape(count, tokens, dim))

    def _qkv_bias(self) -> Tensor:
        return torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))

    def position_bias(self, size: tuple[int, int]) -> Tensor:
        """Bias of each pair of tokens, `(heads, N, N)`, float32 at least, in 0 to 16.

        Kept between calls while nothing can learn: in eval mode without gradients, until a
        parameter it depends on changes.
        """
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._position_bias(size)
        parameters = list(self.cpb_mlp.parameters())
        if any(p.is_inference() for p in parameters):  # these do not count their changes
            return self._position_bias(size)
        state = tuple((p.data_ptr(), p._version, p.dtype, p.device) for p in parameters)
        kept = self._kept_bias.get(size)
        if kept is None or kept[0] != state:
            kept = state, self._position_bias(size)
            self._kept_bias[size] = kept
        return kept[1]

    def _position_bias(self, size: tuple[int, int]) -> Tensor:
        weight = self.qkv.weight
        kind = torch.promote_types(weight.dtype, torch.float32)
        tokens = size[0] * size[1]
        coordinates = relative_coordinates(size, self.reference, weight.dtype, weight.device)
        table = 16 * self.cpb_mlp(coordinates).to(kind).sigmoid()  # (offsets, heads)
        bias = table.t().index_select(1, relative_index(size, weight.device))
        return bias.view(self.num_heads, tokens, tokens)
