"""Dense Swin Transformer V2 weights of timm and of transformers as a dense RingMoE.

The three have the same parameters under different names. A state dict tells every shape but the
attention windows: those come from the relative position tables that older files hold, or from the
caller (`ringmoe.models.swin_files` finds them in the config.json beside a file).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ringmoe.errors import CheckpointError, ConfigError
from ringmoe.models.backbone import RingMoE
from ringmoe.models.config import ModelConfig

# What becomes of a name, rule after rule; then ours.
_TIMM = {
    r"^patch_embed\.proj\.": "stems.optical.",
    r"^patch_embed\.norm\.": "stems.optical.norm.",
    r"^layers\.": "stages.",
    r"\.mlp\.": ".ffn.shared.",
}
_TRANSFORMERS = {
    r"^swinv2\.": "",
    r"^embeddings\.patch_embeddings\.projection\.": "stems.optical.",
    r"^embeddings\.norm\.": "stems.optical.norm.",
    r"^encoder\.layers\.": "stages.",
    r"\.attention\.output\.dense\.": ".attn.proj.",
    r"\.attention\.self\.": ".attn.",
    r"\.continuous_position_bias_mlp\.": ".cpb_mlp.",
    r"\.query\.bias$": ".q_bias",
    r"\.value\.bias$": ".v_bias",
    r"\.layernorm_before\.": ".norm1.",  # named as if before, applied after, as V2 does
    r"\.layernorm_after\.": ".norm2.",
    r"\.intermediate\.dense\.": ".ffn.shared.fc1.",
    r"\.output\.dense\.": ".ffn.shared.fc2.",
}
# The classifier with its norm, the decoder, and what is computed: no part of a backbone.
_LEFT_OUT = re.compile(
    r"^(norm|head|layernorm|classifier|decoder)\.|^embeddings\.mask_token$"
    r"|\.(relative_position_index|attn_mask|k_bias)$"
)
_TABLE = ".relative_coords_table"


def convert_swin(
    state: Mapping[str, Tensor], *, window_size: int | None = None, image_size: int | None = None
) -> RingMoE:
    """A dense RingMoE, modality optical, that computes what a Swin V2 does.

    The four maps are timm's `forward_intermediates` (transformers' `Swinv2Backbone` without the
    stem), before the norm of the classifier, which is left out with the classifier. Images must be
    normalised as the weights expect it, red first.

    Args:
        state: State dict of timm's `swin_transformer_v2` or of any transformers' Swinv2 model. It
            is copied; the model gets its dtype.
        window_size: Attention window in tokens; None to read it from the state dict's relative
            position tables, which older files hold.
        image_size: The size in pixels at which the windows of all stages are what the weights
            know; needed where `window_size` is.

    Returns:
        The model in eval mode: one shared expert a block, no others.

    Raises:
        CheckpointError: A tensor is missing, is no part of a Swin V2, or has another shape.
        ConfigError: The windows are not known, or are not those of one window size.
    """
    tensors, tables = _renamed(state)
    shape = _shape(tensors)
    if window_size is None or image_size is None:
        if window_size is not None or image_size is not None or not tables:
            raise ConfigError(
                "the weights do not tell their attention windows: give both window_size and "
                "image_size, e.g. 8 and 256 for swinv2_tiny_window8_256"
            )
        window_size, image_size = _windows(tables, shape)
    config = shape.replace(window_size=window_size, image_size=image_size)
    with torch.device("meta"):
        model = RingMoE(config)
    _check(tensors, {name: tuple(t.shape) for name, t in model.state_dict().items()})
    model.load_state_dict({n: t.detach().clone() for n, t in tensors.items()}, assign=True)
    return model.eval()


class _Table(NamedTuple):
    """What a relative position table tells: its window, and the one that scales its offsets."""

    window: int
    reference: int


def _renamed(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[int, _Table]]:
    """Tensors under our names, and what the position tables tell of each stage."""
    from_timm = any(name.startswith("patch_embed.") for name in state)
    rules = _TIMM if from_timm else _TRANSFORMERS
    # timm merges patches at the start of a stage; Microsoft, old timm and transformers at the end
    ahead = int(not from_timm or "layers.0.downsample.reduction.weight" in state)
    tensors: dict[str, Tensor] = {}
    tables: dict[int, _Table] = {}
    for name, tensor in state.items():
        for pattern, replacement in rules.items():
            name = re.sub(pattern, replacement, name)
        if _LEFT_OUT.search(name):
            continue
        if merging := re.fullmatch(r"stages\.(\d+)\.downsample\.(.*)", name):
            name = f"stages.{int(merging[1]) + ahead}.downsample.{merging[2]}"
        if name.endswith(_TABLE):
            tables[int(name.split(".")[1])] = _read_table(tensor)
        else:
            tensors[name] = tensor
    for name in [name for name in tensors if name.endswith(".attn.query.weight")]:
        layer = name.removesuffix("query.weight")
        parts = [tensors.pop(f"{layer}{part}.weight", None) for part in ("query", "key", "value")]
        if any(part is None for part in parts):
            raise CheckpointError(f"the weights lack the key or value matrix of {layer[:-1]}")
        tensors[f"{layer}qkv.weight"] = torch.cat(parts)  # type: ignore[arg-type]
    return tensors, tables


def _read_table(table: Tensor) -> _Table:
    """Window and reference of `(1, 2w - 1, 2w - 1, 2)` log-spaced offsets.

    The last entry is log2(1 + 8 (w - 1) / (r - 1)) / 3, solved for r.
    """
    window = (table.shape[1] + 1) // 2
    last = 2.0 ** (3 * float(table.flatten()[-1])) - 1
    return _Table(window, 1 + round(8 * (window - 1) / last) if window > 1 else 1)


def _shape(tensors: Mapping[str, Tensor]) -> ModelConfig:
    """All of the shape but the windows, which stay the defaults'."""
    blocks = [re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", name) for name in tensors]
    numbers = {(int(found[1]), int(found[2])) for found in blocks if found}
    count = 1 + max((stage for stage, _ in numbers), default=0)
    depths = tuple(sum(stage == other for other, _ in numbers) for stage in range(count))
    firsts = [f"stages.{stage}.blocks.0." for stage in range(count)]
    try:
        stem = tensors["stems.optical.weight"]
        heads = tuple(len(tensors[f"{first}attn.logit_scale"]) for first in firsts)
        hidden = len(tensors[f"{firsts[0]}ffn.shared.fc1.weight"])
        width, channels, patch, _ = stem.shape
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"these are no weights of a Swin V2 as timm or transformers name them ({error}; timm "
            "has patch_embed.proj.weight, layers.0.blocks.0.attn.logit_scale and so on)"
        ) from None
    if channels != 3:
        raise CheckpointError(
            f"the patch embedding has {channels} channels: only red, green, blue can be read in"
        )
    return ModelConfig(
        image_size=patch * 2 ** (count - 1),
        patch_size=patch,
        embed_dim=width,
        depths=depths,
        num_heads=heads,
        mlp_ratio=hidden / width,
        modalities=("optical",),
        specialized_experts=0,
        collaborative_experts=0,
    )


def _windows(tables: Mapping[int, _Table], shape: ModelConfig) -> tuple[int, int]:
    """Window and image size whose windows are the tables'."""
    sides = [tables[stage] for stage in range(len(shape.depths)) if stage in tables]
    window, image = sides[0].window, sides[-1].window * shape.stride
    native = shape.replace(window_size=window, image_size=image)
    for stage, table in tables.items():
        if (table.window, table.reference) != (native.native_window(stage),) * 2:
            raise ConfigError(
                f"the weights attend in windows of {table.window} with offsets scaled for "
                f"{table.reference} in stage {stage}: a RingMoE has one size for both; give "
                "window_size and image_size as they were before fine-tuning"
            )
    return window, image


def _check(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise CheckpointError unless these are the tensors of the model, all of them."""
    for words, names in (
        ("lack", sorted(set(expected) - set(tensors))),
        ("have what no Swin V2 backbone has:", sorted(set(tensors) - set(expected))),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(f"the weights {words} {names[0]}{more} (in RingMoE's names)")
    for name, shape in expected.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            raise CheckpointError(
                f"the weights have {tensor.dtype} {tuple(tensor.shape)} for {name} (in RingMoE's "
                f"names): floating {shape} is due"
            )
