"""A model as a folder: config.json, model.safetensors, model-card.md. No pickle, ever."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ringmoe import __version__
from ringmoe.errors import CheckpointError, ConfigError, WriteError
from ringmoe.files import replacing
from ringmoe.models.backbone import RingMoE
from ringmoe.models.card import default_card
from ringmoe.models.config import ModelConfig
from ringmoe.sensors import modality_named

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "model-card.md"
FORMAT = 1
STACKED = (".ffn.experts.", ".ffn.router.")  # tensors whose rows belong to modalities


def save_model(model: RingMoE, path: str | Path, card: str | None = None) -> Path:
    """Write a checkpoint folder, whole or not at all.

    It is written beside `path` under another name and then renamed, so that a checkpoint that
    stood there stays good until the new one is complete.

    Args:
        model: What to save, on any device.
        path: The folder.
        card: Text of the model card; None for one that states shape, size and channels.

    Returns:
        The folder.

    Raises:
        WriteError: It cannot be written, or `path` holds something other than a checkpoint.
    """
    folder = Path(path)
    _refuse_to_overwrite(folder)
    with replacing(folder) as unfinished:
        unfinished.mkdir()
        _write_weights(model, unfinished / WEIGHTS)
        (unfinished / CONFIG).write_text(json.dumps(_config_file(model.config), indent=2) + "\n")
        (unfinished / CARD).write_text(default_card(model.config) if card is None else card)
    return folder


def load_model(
    path: str | Path,
    modalities: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> RingMoE:
    """Read a checkpoint folder, or the part of it that some modalities need.

    Args:
        path: The folder.
        modalities: Which to load, in the order the model shall have them: only their stems,
            routers and specialized experts are read, with all that is shared. None for all.
        device: Where the weights go.
        dtype: Floating type of the weights; None keeps the stored one.

    Returns:
        The model in eval mode.

    Raises:
        CheckpointError: The folder is no checkpoint, or a tensor is missing, unexpected or of
            another shape; the message names tensor, shapes and file.
        ConfigError: A modality is not in the checkpoint.
    """
    folder = Path(path)
    config = read_config(folder)
    wanted = config.modalities if modalities is None else tuple(modalities)
    for modality in wanted:
        if modality not in config.modalities:
            raise ConfigError(
                f"{folder} has no modality {modality!r}: it has {', '.join(config.modalities)}"
            )
    with torch.device("meta"):
        model = RingMoE(config.replace(modalities=wanted))
        expected = {name: tuple(t.shape) for name, t in RingMoE(config).state_dict().items()}
    file = folder / WEIGHTS
    rows = _rows(config, wanted)
    with _opened(file, device) as tensors:
        _check(tensors, expected, file)
        state = {}
        for name in model.state_dict():
            tensor = _read(tensors, name, rows)
            if not tensor.is_floating_point():
                raise CheckpointError(f"tensor {name} in {file} is {tensor.dtype}: floating is due")
            state[name] = tensor if dtype is None else tensor.to(dtype)
    model.load_state_dict(state, assign=True)
    return model.eval()


def read_config(path: str | Path) -> ModelConfig:
    """The shape of the model in a checkpoint folder.

    Raises:
        CheckpointError: The folder is no checkpoint, its config.json cannot be read, or its
            stems have other channels than this version's.
    """
    file = Path(path) / CONFIG
    if not file.is_file():
        raise CheckpointError(
            f"{path} is no checkpoint: expected a folder with {CONFIG}, {WEIGHTS} and {CARD}, as "
            "save_model writes it"
        )
    try:
        values = json.loads(file.read_text())
        version, channels, shape = values["format"], values["channels"], values["model"]
        if version != FORMAT:
            raise CheckpointError(
                f"{file} is of format {version}, this version reads format {FORMAT}: "
                "use the version of ringmoe that wrote it"
            )
        config = ModelConfig.from_dict(shape)
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{file} is no model configuration: {error!r}") from None
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}") from None
    if channels != _channels(config):
        raise CheckpointError(
            f"{file} names stem channels {channels}, this version has {_channels(config)}"
        )
    return config


def _config_file(config: ModelConfig) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "ringmoe": __version__,
        "model": dataclasses.asdict(config),
        "channels": _channels(config),
    }


def _channels(config: ModelConfig) -> dict[str, list[str]]:
    """What each slice of the stems' kernels means."""
    return {m: list(modality_named(m).vocabulary) for m in config.modalities}


@contextmanager
def _opened(file: Path, device: torch.device | str) -> Iterator[Any]:
    """A safetensors file, its errors made ours."""
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: the checkpoint has no weights")
    try:
        with safe_open(file, framework="pt", device=str(device)) as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file} cannot be read ({error}): it is cut short or no safetensors file; copy it anew"
        ) from None


def _check(tensors: Any, expected: dict[str, tuple[int, ...]], file: Path) -> None:
    """Raise CheckpointError unless the file has exactly these tensors in these shapes."""
    found = set(tensors.keys())
    for words, names in (
        ("lacks", sorted(set(expected) - found)),
        ("has unexpected", sorted(found - set(expected))),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(
                f"{file} {words} tensor {names[0]}{more}: it does not fit the {CONFIG} beside it"
            )
    for name, shape in expected.items():
        there = tuple(tensors.get_slice(name).get_shape())
        if there != shape:
            raise CheckpointError(
                f"tensor {name} in {file} has shape {there}, expected {shape}: it does not fit "
                f"the {CONFIG} beside it"
            )


def _rows(config: ModelConfig, modalities: Sequence[str]) -> list[slice]:
    """Which rows of the stacked tensors belong to these modalities, the shared ones last."""
    each = config.specialized_experts
    if tuple(modalities) == config.modalities:
        return [slice(0, config.routed_experts)]
    starts = [config.modalities.index(modality) * each for modality in modalities]
    own = [slice(start, start + each) for start in starts]
    return [*own, slice(len(config.modalities) * each, config.routed_experts)]


def _read(tensors: Any, name: str, rows: Sequence[slice]) -> Tensor:
    """One tensor; of a stacked one only these rows."""
    if not any(part in name for part in STACKED) or len(rows) == 1:
        return tensors.get_tensor(name)
    stored = tensors.get_slice(name)
    return torch.cat([stored[part] for part in rows if part.start < part.stop])


def _refuse_to_overwrite(folder: Path) -> None:
    """Raise WriteError if the folder holds what is no part of a checkpoint."""
    found = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    strays = [name for name in found if name not in (CONFIG, WEIGHTS, CARD)]
    if strays or (folder.exists() and not folder.is_dir()):
        raise WriteError(
            f"{folder} is not a checkpoint folder (it holds {', '.join(strays[:3]) or 'a file'}): "
            "choose another, nothing was overwritten"
        )


def _write_weights(model: RingMoE, file: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    file.touch()  # safetensors would make it readable for its owner alone
    mode = file.stat().st_mode
    try:
        save_file(state, file, metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk, in words of its own
        raise WriteError(f"cannot write {file}: {error}") from None
    file.chmod(mode)
