"""What of a backbone learns a task: all of it, nothing, or a few weights beside it.

| | what learns | after training |
|---|---|---|
| `full` | everything | an ordinary backbone |
| `frozen` | the head alone | the backbone as it was |
| `lora` | low-rank updates of attention and shared expert | added to the weights |
| `convpass` | convolutional bypasses of attention | kept beside them |

LoRA: Hu et al. 2021, arXiv 2106.09685. Convpass: Jie and Deng 2022, arXiv 2207.07039.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ringmoe.errors import MissingDependencyError
from ringmoe.models import RingMoE

Adaptation = Literal["full", "frozen", "lora", "convpass"]

# Linear layers that every token passes. Routed experts are stacks, and see a share of the tokens.
LORA_TARGETS = r".*\.(attn\.(qkv|proj)|ffn\.shared\.(fc1|fc2))"


class Bypass(nn.Module):
    """A convolutional way around a block's attention: 1x1 down, 3x3, 1x1 up, GELU between.

    The 3x3 convolution begins as the identity, so that nothing is mixed that need not be, and the
    last one as zero: an untrained bypass changes nothing.

    Args:
        dim: Channels of a token.
        hidden: Width of the bypass.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(dim, hidden, 1)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.up = nn.Conv2d(hidden, dim, 1)
        nn.init.dirac_(self.mix.weight)
        for convolution in (self.mix, self.up):
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, H, W, C)` to what is added to the attention's output, of the same shape."""
        y = F.gelu(self.down(x.permute(0, 3, 1, 2)))
        return self.up(F.gelu(self.mix(y))).permute(0, 2, 3, 1)


def attach_bypasses(backbone: RingMoE, hidden: int) -> nn.ModuleList:
    """Lead a bypass around every block's attention.

    The backbone keeps its own parameters and their names: bypasses belong to who calls.

    Args:
        backbone: Its blocks get hooks.
        hidden: Width of each bypass.

    Returns:
        A bypass of each block, in order.
    """
    bypasses = nn.ModuleList()
    for block in backbone.blocks():
        bypass = Bypass(block.attn.proj.in_features, hidden)
        block.attn.register_forward_hook(_add_to(bypass))
        bypasses.append(bypass)
    return bypasses


def _add_to(bypass: Bypass) -> Any:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + bypass(inputs[0])

    return hook


def add_lora(backbone: RingMoE, rank: int) -> None:
    """Freeze a backbone and put low-rank updates beside its linear layers, in place.

    Args:
        backbone: Attention's projections and the shared expert's layers are wrapped by peft.
        rank: Of the updates; they are scaled by 1, peft's `lora_alpha` equal to the rank.

    Raises:
        MissingDependencyError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingDependencyError(
            "LoRA needs peft: pip install 'ringmoe[lora]', or adapt with full, frozen or convpass"
        ) from None
    inject_adapter_in_model(
        LoraConfig(r=rank, lora_alpha=rank, target_modules=LORA_TARGETS), backbone
    )


@torch.no_grad()
def merge_lora(backbone: RingMoE) -> None:
    """Add the updates to the weights and take peft's layers out again, in place."""
    wrapped = [
        (name, module) for name, module in backbone.named_modules() if hasattr(module, "lora_A")
    ]
    for name, module in wrapped:
        module.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(backbone.get_submodule(parent), child, module.get_base_layer())
    backbone.requires_grad_(True)
