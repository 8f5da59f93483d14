"""What the stages are made of: where tokens lie, blocks, and merging of patches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ringmoe.models.attention import WindowAttention
from ringmoe.models.config import ModelConfig
from ringmoe.models.products import Linear
from ringmoe.models.rmoe import RMoE
from ringmoe.models.router import Routing, Span

Grid = tuple[int, int, int]  # images, rows and columns of tokens


@dataclass(frozen=True)
class TokenLayout:
    """Whose tokens lie where in the one `(T, C)` tensor that passes through the blocks.

    Attributes:
        modalities: Index of each observation's modality.
        grids: Images, rows and columns of tokens of each observation.
    """

    modalities: tuple[int, ...]
    grids: tuple[Grid, ...]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each observation."""
        return [images * rows * columns for images, rows, columns in self.grids]

    @property
    def spans(self) -> list[Span]:
        """Modality and number of tokens of each observation."""
        return list(zip(self.modalities, self.lengths, strict=True))

    @property
    def joined(self) -> list[Grid]:
        """Grids with neighbours of equal size made one: what attention runs over."""
        grids: list[Grid] = []
        for images, *size in self.grids:
            if grids and list(grids[-1][1:]) == size:
                images += grids.pop()[0]
            grids.append((images, *size))  # type: ignore[arg-type]
        return grids

    def halved(self) -> TokenLayout:
        """The layout after merging 2 x 2 tokens."""
        return TokenLayout(self.modalities, tuple((b, h // 2, w // 2) for b, h, w in self.grids))


def over_grids(module: nn.Module, x: Tensor, layout: TokenLayout) -> Tensor:
    """Apply a module of maps `(B, H, W, C)` to each grid of the tokens `(T, C)`."""
    grids = layout.joined
    if len(grids) == 1:
        return module(x.view(*grids[0], -1)).flatten(0, 2)
    parts = x.split([b * h * w for b, h, w in grids])
    maps = [module(part.view(*grid, -1)) for part, grid in zip(parts, grids, strict=True)]
    return torch.cat([out.flatten(0, 2) for out in maps])


class PatchMerging(nn.Module):
    """Each 2 x 2 tokens to one of twice the width, the norm after the reduction (Swin V2).

    Args:
        dim: Channels of a token before.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, H, W, C)` to `(B, H / 2, W / 2, 2C)`; H and W are even."""
        batch, height, width, dim = x.shape
        x = x.view(batch, height // 2, 2, width // 2, 2, dim)
        # column parity before row parity: the order of Swin's published weights
        return self.norm(self.reduction(x.permute(0, 1, 3, 4, 2, 5).flatten(3)))


class Block(nn.Module):
    """Window attention and RMoE layer, each with a residual and its norm after it.

    Args:
        config: The model's shape.
        stage: Number of the stage.
        index: Number of the block in it; the windows of every other one are shifted.
    """

    def __init__(self, config: ModelConfig, stage: int, index: int) -> None:
        super().__init__()
        dim = config.widths[stage]
        self.attn = WindowAttention(
            dim,
            config.num_heads[stage],
            config.window_size,
            config.native_window(stage),
            shifted=bool(index % 2),
        )
        self.norm1 = nn.LayerNorm(dim)
        self.ffn = RMoE(config, dim, sum(config.depths[:stage]) + index)
        self.norm2 = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, layout: TokenLayout, collect: bool = False
    ) -> tuple[Tensor, Routing | None]:
        """Tokens `(T, C)` to tokens `(T, C)`, and the routing of this block."""
        x = x + self.norm1(over_grids(self.attn, x, layout))
        y, routing = self.ffn(x, layout.spans, collect)
        return x + self.norm2(y), routing


class Stage(nn.Module):
    """Blocks at one resolution, after merging patches (but in the first stage).

    Args:
        config: The model's shape.
        index: Number of the stage.
    """

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.downsample = PatchMerging(config.widths[index - 1]) if index else None
        self.blocks = nn.ModuleList(
            Block(config, index, number) for number in range(config.depths[index])
        )

    def typed_blocks(self) -> list[Block]:
        """`blocks`, which a type checker takes for plain modules."""
        return list(self.blocks)  # type: ignore[arg-type]
