"""Swin V2 models whose weights are all drawn, which the tests of this folder share."""

from typing import TypeVar

import torch
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn

Model = TypeVar("Model", bound=nn.Module)

SMALL = {"embed_dim": 8, "depths": (1, 2, 1, 1), "num_heads": (1, 2, 2, 4), "window_size": 4}


def small_timm(size: tuple[int, int] = (64, 64), **changes: object) -> SwinTransformerV2:
    """Maps 16, 8, 4, 2 for window 4: shifted, whole and clipped windows."""
    model = SwinTransformerV2(size, num_classes=5, **SMALL | changes).eval()
    return draw(model).double()


@torch.no_grad()
def draw(model: Model) -> Model:
    """Draw every parameter so that each one matters to the maps.

    Fresh Swin V2 weights have residual norms of scale 0: every block is the identity, and
    agreement would say nothing of attention or FFNs. Here scales of norms are in 0.5 to 1.5,
    temperatures in 5 to 20, and matrices keep the variance.
    """
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "logit_scale" in name:
            parameter.uniform_(5, 20, generator=generator).log_()
        elif parameter.dim() == 1 and name.endswith("weight"):
            parameter.uniform_(0.5, 1.5, generator=generator)
        elif parameter.dim() == 1:
            parameter.normal_(std=0.1, generator=generator)
        else:
            parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
    return model
