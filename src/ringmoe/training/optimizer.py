"""AdamW with weight decay only where it means something."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import nn

# Weight decay pulls towards zero. That regularises a matrix; it only biases an offset, a scale
# or a learned position. Stacked experts have two-dimensional biases, so names decide, not shapes;
# norms are known by what they are, as sequences give them no name.
_NO_DECAY = re.compile(
    r"(^|[._])bias$"  # of layers, and of queries and values
    r"|(^|\.)b\d$"  # biases of stacked experts
    r"|(^|\.)logit_scale$"
    r"|(^|\.)cpb_mlp\."  # computes the position bias
    r"|(^|\.)mask_token$"
)
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def decayed(module: nn.Module) -> set[str]:
    """Names of the parameters that weight decay applies to.

    Biases, norms, position-bias parameters, attention's logit scales and the mask token are left
    out, as SimMIM and Swin Transformer V2 do.
    """
    of_norms = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, _NORMS)
        for parameter in part.parameters()
    }
    return {
        name
        for name, parameter in module.named_parameters()
        if id(parameter) not in of_norms and not _NO_DECAY.search(name)
    }


def make_optimizer(
    module: nn.Module, *, weight_decay: float, rate: Callable[[str], float] | None = None
) -> torch.optim.AdamW:
    """AdamW with betas 0.9 and 0.999 over a module's parameters, fused where torch can.

    Args:
        module: Whose parameters; some are not decayed (`decayed`).
        weight_decay: Decoupled decay of the others, per step and learning rate.
        rate: Name of a parameter to its learning rate over the schedule's, kept as `rate` of its
            group; 1 for None.
    """
    shrinking = decayed(module)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            key = name in shrinking, 1.0 if rate is None else rate(name)
            groups.setdefault(key, []).append(parameter)
    device = next(module.parameters()).device
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": weight_decay * shrinks, "rate": own}
            for (shrinks, own), parameters in groups.items()
        ],
        lr=0.0,  # the schedule sets it every step
        betas=(0.9, 0.999),
        fused=device.type in ("cpu", "cuda"),
    )
