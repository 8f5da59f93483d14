"""What a fine-tuning run is made of: its task, its model, and the loaders of its images."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ringmoe.datasets import IGNORED, LabelledData, LabelledLoader, classes_of, label_of
from ringmoe.errors import ConfigError, DatasetError
from ringmoe.models import PRESETS, RingMoE, create_model, load_model, read_config
from ringmoe.tasks.adaptation import add_lora
from ringmoe.tasks.config import FinetuneConfig
from ringmoe.tasks.model import TaskModel, TaskSource
from ringmoe.tasks.task import TASKS, Task, task_from
from ringmoe.training import Ranks, choose_precision

MOST_BYPASSED = 0.075  # of the backbone's parameters


def make_task(
    name: str, config: FinetuneConfig, examples: LabelledData, training: np.ndarray
) -> Task:
    """The task with its options, its classes those of the data."""
    options: dict[str, Any] = {"task": name, **config.options}
    if examples.classes:
        given = options.setdefault("classes", examples.classes)
        if isinstance(given, list | tuple) and tuple(given) != examples.classes:
            raise ConfigError(
                f"options.classes: the data have {', '.join(examples.classes)}, got "
                f"{', '.join(map(str, given))}: name them in data.classes"
            )
    if config.resize and examples.kind in ("boxes", "rotated-boxes"):
        raise ConfigError(f"resize: expected false, {name} sees images in their own size")
    if config.balance_classes:
        if "class_weights" not in {field.name for field in fields(TASKS[name])}:
            raise ConfigError(f"balance_classes: expected false, task {name} weighs no classes")
        options["class_weights"] = class_weights(examples, training)
    return task_from(options)


def class_weights(examples: LabelledData, training: np.ndarray) -> tuple[float, ...]:
    """Weights inverse to each class's share of the labels, their mean over labels 1.

    N / (K n_k), as scikit-learn's "balanced": K classes, n_k of N labels of class k.

    Raises:
        DatasetError: A class has no label.
    """
    classes = len(examples.classes)
    counts = np.zeros(classes, np.int64)
    for index in training:
        labels = classes_of(label_of(examples, int(index)))
        counts += np.bincount(labels[labels != IGNORED], minlength=classes)
    empty = [name for name, n in zip(examples.classes, counts, strict=True) if not n]
    if empty:
        raise DatasetError(f"no training label of class {', '.join(empty)}: leave it out")
    return tuple((counts.sum() / (classes * counts)).round(6).tolist())


def make_model(
    task: Task, config: FinetuneConfig, examples: LabelledData, ranks: Ranks
) -> TaskModel:
    """Backbone, adaptation and a head with first weights."""
    sources = {name: TaskSource.of(source) for name, source in examples.sources.items()}
    modalities = tuple(dict.fromkeys(source.modality for source in sources.values()))
    dtype = choose_precision(config.precision, ranks.device).weights
    torch.manual_seed(config.seed)  # of the head, LoRA and bypasses
    backbone = _backbone(config, modalities).to(ranks.device, dtype)
    if config.adapt == "lora":
        add_lora(backbone, config.rank)
    elif config.adapt != "full":
        backbone.requires_grad_(False)
    bypass = config.bypass if config.adapt == "convpass" else 0
    model = TaskModel(backbone, task, sources, may_lack=config.missing > 0, bypass=bypass)
    if model.bypasses is not None:
        _refuse_wide(model.bypasses, backbone)
    return model


def _refuse_wide(bypasses: nn.Module, backbone: nn.Module) -> None:
    """Bypasses are for few parameters: beyond that, training all of them serves better."""
    added, own = (sum(p.numel() for p in part.parameters()) for part in (bypasses, backbone))
    if added > MOST_BYPASSED * own:
        raise ConfigError(
            f"bypass: expected a width that adds at most {MOST_BYPASSED:.1%} of the backbone's "
            f"parameters, got {added / own:.1%}"
        )


def _backbone(config: FinetuneConfig, modalities: tuple[str, ...]) -> RingMoE:
    """Only what these modalities need."""
    if config.checkpoint in PRESETS:
        return create_model(config.checkpoint, modalities=modalities, seed=config.seed)
    if Path(config.checkpoint).is_dir():
        known = read_config(config.checkpoint).modalities
        lacking = [modality for modality in modalities if modality not in known]
        if lacking:
            raise ConfigError(
                f"checkpoint: {config.checkpoint} has no {', '.join(lacking)}, only "
                f"{', '.join(known)}: choose another checkpoint or sensor"
            )
    return load_model(config.checkpoint, modalities)


def make_loader(
    examples: LabelledData,
    indices: np.ndarray,
    config: FinetuneConfig,
    ranks: Ranks | None = None,
) -> LabelledLoader:
    """Of training batches, which ranks share; without ranks, of examples to evaluate."""
    training = ranks is not None
    return LabelledLoader(
        examples,
        indices,
        batch_size=config.batch_size // config.accumulate if training else config.batch_size,
        crop_size=config.crop_size,
        seed=config.seed,
        augment=config.augment and training,
        turn=config.turn,
        shuffle=training,
        rank=ranks.rank if ranks else 0,
        world_size=ranks.world_size if ranks else 1,
        missing=config.missing if training else 0.0,
        how="resize" if config.resize else "cut",
    )
