"""Fine-tuning: a backbone and a few labelled images to a task's model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ringmoe.datasets import (
    IGNORED,
    DataConfig,
    LabelledData,
    LabelledLoader,
    check_training,
    classes_of,
    fingerprint,
    label_of,
    open_data,
    split_data,
    write_split,
)
from ringmoe.datasets.cached import CachedExamples
from ringmoe.datasets.config import DATES, PARTS
from ringmoe.datasets.split_file import Split
from ringmoe.errors import ConfigError, DatasetError
from ringmoe.models import PRESETS, RingMoE, create_model, load_model, read_config
from ringmoe.tasks.adaptation import add_lora, merge_lora
from ringmoe.tasks.config import FinetuneConfig
from ringmoe.tasks.evaluate import Figures, scalars
from ringmoe.tasks.first_head import begin_with_probe
from ringmoe.tasks.model import TaskModel, TaskSource
from ringmoe.tasks.objective import Finetuning
from ringmoe.tasks.saving import save_task
from ringmoe.tasks.task import TASKS, Task, task_from
from ringmoe.tasks.validation import Validation
from ringmoe.training import (
    Ranks,
    RunFolder,
    RunResult,
    Trainer,
    begin_run,
    choose_precision,
    defaults_of,
    fit,
    join_ranks,
    to_plain,
)

logger = logging.getLogger(__name__)

MOST_BYPASSED = 0.075  # of the backbone's parameters
SPLIT = "split.csv"  # in the run folder: which example was in which part


def finetune(
    task: str,
    config: FinetuneConfig,
    data: DataConfig | LabelledData,
    *,
    split: Mapping[str, Sequence[int] | np.ndarray] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> RunResult:
    """Train a task's head, and what `config.adapt` says of the backbone, on labelled images.

    The run's folder then holds `model/` (`load_task` reads it, and `load_model` the backbone in
    it), `split.csv`, and `validation.jsonl` with the task's metrics. Where there is a validation
    part, the model is the one that was best on it. Under torchrun every process calls this.

    Args:
        task: A name of `TASKS`.
        config: Of the run.
        data: Where the labelled images are; or the images, such as those of `from_torchgeo`.
        split: Of images that are given as such: "train", and perhaps "validation" and "test", to
            indices.
        resume: Go on with the run in `config.out`, from its newest checkpoint.
        progress: Whether to show a progress bar.

    Raises:
        ConfigError: A setting is not allowed, the backbone lacks a modality, or the run in
            `config.out` is another one.
        DatasetError: The labelled images are not as described.
        SceneReadError: An image is damaged.
        ValueRangeError: An image's values cannot be in the unit that is declared.
        CheckpointError: The backbone cannot be read.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    config.check()
    if task not in TASKS:
        raise ConfigError(f"task: expected one of {', '.join(TASKS)}, got {task!r}")
    with join_ranks(config.device) as ranks:
        examples, parts = _open(task, data, split)
        made = make_task(task, config, examples, parts["train"])
        made.check_data(examples)
        model = make_model(made, config, examples, ranks)
        cached = CachedExamples(examples, config.cache)
        if config.probe_first and ranks.is_main and not RunFolder(config.out).latest_checkpoint():
            logger.info("fitting the head to the backbone's features")
            begin_with_probe(model, make_loader(cached, parts["train"], config))
        described = to_plain(data) if isinstance(data, DataConfig) else None
        settings = {"task": task, **to_plain(config), "data": described}
        loader = make_loader(cached, parts["train"], config, ranks)
        loader.batch(0)  # values in another unit are found before there is a folder of the run
        unseen = parts["validation"]
        share = unseen[ranks.rank :: ranks.world_size]
        validation_loader = make_loader(cached, share, config) if len(unseen) else None
        known = fingerprint(examples, parts)
        defaults = defaults_of(FinetuneConfig) | {"data": defaults_of(DataConfig)}
        run = begin_run(
            config.out,
            settings,
            known,
            ranks,
            resume=resume,
            defaults=defaults,
            contents=fingerprint(examples, parts, sizes=False),
        )
        if ranks.is_main:
            write_split(run.path / SPLIT, examples, parts)
        objective = Finetuning(model, layer_decay=config.layer_decay, head_rate=config.head_rate)
        trainer = Trainer(objective, config, ranks)
        trainer.resume(run)
        validation = Validation(
            trainer,
            validation_loader,
            run,
            every=config.evaluate_every,
            patience=config.patience,
        )
        validation.catch_up()
        if not validation.ended:
            fit(trainer, loader, run, progress=progress, after_step=validation)
        best = validation.finish()
        if ranks.is_main:
            _save(model, config, run, best)
        ranks.wait()
    return run.result


def _open(
    task: str, data: DataConfig | LabelledData, split: Mapping[str, Any] | None
) -> tuple[LabelledData, Split]:
    """Examples and their parts."""
    if isinstance(data, DataConfig):
        data.check()
        if TASKS[task].dates == len(DATES) and set(data.sensors) != set(DATES):
            raise ConfigError(
                f"data.sensors: {task} compares two dates: expected one sensor for each, e.g. "
                f"{{before: {data.sensor or 'rgb-dn8'}, after: {data.sensor or 'rgb-dn8'}}}"
            )
        examples: LabelledData = open_data(data, TASKS[task].label_kind)
        return examples, split_data(examples, data)
    if split is None:
        raise ConfigError("split: expected indices of the train part, got none")
    if data.kind != TASKS[task].label_kind:
        raise ConfigError(
            f"task {task}: expected labels of kind {TASKS[task].label_kind}, got {data.kind}"
        )
    parts = {part: np.asarray(split.get(part, ()), np.int64) for part in PARTS}
    check_training(data, parts["train"])
    return data, parts


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


def _save(model: TaskModel, config: FinetuneConfig, run: RunFolder, best: Figures | None) -> None:
    if config.adapt == "lora":
        merge_lora(model.backbone)
    save_task(model, run.model_path, tile_size=config.crop_size)
    if best is not None:
        found = ", ".join(f"{name} {value:.4g}" for name, value in scalars(best).items())
        logger.info("best on the validation part, at step %d: %s", best["step"], found)
