"""AdamW with weight decay only where it means something."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import nn

# Weight decay pulls towards zero. That regularises a matrix; it only biases an offset, a scale
# or a learned position. Stacked experts have two-dimensional biases, so names decide, not shapes.
NO_DECAY = (
    r"(^|[._])bias$",  # of layers, and of queries and values
    r"(^|\.)b\d$",  # biases of stacked experts
    r"(^|\.)norm\d*\.",
    r"(^|\.)logit_scale$",
    r"(^|\.)cpb_mlp\.",  # computes the position bias
    r"(^|\.)mask_token$",
)
_NO_DECAY = re.compile("|".join(NO_DECAY))


def is_decayed(name: str) -> bool:
    """Whether weight decay applies to the parameter of that name.

    Biases, norms, position-bias parameters, attention's logit scales and the mask token are left
    out (`NO_DECAY`), as SimMIM and Swin Transformer V2 do.
    """
    return _NO_DECAY.search(name) is None


def make_optimizer(
    module: nn.Module, *, weight_decay: float, rate: Callable[[str], float] | None = None
) -> torch.optim.AdamW:
    """AdamW with betas 0.9 and 0.999 over a module's parameters, fused where torch can.

    Args:
        module: Whose parameters; names decide which are decayed (`is_decayed`).
        weight_decay: Decoupled decay of the others, per step and learning rate.
        rate: Name of a parameter to its learning rate over the schedule's, kept as `rate` of its
            group; 1 for None.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            key = is_decayed(name), 1.0 if rate is None else rate(name)
            groups.setdefault(key, []).append(parameter)
    device = next(module.parameters()).device
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": weight_decay * decayed, "rate": own}
            for (decayed, own), parameters in groups.items()
        ],
        lr=0.0,  # the schedule sets it every step
        betas=(0.9, 0.999),
        fused=device.type in ("cpu", "cuda"),
    )
