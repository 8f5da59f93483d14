"""A classifier's head that begins where a linear probe ends."""

from __future__ import annotations

import torch
from torch import Tensor

from ringmoe.datasets import LabelledLoader
from ringmoe.errors import ConfigError
from ringmoe.probing import choose_l2, fit_linear
from ringmoe.probing.result import standardise
from ringmoe.tasks.heads.linear import LinearHead
from ringmoe.tasks.model import TaskModel


@torch.no_grad()
def begin_with_probe(model: TaskModel, loader: LabelledLoader) -> None:
    """Set the head's linear layer to logistic regression on what it is given of these images.

    The backbone then need not follow a head that knows nothing, which would undo part of what
    pre-training taught it (Kumar et al., "Fine-tuning can distort pretrained features and
    underperform out-of-distribution", ICLR 2022). The weight of the L2 penalty is chosen on the
    last fifth of each class.

    Args:
        model: Its head is changed, nothing else.
        loader: Of the training images.

    Raises:
        ConfigError: The task is no classification.
        DatasetError: No class has two images.
    """
    if not isinstance(model.head, LinearHead):
        raise ConfigError(f"probe_first: expected false, task {model.task.name} has no linear head")
    x, y = _inputs(model, model.head, loader)
    (scaled,) = standardise(x)
    found = fit_linear(
        scaled,
        y,
        l2=choose_l2(x, y).setting,
        classes=model.task.outputs,
        max_iterations=300,
    )
    mean, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
    weight = found.weight / deviation.where(deviation > 0, 1)  # a constant feature has weight 0
    model.head.classify.weight.copy_(weight)
    model.head.classify.bias.copy_(found.bias - weight @ mean)


def _inputs(model: TaskModel, head: LinearHead, loader: LabelledLoader) -> tuple[Tensor, Tensor]:
    """What enters the linear layer `(N, F)` float32, and the classes `(N,)`."""
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    keep = head.classify.register_forward_pre_hook(
        lambda _, inputs: rows.append(inputs[0].float().cpu())
    )
    training = model.training
    model.eval()
    try:
        for batch in loader.epoch():
            assert isinstance(batch.labels, Tensor)
            labels.append(batch.labels)
            here = batch.to(head.classify.weight.device, head.classify.weight.dtype)
            model(here.observations)
    finally:
        keep.remove()
        model.train(training)
    return torch.cat(rows), torch.cat(labels)
