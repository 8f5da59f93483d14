"""Fine-tuning: a backbone and a few labelled images to a task's model."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ringmoe.datasets import (
    DataConfig,
    LabelledData,
    LabelledLoader,
    check_training,
    fingerprint,
    open_data,
    split_data,
    write_split,
)
from ringmoe.datasets.cached import CachedExamples
from ringmoe.datasets.config import DATES, PARTS
from ringmoe.datasets.objects.annotations import write_problems
from ringmoe.datasets.split_file import Split
from ringmoe.errors import ConfigError
from ringmoe.files import replacing
from ringmoe.tasks.adaptation import merge_lora
from ringmoe.tasks.building import make_loader, make_model, make_task
from ringmoe.tasks.config import FinetuneConfig
from ringmoe.tasks.evaluate import Figures, evaluate, scalars, seen_by_metrics
from ringmoe.tasks.first_head import begin_with_probe
from ringmoe.tasks.model import TaskModel
from ringmoe.tasks.objective import Finetuning
from ringmoe.tasks.saving import save_task
from ringmoe.tasks.task import TASKS
from ringmoe.tasks.task import to_plain as options_of
from ringmoe.tasks.validation import SETTLED, Validation
from ringmoe.training import (
    RunFolder,
    RunResult,
    Trainer,
    begin_run,
    defaults_of,
    fit,
    join_ranks,
    to_plain,
)

logger = logging.getLogger(__name__)

SPLIT = "split.csv"  # in the run folder: which example was in which part
PROBLEMS = "problems.csv"  # what was wrong with labels of objects


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
    it), `split.csv`, `problems.csv` where something is wrong with labels of objects, and
    `validation.jsonl` with the task's metrics. Where there is a validation
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
            write_problems(run.path / PROBLEMS, getattr(examples, "problems", ()))
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
            if best is not None:
                whole = make_loader(cached, unseen, config)
                # Of several processes all would have to score, and this one alone has the weights.
                if _settle(model, whole) and ranks.world_size == 1:
                    best = _scored(model, whole, run, best["step"])
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


def _settle(model: TaskModel, loader: LabelledLoader) -> bool:
    """Choose what the task leaves open, with the best weights, on the validation part.

    Returns:
        Whether that is not what it was before.
    """
    before = model.task
    model.task = before.settled(lambda: seen_by_metrics(model, loader.epoch(before.cover)))
    given = options_of(before)
    chosen = {k: value for k, value in options_of(model.task).items() if value != given[k]}
    if chosen:
        found = ", ".join(f"{name} {value}" for name, value in chosen.items())
        logger.info("chosen on the validation part: %s", found)
    return bool(chosen)


def _scored(model: TaskModel, loader: LabelledLoader, run: RunFolder, step: int) -> Figures:
    """What the weights of a step score with what was chosen; kept beside the validation's lines."""
    figures = {"step": step, **evaluate(model, loader.epoch(model.task.cover))}
    with replacing(run.path / SETTLED) as partial:
        partial.write_text(json.dumps(figures) + "\n")
    return figures


def _save(model: TaskModel, config: FinetuneConfig, run: RunFolder, best: Figures | None) -> None:
    if config.adapt == "lora":
        merge_lora(model.backbone)
    save_task(model, run.model_path, tile_size=config.crop_size)
    if best is not None:
        found = ", ".join(f"{name} {value:.4g}" for name, value in scalars(best).items())
        logger.info("best on the validation part, at step %d: %s", best["step"], found)
