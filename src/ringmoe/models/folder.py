"""What a checkpoint folder holds, and its config.json."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ringmoe import __version__
from ringmoe.errors import CheckpointError, ConfigError, RingmoeError, WriteError
from ringmoe.models.config import ModelConfig
from ringmoe.models.shards import INDEX, WEIGHTS
from ringmoe.sensors import get_sensor, modality_named

logger = logging.getLogger(__name__)

CONFIG, CARD = "config.json", "model-card.md"
TASK, TASK_WEIGHTS = "task.json", "task.safetensors"  # of a model that was adapted to a task
HUB_CARD = "README.md"  # what the hub shows of a repository
NEEDED = (CONFIG, WEIGHTS, INDEX, "model-*-of-*.safetensors")  # to load it
FORMAT = 1


def write_config(folder: Path, config: ModelConfig, *, quantised: bool = False) -> None:
    """Write config.json: the model's shape, and what each slice of its stems' kernels means.

    Args:
        folder: Where to.
        config: The shape.
        quantised: Whether matrices are kept in 8 bits; for people, the files' headers tell it too.
    """
    values = {
        "format": FORMAT,
        "ringmoe": __version__,
        "model": dataclasses.asdict(config),
        "channels": _channels(config),
    }
    if quantised:
        values["quantisation"] = "int8 matrices, a scale for each output channel"
    (folder / CONFIG).write_text(json.dumps(values, indent=2) + "\n")


def read_config(path: str | Path) -> ModelConfig:
    """The shape of the model in a checkpoint folder.

    Raises:
        CheckpointError: The folder is no checkpoint, its config.json cannot be read, or its
            stems have other channels than this version's.
    """
    file = Path(path) / CONFIG
    if not file.is_file():
        if (inside := Path(path) / "model" / CONFIG).is_file():
            raise CheckpointError(f"{path} is no checkpoint but a run: give {inside.parent}")
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


def _channels(config: ModelConfig) -> dict[str, Any]:
    return {m: list(modality_named(m).vocabulary) for m in config.modalities}


def refuse_to_overwrite(folder: Path) -> None:
    """Raise WriteError if the folder holds what is no part of a checkpoint."""
    found = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    ours = (*NEEDED, CARD, HUB_CARD, TASK, TASK_WEIGHTS)
    strays = [name for name in found if not any(fnmatchcase(name, known) for known in ours)]
    if strays or (folder.exists() and not folder.is_dir()):
        raise WriteError(
            f"{folder} is not a checkpoint folder (it holds {', '.join(strays[:3]) or 'a file'}): "
            "choose another, nothing was overwritten"
        )


def keep_task(source: Path, folder: Path, modalities: Sequence[str]) -> None:
    """Copy what a checkpoint was adapted to, its task and head, to one that was made of it.

    A head sees the widths of the backbone's maps, which pruning and 8 bits leave as they are; it is
    left out, with a warning, where a modality that it takes is not there any more.

    Args:
        source: A checkpoint folder, of a task or not.
        folder: The checkpoint made of it.
        modalities: That the new one serves.

    Raises:
        CheckpointError: What describes the task is damaged.
    """
    if not (source / TASK).is_file():
        return
    try:
        images = json.loads((source / TASK).read_text())["sources"].values()
        taken = {get_sensor(image["sensor"]).modality for image in images}
    except (KeyError, TypeError, AttributeError, ValueError, RingmoeError) as error:
        raise CheckpointError(f"{source / TASK} describes no task: {error!r}") from None
    lacking = sorted(taken - set(modalities))
    if lacking:
        logger.warning("%s: its head is left out: it takes %s", source, ", ".join(lacking))
        return
    for name in (TASK, TASK_WEIGHTS):
        shutil.copyfile(source / name, folder / name)
