"""What a model of some shape holds and costs, found from the model itself on the meta device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ringmoe.models.backbone import RingMoE
from ringmoe.models.blocks import Block
from ringmoe.models.config import ModelConfig
from ringmoe.models.rmoe import RMoE
from ringmoe.models.windows import plan_windows
from ringmoe.sensors import modality_named

ADAMW_BYTES = 16  # a parameter in training: float32 weight, gradient and two moments


def describe(config: ModelConfig) -> dict[str, Any]:
    """Sizes and costs of a shape, without allocating it.

    Args:
        config: The shape; `giant` takes no memory here either.

    Returns:
        Plain values, ready for JSON:

        - `image_size`, `modalities`, `stem` (its kind), `channels` (vocabulary of each
          modality's stem), `widths`, `depths`, `strides`, `experts_per_block` (specialized,
          collaborative, shared; where pruning has left blocks different numbers, their mean);
        - `parameters`: `total`; `active`, those that one token of the first modality passes; per
          modality, `sub_models`: what is left when the others' experts, routers and stems are
          gone; `expert_pruned`: the first of these with one collaborative expert a block;
          `dense`: with the shared expert alone; `parts` of the total;
        - `flops_per_image`: `total` of a forward pass of one image at the native size, with all
          channels of the first modality, a multiplication and an addition counted as two;
          `dense` of the same with one expert; `parts` of the total. Only matrix products count;
          the position bias and a spectral stem's kernels, which do not grow with the batch, do
          not;
        - `memory_bytes`: of weights in `float32` and `bfloat16`, and of `adamw` training (16
          bytes a parameter, without activations).
    """
    model = _on_meta(config)
    one = config.replace(modalities=config.modalities[:1])
    kept = [config.kept_in(block) for block in range(sum(config.depths))]
    pruned = one.replace(kept_experts=[numbers[:1] for numbers in kept])
    alone = {"specialized_experts": 0, "collaborative_experts": 0, "kept_experts": None}
    dense = _on_meta(one.replace(shared_expert=True, **alone))
    total = _count(model.parameters())
    flops, dense_flops = _flops(model), _flops(dense)
    return {
        "image_size": config.image_size,
        "modalities": list(config.modalities),
        "stem": config.stem,
        "channels": {m: list(modality_named(m).vocabulary) for m in config.modalities},
        "widths": list(config.widths),
        "depths": list(config.depths),
        "strides": list(config.strides),
        "experts_per_block": {
            "specialized": len(config.modalities) * config.specialized_experts,
            "collaborative": _mean([len(numbers) for numbers in kept]),
            "shared": int(config.shared_expert),
        },
        "parameters": {
            "total": total,
            "active": _active(model),
            "sub_models": {m: total - _of_others(model, m) for m in config.modalities},
            "expert_pruned": _count(_on_meta(pruned).parameters()),
            "dense": _count(dense.parameters()),
            "parts": _parts(model),
        },
        "flops_per_image": {
            "total": sum(flops.values()),
            "dense": sum(dense_flops.values()),
            "parts": flops,
        },
        "memory_bytes": {
            "float32": 4 * total,
            "bfloat16": 2 * total,
            "adamw": ADAMW_BYTES * total,
        },
    }


def _on_meta(config: ModelConfig) -> RingMoE:
    with torch.device("meta"):
        return RingMoE(config)


def _mean(counts: list[int]) -> int | float:
    """A whole number where they are all the same."""
    return counts[0] if len(set(counts)) == 1 else round(sum(counts) / len(counts), 3)


def _count(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _parts(model: RingMoE) -> dict[str, int]:
    """Parameters by what they are for; they add up to the total."""
    blocks = model.blocks()
    parts = {
        "stems": _count(model.stems.parameters()),
        "attention": _count(p for b in blocks for p in b.attn.parameters()),
        "routers": _count(b.ffn.router.weight for b in blocks if b.ffn.router is not None),
        "routed_experts": _count(
            p for b in blocks if b.ffn.experts is not None for p in b.ffn.experts.parameters()
        ),
        "shared_experts": _count(
            p for b in blocks if b.ffn.shared is not None for p in b.ffn.shared.parameters()
        ),
    }
    total = _count(model.parameters())
    return parts | {"norms_and_merging": total - sum(parts.values())}


def _branches(ffn: RMoE) -> int:
    """How many routed experts a token passes."""
    return 0 if ffn.router is None else len(ffn.router.branches)


def _of_others(model: RingMoE, modality: str) -> int:
    """Parameters that serve only modalities other than this one."""
    config = model.config
    count = sum(_count(stem.parameters()) for name, stem in model.stems.items() if name != modality)
    rows = (len(config.modalities) - 1) * config.specialized_experts
    for block in model.blocks():
        if block.ffn.router is not None and block.ffn.experts is not None:
            stacks = [block.ffn.router.weight, *block.ffn.experts.parameters()]
            count += rows * _count(stack[0] for stack in stacks)
    return count


def _active(model: RingMoE) -> int:
    """Parameters that one token of the first modality passes."""
    config = model.config
    idle = _of_others(model, config.modalities[0])
    for number, block in enumerate(model.blocks()):
        if block.ffn.experts is not None:
            own = config.specialized_experts + len(config.kept_in(number))
            one = _count(stack[0] for stack in block.ffn.experts.parameters())
            idle += (own - _branches(block.ffn)) * one
    return _count(model.parameters()) - idle


def _flops(model: RingMoE) -> dict[str, int]:
    """Of one image at the native size, by part."""
    config = model.config
    side = config.image_size // config.patch_size
    channels = len(modality_named(config.modalities[0]).vocabulary)
    kernel = config.embed_dim * channels * config.patch_size**2
    flops = {
        "stem": 2 * side**2 * kernel,
        "merging": 0,
        "attention": 0,
        "routers": 0,
        "experts": 0,
    }
    for number, stage in enumerate(model.typed_stages()):
        side = config.image_size // config.strides[number]
        if stage.downsample is not None:
            flops["merging"] += 2 * side**2 * stage.downsample.reduction.weight.numel()
        for block in stage.typed_blocks():
            for part, count in _block_flops(block, side).items():
                flops[part] += count
    return flops


def _block_flops(block: Block, side: int) -> dict[str, int]:
    """Of one block on a map of `side * side` tokens."""
    tokens = side**2
    attention, ffn = block.attn, block.ffn
    windows = plan_windows(side, side, attention.window, attention.shifted)
    attended = (side + windows.pad[0]) * (side + windows.pad[1])
    width = attention.proj.in_features
    projections = attention.qkv.weight.numel() + attention.proj.weight.numel()
    core = 2 * attended * windows.size[0] * windows.size[1] * width  # q k^T, and as much again: a v
    matrices = 0
    if ffn.shared is not None:
        matrices += ffn.shared.fc1.weight.numel() + ffn.shared.fc2.weight.numel()
    if ffn.experts is not None:
        one = ffn.experts.w1[0].numel() + ffn.experts.w2[0].numel()
        matrices += _branches(ffn) * one
    router = 0 if ffn.router is None else ffn.router.weight.numel()
    return {
        "attention": 2 * attended * projections + 2 * core,
        "routers": 2 * tokens * router,
        "experts": 2 * tokens * matrices,
    }
