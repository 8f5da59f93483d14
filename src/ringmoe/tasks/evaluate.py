"""A task's metrics over labelled data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ringmoe.datasets import LabelledBatch
from ringmoe.tasks.model import TaskModel

Figures = dict[str, Any]


def evaluate(model: TaskModel, batches: Iterable[LabelledBatch]) -> Figures:
    """Score a model; under torchrun all processes do, each on its share of the examples.

    Args:
        model: In whatever mode; it is given back in that mode.
        batches: Every example once; of several processes those of this one.

    Returns:
        The task's metrics by name: numbers, the confusion matrix as rows of counts (truth by
        prediction). NaN becomes None.
    """
    return plain(seen_by_metrics(model, batches).compute())


@torch.inference_mode()
def seen_by_metrics(model: TaskModel, batches: Iterable[LabelledBatch]) -> Any:
    """The task's metrics, having seen a model's output on all batches; else as `evaluate`."""
    parameter = next(model.head.parameters())
    training = model.training
    model.eval()
    metrics = model.task.metrics().to(parameter.device)
    try:
        for batch in batches:
            here = batch.to(parameter.device, parameter.dtype)
            metrics.update(model(here.observations), here.labels)
    finally:
        model.train(training)
    return metrics


def plain(values: Mapping[str, Tensor]) -> Figures:
    """Metrics as JSON can hold them."""

    def of(value: Any) -> Any:
        if isinstance(value, list):
            return [of(item) for item in value]
        return None if value != value else value

    return {name: of(value.tolist()) for name, value in values.items()}


def scalars(figures: Figures) -> dict[str, float]:
    """Only those that are numbers."""
    return {name: value for name, value in figures.items() if isinstance(value, float)}
