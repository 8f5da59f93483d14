"""A model as a folder: config.json, safetensors in one file or in shards, a card. No pickle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ringmoe.errors import ConfigError
from ringmoe.files import replacing
from ringmoe.models.backbone import RingMoE
from ringmoe.models.card import default_card
from ringmoe.models.folder import CARD, refuse_to_overwrite, write_config
from ringmoe.models.hub import local_folder
from ringmoe.models.plan import plan_load, shapes
from ringmoe.models.reading import read_tensors
from ringmoe.models.shard_writer import write_shards
from ringmoe.models.shards import MAX_SHARD_BYTES


def save_model(
    model: RingMoE,
    path: str | Path,
    card: str | None = None,
    max_shard_bytes: int | str = MAX_SHARD_BYTES,
) -> Path:
    """Write a checkpoint folder, whole or not at all.

    It is written beside `path` under another name and then renamed, so that a checkpoint that
    stood there stays good until the new one is complete. Weights up to `max_shard_bytes` are one
    file, `model.safetensors`; larger ones are `model-00001-of-0000N.safetensors` with
    `model.safetensors.index.json`, as Hugging Face's libraries write and read them.

    Args:
        model: What to save, on any device.
        path: The folder.
        card: Text of the model card; None for one that states shape, size and channels.
        max_shard_bytes: Largest file of weights, in bytes or as text such as "5GB" (of 1000^3). A
            single tensor is never split: a larger one is a file by itself.

    Returns:
        The folder.

    Raises:
        WriteError: It cannot be written, or `path` holds something other than a checkpoint.
        ConfigError: `max_shard_bytes` is no size, or the model has other tensors than its shape
            says, such as those of adapters.
    """
    folder = Path(path)
    refuse_to_overwrite(folder)
    weights = weights_of(model)
    with replacing(folder) as unfinished:
        unfinished.mkdir()
        write_shards(weights, unfinished, max_shard_bytes)
        write_config(unfinished, model.config)
        (unfinished / CARD).write_text(default_card(model.config) if card is None else card)
    return folder


def weights_of(model: RingMoE) -> dict[str, Tensor]:
    """A model's tensors as a checkpoint has them; of a compiled model those of the original.

    Raises:
        ConfigError: There are others than the shape says, or some lack.
    """
    state = getattr(model, "_orig_mod", model).state_dict()
    due = shapes(model.config)
    odd = sorted(state.keys() ^ due.keys())
    odd += [name for name in due.keys() & state.keys() if tuple(state[name].shape) != due[name]]
    if odd:
        raise ConfigError(
            f"the model's tensors are not those of its shape ({odd[0]} and {len(odd) - 1} more): "
            "save the backbone itself, adapters merged"
        )
    return state


def load_model(
    path: str | Path,
    modalities: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> RingMoE:
    """Read a checkpoint, or the part of it that some modalities need.

    Only the bytes that are needed are read from disk (`plan_load` lists them), each tensor
    straight into the memory where it stays: besides the model, loading takes at most a buffer of
    16 MiB. A checkpoint on the hub is first downloaded into the hub's cache, all its shards: every
    shard has rows of every modality.

    Args:
        path: A folder, or the id of a repository on the Hugging Face hub, "owner/name". What
            exists as a folder is one; so is a `Path`.
        modalities: Which to load, in the order the model shall have them: only their stems,
            routers and specialized experts are read, with all that is shared. None for all.
        device: Where the weights go.
        dtype: Floating type of the weights; None keeps the stored one.

    Returns:
        The model in eval mode.

    Raises:
        CheckpointError: It is no checkpoint, or cannot be downloaded; a file is missing or cut
            short; or a tensor is missing, unexpected or of another shape; the message names
            tensor, shapes and file.
        ConfigError: A modality is not in the checkpoint.
    """
    plan = plan_load(local_folder(path), modalities)
    with torch.device("meta"):
        model = RingMoE(plan.config)
    model.load_state_dict(read_tensors(plan, device, dtype), assign=True)
    return model.eval()
