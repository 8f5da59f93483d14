"""Checkpoints of a run: folders that are whole or absent, and hold no pickle.

    checkpoints/step-000100/
        weights.safetensors      the objective's state_dict
        optimizer.safetensors    exp_avg/NAME, exp_avg_sq/NAME, step/NAME
        average.safetensors      the moving average of the weights, if the run keeps one
        state.json               the step

A folder is written under another name, flushed to the disk and then renamed: a run killed at any
moment finds its last whole checkpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ringmoe.errors import CheckpointError, WriteError
from ringmoe.files import replacing

FORMAT = 1
TensorGroups = dict[str, dict[str, Tensor]]


def save_checkpoint(
    folder: Path, step: int, groups: Mapping[str, Mapping[str, Tensor]], *, keep: int = 2
) -> Path:
    """Write one checkpoint, then remove the oldest beyond `keep`.

    Args:
        folder: The run's `checkpoints` folder.
        step: Steps taken so far.
        groups: File stem to named tensors.
        keep: How many checkpoints stay; 0 keeps all.

    Returns:
        The new checkpoint's folder.

    Raises:
        WriteError: It could not be written whole; older checkpoints stand untouched.
    """
    for rest in folder.glob(".step-*"):  # of a run killed while it wrote: its space is needed
        shutil.rmtree(rest)
    path = folder / f"step-{step:06d}"
    with replacing(path) as partial:
        partial.mkdir()
        for stem, tensors in groups.items():
            own = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
            try:
                save_file(own, partial / f"{stem}.safetensors")
            except SafetensorError as error:  # safetensors' own word for a full disk
                raise WriteError(
                    f"cannot write {path}: {error}; free some space and go on with --resume"
                ) from error
        (partial / "state.json").write_text(json.dumps({"format": FORMAT, "step": step}) + "\n")
    for old in list_checkpoints(folder)[:-keep] if keep else ():
        shutil.rmtree(old)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(
        (p for p in folder.glob("step-*") if (p / "state.json").is_file()),
        key=step_of,
    )


def step_of(path: Path) -> int:
    """Steps that were taken when a checkpoint was written."""
    return int(path.name.removeprefix("step-"))


def load_checkpoint(
    path: Path, stems: Sequence[str] = ("weights",), device: torch.device | str = "cpu"
) -> tuple[dict[str, Any], TensorGroups]:
    """Read one checkpoint.

    Args:
        path: Its folder.
        stems: Which of its files of tensors to read.
        device: Where the tensors go.

    Returns:
        What `state.json` holds, and the tensors by file stem and name.

    Raises:
        CheckpointError: A file is absent, cut short or of another format version.
    """
    try:
        state = json.loads((path / "state.json").read_text())
        groups = {
            stem: load_file(path / f"{stem}.safetensors", device=str(device)) for stem in stems
        }
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected a whole checkpoint, cannot read it ({error}); remove this folder "
            "to resume from the checkpoint before it"
        ) from error
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {state.get('format')!r}, this version reads {FORMAT}"
        )
    return state, groups


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Put a checkpoint's tensors into a module, refusing what does not fit.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape; the message names it.
    """
    own = module.state_dict()
    for name in [*own, *weights]:
        if name not in weights:
            raise CheckpointError(f"{path}: tensor {name!r} of the model is missing")
        if name not in own:
            raise CheckpointError(f"{path}: tensor {name!r} is not one of the model's")
        if own[name].shape != weights[name].shape:
            raise CheckpointError(
                f"{path}: tensor {name!r} has shape {tuple(weights[name].shape)}, "
                f"the model's is {tuple(own[name].shape)}"
            )
    module.load_state_dict(dict(weights))


def optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as named tensors, `KIND/PARAMETER`."""
    return {
        f"{kind}/{name}": value
        for name, parameter in module.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    module: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """The inverse of `optimizer_tensors`."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        # `step` stays where AdamW wants it: with the parameter if fused, on the CPU otherwise.
        optimizer.state[parameters[name]][kind] = value
