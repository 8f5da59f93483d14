"""`ringmoe upcycle`: a dense Swin V2 checkpoint to a RingMoE one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ringmoe.models import RingMoE


def upcycle(
    source: Path,
    *,
    out: Path,
    modalities: list[str] | None = None,
    specialized_experts: int = 4,
    collaborative_experts: int = 4,
    gate: Literal["softmax", "unit"] = "softmax",
    noise: float = 0.01,
    seed: int = 0,
    window_size: int | None = None,
    image_size: int | None = None,
) -> None:
    """Turn a dense Swin V2 checkpoint into a RingMoE one.

    Every expert is a copy of the dense model's FFN, scaled so that the new model computes what the
    dense one does. With noise it does so nearly, and its routers can learn; without, exactly, and
    they cannot. Stems for other channels than red, green and blue are made from those.

    Args:
        source: Safetensors file of timm's or transformers' Swin V2 (with its config.json beside
            it), a folder with such a model.safetensors, or a dense RingMoE checkpoint.
        out: Folder to write the checkpoint to.
        modalities: What the model shall serve; all four if not given.
        specialized_experts: Experts per modality and block.
        collaborative_experts: Experts per block that all modalities share.
        gate: Whether an expert's output is multiplied by its probability ("softmax") or by 1.
        noise: Noise on the experts' matrices, relative to each one's root mean square; 0 for
            exactly the dense function.
        seed: Fixes routers and noise.
        window_size: Attention window in tokens, if no config.json tells it.
        image_size: Native image size in pixels, likewise.

    Raises:
        CheckpointError: The source cannot be read or is no dense Swin V2.
        ConfigError: A setting is not allowed, or the attention window is not known.
        WriteError: The folder cannot be written.
    """
    import torch

    from ringmoe.models import default_card, save_model
    from ringmoe.models import upcycle as upcycle_model

    model = upcycle_model(
        _dense(source, window_size, image_size),
        modalities=modalities,
        specialized_experts=specialized_experts,
        collaborative_experts=collaborative_experts,
        gate=gate,
        noise=noise,
        generator=torch.Generator().manual_seed(seed),
    )
    origin = f"Upcycled from {source.name}, noise {noise:g}, seed {seed}.\n"
    folder = save_model(model, out, f"{default_card(model.config)}\n{origin}")
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"model: {folder} ({millions:.1f} M parameters, {', '.join(model.config.modalities)})")


def _dense(source: Path, window_size: int | None, image_size: int | None) -> RingMoE:
    """The dense model at `source`, whichever library wrote it."""
    import json

    from ringmoe.errors import ConfigError
    from ringmoe.models import load_model, load_swin

    config = source / "config.json"
    try:
        ours = config.is_file() and "ringmoe" in json.loads(config.read_text())
    except ValueError:
        ours = False  # load_swin says what is wrong with it
    if not ours:
        return load_swin(source, window_size=window_size, image_size=image_size)
    if window_size is not None or image_size is not None:
        raise ConfigError(f"{source} is a RingMoE checkpoint: it knows window and image size")
    return load_model(source)
