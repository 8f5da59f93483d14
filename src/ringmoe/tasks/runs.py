"""What a finished fine-tuning run says, and scoring its model."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ringmoe.datasets import DataConfig, open_data, read_split
from ringmoe.errors import ConfigError
from ringmoe.files import replacing
from ringmoe.tasks.config import FinetuneConfig
from ringmoe.tasks.evaluate import Figures, evaluate
from ringmoe.tasks.finetune import SPLIT, make_loader
from ringmoe.tasks.model import TaskModel
from ringmoe.tasks.saving import load_task
from ringmoe.tasks.task import TASKS
from ringmoe.tasks.validation import FILE, best_of
from ringmoe.training import RunFolder, read_metrics

Part = Literal["train", "validation", "test"]


def run_settings(path: Path) -> tuple[str, FinetuneConfig, DataConfig]:
    """The task and the settings of a run.

    Raises:
        ConfigError: The folder holds no fine-tuning run.
    """
    run = RunFolder(path)
    found = run.config()
    task, data = found.pop("task", None), found.pop("data", {})
    known = {field.name for field in fields(FinetuneConfig)}
    if task not in TASKS or set(found) - known:
        raise ConfigError(f"{run.config_path}: not of a fine-tuning run")
    if data is None:
        raise ConfigError(
            f"{run.config_path}: the labelled images were given in Python, not as files: score the "
            "model there, with ringmoe.tasks.evaluate"
        )
    return task, FinetuneConfig(**found), DataConfig(**data)


def best_validation(path: Path) -> Figures | None:
    """What the best weights of a run scored on its validation part; None if it had none."""
    task, _, _ = run_settings(path)
    lines = RunFolder(path).path / FILE
    return best_of(read_metrics(lines), TASKS[task]) if lines.exists() else None


def evaluate_run(
    path: Path,
    part: Part = "test",
    *,
    other: Path | None = None,
    device: torch.device | str = "cpu",
) -> tuple[TaskModel, Figures]:
    """Score the model of a run, on a part of its data or on other data laid out alike.

    The figures of its own data are kept as `PART.json` in the run's folder.

    Args:
        path: The run's folder.
        part: Of the run's own split.
        other: Other images and labels in place of the run's own, read with the same settings; all
            of them count.
        device: Where to compute.

    Returns:
        The model, and its metrics.

    Raises:
        ConfigError: The folder holds no run, or the part is empty.
        CheckpointError: The model cannot be read.
        DatasetError: The data are not there any more.
    """
    task, config, data = run_settings(path)
    model = load_task(RunFolder(path).model_path, task, device=device)
    if other is None:
        examples = open_data(data, model.task.label_kind)
        indices = read_split(path / SPLIT, examples)[part]
        if not len(indices):
            raise ConfigError(
                f"{path / SPLIT}: no example is in the {part} part: choose another part, or give "
                "other data"
            )
    else:
        # by the model's class names: other data may hold fewer classes, or name none
        named = data.classes or list(model.task.classes)
        examples = open_data(replace(data, path=other, classes=named), model.task.label_kind)
        indices = np.arange(len(examples))
    model.task.check_data(examples)
    batches = make_loader(examples, indices, config).epoch(model.task.cover)
    figures = evaluate(model, batches)
    if other is None:
        with replacing(path / f"{part}.json") as partial:
            partial.write_text(json.dumps(figures, indent=2) + "\n")
    return model, figures
