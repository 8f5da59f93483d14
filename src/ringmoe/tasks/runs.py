"""What a finished fine-tuning run says, and scoring its model."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ringmoe.datasets import DataConfig, LabelledData, open_data, read_split
from ringmoe.datasets.split_file import Split
from ringmoe.errors import ConfigError
from ringmoe.files import replacing
from ringmoe.tasks.building import make_loader
from ringmoe.tasks.config import FinetuneConfig
from ringmoe.tasks.evaluate import Figures, evaluate
from ringmoe.tasks.finetune import SPLIT
from ringmoe.tasks.model import TaskModel
from ringmoe.tasks.saving import load_task
from ringmoe.tasks.task import TASKS
from ringmoe.tasks.validation import FILE, SETTLED, best_of
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
    best = best_of(read_metrics(lines), TASKS[task]) if lines.exists() else None
    if best is None or not (path / SETTLED).exists():
        return best
    settled = json.loads((path / SETTLED).read_text())
    return settled if settled["step"] == best["step"] else best


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A fine-tuning run with its model, and the labelled images to look at it on.

    Attributes:
        path: The run's folder.
        config: Its settings.
        data: Of its labelled images.
        model: What it learned.
        examples: Its labelled images, or others laid out alike.
        parts: "train", "validation" and "test" to indices of them; empty of others.
    """

    path: Path
    config: FinetuneConfig
    data: DataConfig
    model: TaskModel
    examples: LabelledData
    parts: Split

    def indices(self, part: Part) -> np.ndarray:
        """Examples of a part; all where the images are not the run's own.

        Raises:
            ConfigError: The part is empty.
        """
        if not self.parts:
            return np.arange(len(self.examples))
        if not len(self.parts[part]):
            raise ConfigError(
                f"{self.path / SPLIT}: no example is in the {part} part: choose another (--part "
                "validation), give other data (--path), or train with one (--data.test 0.2)"
            )
        return self.parts[part]

    def evaluate(self, part: Part = "test") -> Figures:
        """The model's metrics; those of the run's own data are kept as `PART.json` in its folder.

        Raises:
            ConfigError: The part is empty.
            DatasetError: The model cannot be scored on these labels.
        """
        indices = self.indices(part)
        self.model.task.check_data(self.examples)
        batches = make_loader(self.examples, indices, self.config).epoch(self.model.task.cover)
        figures = evaluate(self.model, batches)
        if self.parts:
            with replacing(self.path / f"{part}.json") as partial:
                partial.write_text(json.dumps(figures, indent=2) + "\n")
        return figures


def open_run(
    path: Path,
    other: Path | None = None,
    device: torch.device | str = "cpu",
    *,
    tile_size: int | None = None,
    labels: str | None = None,
) -> OpenRun:
    """A run with its own labelled images, or with others that are read with the same settings.

    Args:
        path: The run's folder.
        other: Other images and labels in place of the run's own.
        device: Where to compute.
        tile_size: Cut the others into tiles of so many pixels; 0 takes them whole, None the run's.
        labels: Where the others' labels are, as `DataConfig.labels`; None for where the run's were.

    Raises:
        ConfigError: The folder holds no run, or the others would be scored by the run's own labels.
        CheckpointError: The model cannot be read.
        DatasetError: The images or labels are not there any more, or not laid out alike.
    """
    task, config, data = run_settings(path)
    model = load_task(RunFolder(path).model_path, task, device=device).eval()
    if other is None:
        examples = open_data(data, model.task.label_kind)
        return OpenRun(path, config, data, model, examples, read_split(path / SPLIT, examples))
    # by the model's class names: other data may hold fewer classes, or name none
    named = data.classes or list(model.task.classes)
    tile_size = data.tile_size if tile_size is None else tile_size
    labels = data.labels if labels is None else labels
    if Path(labels).is_absolute() and labels == data.labels:
        raise ConfigError(
            f"{path}: its labels are {labels}, whatever images are given: say where those of "
            f"{other} are (--labels)"
        )
    data = replace(data, path=other, classes=named, tile_size=tile_size, labels=labels)
    data.check()
    return OpenRun(path, config, data, model, open_data(data, model.task.label_kind), {})


def evaluate_run(
    path: Path,
    part: Part = "test",
    *,
    other: Path | None = None,
    device: torch.device | str = "cpu",
    tile_size: int | None = None,
) -> tuple[TaskModel, Figures]:
    """Score the model of a run, on a part of its data or on other data laid out alike.

    Args:
        path: The run's folder.
        part: Of the run's own split.
        other: Other images and labels in place of the run's own; all of them count.
        device: Where to compute.
        tile_size: Of the others, see `open_run`.

    Returns:
        The model, and its metrics.

    Raises:
        ConfigError, CheckpointError, DatasetError: See `open_run` and `OpenRun.evaluate`.
    """
    run = open_run(path, other, device, tile_size=tile_size)
    return run.model, run.evaluate(part)
