"""Cutting maps of tokens into windows: sizes, shifts, masks, relative positions.

Shapes: B images, H x W tokens, C channels, windows of N = h * w tokens, n windows in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import NamedTuple

import torch
from torch import Tensor


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


def cached_constant(make: Callable[..., Tensor], most: int = 256) -> Callable[..., Tensor]:
    """Keep the last `most` that a function of hashable arguments returned.

    Not while a compiler is tracing. The tensors are made outside inference mode, so that those
    first needed under it can serve training later.
    """

    def make_ordinary(*key: object) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            return make(*key)

    kept = lru_cache(maxsize=most)(make_ordinary)

    @wraps(make)
    def constant(*key: object) -> Tensor:
        return make(*key) if torch.compiler.is_compiling() else kept(*key)

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
    # float32 whatever the dtype, and in this order: the numbers that published weights know
    axes = [torch.arange(-(side - 1), side, dtype=torch.float32) for side in size]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 2)
    scaled = offsets / max(reference - 1, 1) * 8
    spaced = scaled.sign() * torch.log2(scaled.abs() + 1.0) / math.log2(8)
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


@partial(cached_constant, most=24)  # of three image sizes: each may have megabytes
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
