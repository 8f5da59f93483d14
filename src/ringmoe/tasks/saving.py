"""A task's model as a folder: the backbone's checkpoint, `task.json`, `task.safetensors`.

The folder is the checkpoint of the adapted backbone too: `load_model`, `ringmoe info` and pruning
read it as any other.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ringmoe import __version__
from ringmoe.errors import CheckpointError, RingmoeError
from ringmoe.files import replacing
from ringmoe.models import default_card, load_model, save_model
from ringmoe.models.folder import TASK, TASK_WEIGHTS, refuse_to_overwrite
from ringmoe.tasks.model import TaskModel, TaskSource
from ringmoe.tasks.task import Task, task_from, to_plain
from ringmoe.training import load_weights

FORMAT = 1


def save_task(model: TaskModel, path: str | Path, *, tile_size: int, card: str = "") -> Path:
    """Write a task's checkpoint folder, whole or not at all.

    Args:
        model: What to save, on any device; LoRA must have been merged.
        path: The folder.
        tile_size: Height and width in pixels of the images it was trained on, a good size for
            the tiles of a map.
        card: Text of the model card; the default one if empty.

    Raises:
        WriteError: It cannot be written, or `path` holds something other than a checkpoint.
    """
    folder = Path(path)
    refuse_to_overwrite(folder)
    facts = {
        "format": FORMAT,
        "ringmoe": __version__,
        "task": to_plain(model.task),
        "sources": {name: asdict(source) for name, source in model.sources.items()},
        "may_lack": model.may_lack,
        "tile_size": tile_size,
        "bypass": model.bypass,
    }
    with replacing(folder) as unfinished:
        save_model(model.backbone, unfinished, card or default_card(model.backbone.config))
        own = {name: tensor.cpu().contiguous() for name, tensor in _own(model).items()}
        (unfinished / TASK_WEIGHTS).write_bytes(save(own))  # save_file lets nobody else read it
        (unfinished / TASK).write_text(json.dumps(facts, indent=2) + "\n")
    return folder


def read_task(path: str | Path) -> dict[str, Any]:
    """What `task.json` of a checkpoint says.

    Raises:
        CheckpointError: It is no task's checkpoint, or of another format.
    """
    file = Path(path) / TASK
    if not file.is_file():
        raise CheckpointError(
            f"{path}: expected a task's checkpoint, with {TASK}: `ringmoe finetune` makes one of a "
            "backbone"
        )
    try:
        facts = json.loads(file.read_text())
        version = facts["format"]
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{file} describes no task: {error!r}") from None
    if version != FORMAT:
        raise CheckpointError(f"{file} is of format {version}, this version reads {FORMAT}")
    return facts


def load_task(
    path: str | Path,
    task: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> TaskModel:
    """Read a task's checkpoint.

    Args:
        path: The folder.
        task: The task that it must be of; None for any.
        device: Where the weights go.
        dtype: Floating type of the weights; None keeps the stored one.

    Returns:
        The model in eval mode.

    Raises:
        CheckpointError: It is no task's checkpoint, of another task, or damaged.
    """
    facts = read_task(path)
    try:
        made = _task(facts["task"])
        sources = {
            name: TaskSource(
                source["sensor"],
                tuple(source["channels"]),
                source.get("encoding"),
                source.get("nodata"),
            )
            for name, source in facts["sources"].items()
        }
        if task is not None and made.name != task:
            raise CheckpointError(f"{path} is a model for {made.name}, expected one for {task}")
        backbone = load_model(Path(path), device=device, dtype=dtype)
        model = TaskModel(backbone, made, sources, facts["may_lack"], facts["bypass"])
    except CheckpointError:
        raise
    except (KeyError, TypeError, AttributeError, RingmoeError) as error:
        raise CheckpointError(f"{Path(path) / TASK} describes no task: {error}") from None
    _load_own(model, Path(path) / TASK_WEIGHTS)
    return model.to(device=device, dtype=dtype).eval()


def _task(values: dict[str, Any]) -> Task:
    """The task that was saved; of trackers before, `new_score` may be less than it can be."""
    if "new_score" in values:
        values = values | {"new_score": max(values["new_score"], values["high_score"])}
    return task_from(values)


def _own(model: TaskModel) -> dict[str, torch.Tensor]:
    """All but the backbone's weights."""
    state = model.state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith("backbone.")}


def _load_own(model: TaskModel, file: Path) -> None:
    try:
        own = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: cannot be read ({error})") from None
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name in own:  # a head is made in single precision
            tensor.data = tensor.data.to(own[name].dtype)
    backbone = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    load_weights(model, backbone | own, file)
