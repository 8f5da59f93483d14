"""Weights in 8 bits: matrices as whole numbers, with a scale for each output channel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ringmoe.errors import CheckpointError
from ringmoe.files import replacing
from ringmoe.models import ModelConfig, RingMoE, default_card, plan_load
from ringmoe.models.card import card_text
from ringmoe.models.checkpoint import weights_of
from ringmoe.models.folder import CARD, keep_task, refuse_to_overwrite, write_config
from ringmoe.models.hub import local_folder
from ringmoe.models.plan import scale_shape
from ringmoe.models.reading import new_buffer, read_tensor
from ringmoe.models.shard_writer import ShardWriter
from ringmoe.models.shards import MAX_SHARD_BYTES, SCALE

LEVELS = 127  # -127 to 127: symmetric, so that 0 stays 0

# What is multiplied by tokens: nearly all of a model's bytes. Stems, routers (whose choices a small
# error can turn), position bias, norms and biases stay as they are.
MATRICES = (
    r"\.attn\.(qkv|proj)\.weight",
    r"\.ffn\.shared\.fc[12]\.weight",
    r"\.ffn\.experts\.w[12]",
    r"\.downsample\.reduction\.weight",
)
_MATRICES = re.compile(f"({'|'.join(MATRICES)})$")


def is_quantised(name: str) -> bool:
    """Whether a tensor of that name is kept in 8 bits (`MATRICES`)."""
    return _MATRICES.search(name) is not None


def to_int8(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as whole numbers times a scale for each output channel.

    The scale is the channel's largest magnitude over 127, rounded up in the matrix's type, so that
    nothing is clipped and each weight is at most half a scale off, whatever the type.

    Args:
        matrix: `(out, in)` as a linear layer has it, or a stack of experts `(E, in, out)`: of both
            the second axis is what a product with tokens sums over.

    Returns:
        int8 of the matrix's shape, and the scales in its type, `(out, 1)` or `(E, 1, out)`.
    """
    wide = torch.promote_types(matrix.dtype, torch.float32)
    largest = matrix.abs().amax(1, keepdim=True)
    scale = (largest.double() / LEVELS).to(matrix.dtype)
    above = torch.nextafter(scale, torch.full_like(scale, torch.inf))
    scale = torch.where(scale.double() * LEVELS < largest.double(), above, scale)
    scale = torch.where(largest == 0, torch.ones_like(scale), scale)
    return (matrix.to(wide) / scale.to(wide)).round_().to(torch.int8), scale


def quantise(
    source: RingMoE | str | Path,
    out: str | Path,
    *,
    max_shard_bytes: int | str = MAX_SHARD_BYTES,
) -> Path:
    """Write a checkpoint with its matrices in 8 bits; `load_model` reads it as any other.

    Read, converted and written expert by expert: a checkpoint needs memory for one of its tensors.

    Args:
        source: A checkpoint as `load_model` takes it, full or pruned, or a model.
        out: The new checkpoint's folder.
        max_shard_bytes: As for `save_model`.

    Returns:
        The folder.

    Raises:
        CheckpointError: The checkpoint cannot be read, or holds values that are not finite.
        WriteError: The folder cannot be written, or holds something other than a checkpoint.
        ConfigError: `max_shard_bytes` is no size.
    """
    config, tensors, read = _opened(source)
    folder = Path(out)
    refuse_to_overwrite(folder)
    with replacing(folder) as unfinished:
        unfinished.mkdir()
        with ShardWriter(_stored(tensors), unfinished, max_shard_bytes) as writer:
            for name in tensors:
                _write(name, read(name), writer, source)
        write_config(unfinished, config, quantised=True)
        (unfinished / CARD).write_text(_card(source, config))
        if not isinstance(source, RingMoE):
            keep_task(local_folder(source), unfinished, config.modalities)
    return folder


def _opened(
    source: RingMoE | str | Path,
) -> tuple[ModelConfig, Mapping[str, Tensor], Callable[[str], Tensor]]:
    """The shape of the model, its tensors without values, and what gives their values."""
    if isinstance(source, RingMoE):
        state = weights_of(source)
        return source.config, state, state.__getitem__
    plan = plan_load(local_folder(source))
    reads = {read.name: read for read in plan.reads}
    tensors = {
        name: torch.empty(read.shape, dtype=read.floating, device="meta")
        for name, read in reads.items()
    }
    buffer = new_buffer()
    return plan.config, tensors, lambda name: read_tensor(reads[name], buffer)


def _stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the new checkpoint holds, without values."""
    stored = {}
    for name, tensor in tensors.items():
        shape, dtype = tuple(tensor.shape), tensor.dtype
        if is_quantised(name):
            stored[name + SCALE] = torch.empty(scale_shape(shape), dtype=dtype, device="meta")
            dtype = torch.int8
        stored[name] = torch.empty(shape, dtype=dtype, device="meta")
    return stored


def _write(name: str, tensor: Tensor, writer: ShardWriter, source: RingMoE | str | Path) -> None:
    if not is_quantised(name):
        writer.append(name, tensor)
        return
    for part in tensor.split(1) if tensor.ndim == 3 else [tensor]:
        values, scale = to_int8(part)
        if not scale.isfinite().all():
            where = "the model" if isinstance(source, RingMoE) else str(source)
            raise CheckpointError(
                f"tensor {name} of {where} holds values that are not finite: it cannot be "
                "quantised, nor used; take an earlier checkpoint of the run"
            )
        writer.append(name, values)
        writer.append(name + SCALE, scale)


def _card(source: RingMoE | str | Path, config: ModelConfig) -> str:
    """The checkpoint's own card where it has one, and what was done to it."""
    own = None if isinstance(source, RingMoE) else card_text(local_folder(source))
    own = own or default_card(config)
    return f"{own.rstrip()}\n\nMatrices in 8 bits, a scale for each output channel.\n"
