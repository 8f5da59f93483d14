"""Attention between tokens, for the heads that reason over few of them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class AttentionBlock(nn.Module):
    """Pre-norm transformer block: attention from tokens to a context, then a small MLP.

    It begins as the identity: what blocks of random weights would add drowns what a head of few
    training images could learn from (`docs/tasks.md` has figures).

    Args:
        channels: Of tokens and context, a multiple of `heads`.
        heads: Attention heads.
        expansion: Hidden width of the MLP over `channels`.
    """

    def __init__(self, channels: int, heads: int = 8, expansion: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)
        narrow = nn.Linear(expansion * channels, channels)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, expansion * channels), nn.GELU(), narrow
        )
        for last in (self.project, narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            tokens: `(B, T, C)`.
            context: `(B, S, C)`; the tokens themselves for None.

        Returns:
            `(B, T, C)`.
        """
        normed = self.norm(tokens)
        source = normed if context is None else self.norm(context)
        key, value = self.key_value(source).chunk(2, dim=-1)
        q, k, v = (self._split(x) for x in (self.query(normed), key, value))
        attended = F.scaled_dot_product_attention(q, k, v)  # (B, heads, T, C / heads)
        tokens = tokens + self.project(attended.transpose(1, 2).flatten(2))
        return tokens + self.mlp(tokens)

    def _split(self, x: Tensor) -> Tensor:
        """`(B, T, C)` to `(B, heads, T, C / heads)`."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def tokens_of(image: Tensor) -> Tensor:
    """A map `(B, C, H, W)` as tokens `(B, H * W, C)`."""
    return image.flatten(2).transpose(1, 2)
