"""Upcycling (Komatsuzaki et al., arXiv 2212.05055): a dense model as the start of an RMoE one.

Every expert is a copy of the dense block's FFN. A token passes one specialized, one collaborative
and the shared expert, whose outputs are added; so the second matrices and biases are divided by
what the gates add up to where the routers are zero:

    1 + 1 / N_S + 1 / N_C   (gate "softmax";   1.5 for 4 and 4 experts)
    1 + 1 + 1               (gate "unit";      a branch that is absent adds nothing)

Router weights are drawn so small that the gates stay there, and what is left of their deviation
scales the layer's output, which the norm after it takes away. The function is the dense model's.

That norm also takes away the routers' gradient: while all experts are equal, a gate only scales the
output. Noise on the copies is what lets them learn: `noise`, relative to each matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ringmoe.errors import ConfigError
from ringmoe.models.backbone import RingMoE
from ringmoe.models.config import Gate, ModelConfig
from ringmoe.sensors import MODALITIES, get_sensor, modality_named

NOISE = 0.01  # of a matrix's root mean square; see docs/upcycling.md for what it does
ROUTER_BOUND = 1e-4  # gates within a thousandth of 1 / N, while choices are no ties
_DENSE = {"w1": "fc1.weight", "b1": "fc1.bias", "w2": "fc2.weight", "b2": "fc2.bias"}


@torch.no_grad()
def upcycle(
    dense: RingMoE,
    *,
    modalities: Sequence[str] | None = None,
    specialized_experts: int = 4,
    collaborative_experts: int = 4,
    gate: Gate = "softmax",
    noise: float = NOISE,
    generator: torch.Generator | None = None,
) -> RingMoE:
    """An RMoE model that computes what a dense one does.

    Args:
        dense: A model whose blocks have the shared expert alone, such as `convert_swin` makes.
        modalities: What the model shall serve; None for all four. Stems that `dense` lacks are made
            from its optical one; see `mixing`.
        specialized_experts: Per modality and block.
        collaborative_experts: Per block.
        gate: See `ModelConfig.gate`.
        noise: Standard deviation of the noise on the routed experts' matrices, relative to each
            matrix's root mean square. 0 keeps the function exact, but no router can learn.
        generator: Draws routers and noise.

    Returns:
        The model in eval mode, of the dtype and on the device of `dense`; it shares no memory.

    Raises:
        ConfigError: `dense` is not dense, has no optical stem where one is needed, `noise` is
            negative, or a setting is not allowed.
    """
    if dense.config.router_rows:
        raise ConfigError("upcycling starts from a dense model: this one has routed experts")
    if not noise >= 0:
        raise ConfigError(f"noise must be 0 or more, got {noise}")
    config = dense.config.replace(
        modalities=tuple(MODALITIES) if modalities is None else tuple(modalities),
        specialized_experts=specialized_experts,
        collaborative_experts=collaborative_experts,
        gate=gate,
    )
    lacking = set(config.modalities) - set(dense.config.modalities)
    if lacking and (dense.config.stem != "named" or "optical" not in dense.config.modalities):
        raise ConfigError(
            f"stems for {', '.join(sorted(lacking))} would be made from a named optical one, which "
            f"the dense model lacks: choose among its {', '.join(dense.config.modalities)}"
        )
    with torch.device("meta"):
        model = RingMoE(config)
    source, share = dense.state_dict(), 1 / gate_sum(config)
    state: dict[str, Tensor] = {}
    for name, wanted in model.state_dict().items():
        layer, _, part = name.rpartition(".")
        if layer.endswith(".ffn.experts"):
            tensor = source[f"{layer.removesuffix('experts')}shared.{_DENSE[part]}"]
            tensor = _copies(tensor, len(wanted), noise, generator)
            state[name] = tensor * share if part in ("w2", "b2") else tensor
        elif layer.endswith(".ffn.router"):
            drawn = torch.empty(wanted.shape).uniform_(-1, 1, generator=generator) * ROUTER_BOUND
            state[name] = drawn.to(next(iter(source.values())))
        elif layer.endswith(".ffn.shared.fc2"):
            state[name] = source[name] * share
        elif name in source:
            state[name] = source[name].clone()
        else:
            state[name] = _stem(source, name)
    model.load_state_dict(state, assign=True)
    return model.eval()


def gate_sum(config: ModelConfig) -> float:
    """What the three branches' outputs are multiplied by in all, where the routers are zero."""
    branches = (config.specialized_experts, config.collaborative_experts)
    gates = [1 / count if config.gate == "softmax" else 1.0 for count in branches if count]
    return config.shared_expert + sum(gates)


def _copies(tensor: Tensor, count: int, noise: float, generator: torch.Generator | None) -> Tensor:
    """A bias `(C,)` or matrix `(out, in)` as a stack of experts', `(E, C)` or `(E, in, out)`."""
    stack = tensor.t().expand(count, *tensor.t().shape).clone(memory_format=torch.contiguous_format)
    if noise and tensor.dim() == 2:
        drawn = torch.empty(stack.shape[1:])
        scale = float(noise * tensor.float().square().mean().sqrt())
        for expert in stack:
            expert += drawn.normal_(std=scale, generator=generator).to(expert)
    return stack


def mixing(modality: str) -> Tensor:
    """How the kernels of a modality's channels are made from red, green and blue ones.

    A stem multiplies its kernels by sqrt(N / n) where n of its N channels are there
    (`ringmoe.models.stem.Stem`). The rows here hold sqrt(3 / N) or 1 / sqrt(N), so that after it:

    - multispectral: a band's kernel is the RGB kernels' interpolation at its wavelength, linear
      between blue, green and red and the nearest's outside. Of Sentinel-2's bands B01 and B02 get
      blue, B03 green, all others red. An image of B04, B03, B02 is to the model the RGB image.
    - SAR: no polarisation is like one colour more than another; each (and I and Q) gets the mean
      of the three kernels, times 3. An image of one polarisation is to the model the grey image
      that repeats it in red, green and blue; one of n the grey image of their sum over sqrt(n).

    Independent normalised channels thus keep the power that three colours had, however many there
    are.

    Returns:
        `(N, 3)`, float64: kernels `(N,)` are this times kernels (red, green, blue).
    """
    vocabulary = modality_named(modality).vocabulary
    colours = modality_named("optical").vocabulary
    if modality == "optical":
        return torch.eye(3, dtype=torch.float64)
    if modality != "multispectral":
        rows = torch.ones(len(vocabulary), 3, dtype=torch.float64)
        return rows / len(vocabulary) ** 0.5
    bands = {channel.key: channel for channel in get_sensor("sentinel2-l1c").channels}
    centres = {c.common_name: c.wavelength_nm for c in bands.values()}
    wavelengths = np.array([bands[name].wavelength_nm for name in vocabulary], dtype=float)
    known = np.array([centres[colour] for colour in reversed(colours)], dtype=float)  # rising
    columns = [np.interp(wavelengths, known, row) for row in np.eye(3)[:, ::-1]]
    return torch.from_numpy(np.stack(columns, axis=1)) * (3 / len(vocabulary)) ** 0.5


def _stem(source: dict[str, Tensor], name: str) -> Tensor:
    """A stem's tensor from the optical stem's."""
    _, modality, part = name.split(".", 2)
    optical = source[f"stems.optical.{part}"]
    if part != "weight":
        return optical.clone()
    return torch.einsum("nc,wcij->wnij", mixing(modality).to(optical), optical).contiguous()
