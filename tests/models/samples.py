"""Small models and images that the tests of this folder share."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ringmoe.models import ModelConfig, RingMoE
from ringmoe.observation import Observation
from ringmoe.sensors import MODALITIES

SMALL = ModelConfig(
    image_size=64, embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 4), window_size=4
)


def small_model(seed: int = 0, dtype: torch.dtype = torch.float64, **changes: object) -> RingMoE:
    """A model of 60 thousand parameters whose routers are sure of their choices.

    Router weights are drawn a hundred times larger than usual, so that tests see gates that
    differ, and choices that rounding does not turn.
    """
    model = RingMoE(SMALL.replace(**changes), torch.Generator().manual_seed(seed)).to(dtype)
    with torch.no_grad():
        for block in model.blocks():
            if block.ffn.router is not None:
                block.ffn.router.weight *= 100
    return model.eval()


def observe(
    modality: str,
    batch: int = 1,
    size: tuple[int, int] = (64, 64),
    *,
    seed: int = 0,
    channels: tuple[str, ...] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Observation:
    """Normal noise as an observation."""
    channels = channels or MODALITIES[modality].vocabulary
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, len(channels), *size, generator=generator, dtype=torch.float64)
    return Observation(images.to(dtype), modality, channels)


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Draw every parameter, also those that start at 0 or 1, so that each one matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            around = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(around + 0.2 * noise)


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the largest value of `b`."""
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / b.abs().max())


@torch.no_grad()
def counted_flops(model: RingMoE, observation: Observation) -> int:
    """Of every matrix product of a forward pass, as torch's FlopCounterMode sees them.

    But for the position bias, which does not grow with the batch: `describe` leaves it out.
    """
    with FlopCounterMode(display=False) as counter:
        model([observation])
    counts = counter.get_flop_counts()
    of_bias = [sum(n.values()) for name, n in counts.items() if name.endswith(".cpb_mlp")]
    assert len(of_bias) == sum(model.config.depths) and all(of_bias)
    return counter.get_total_flops() - sum(of_bias)
