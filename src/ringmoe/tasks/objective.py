"""A task's model as the engine trains it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ringmoe.datasets import LabelledBatch
from ringmoe.tasks.model import TaskModel
from ringmoe.training import Objective, Terms

_PLACE = re.compile(r"\.backbone\.stages\.(\d+)\.(?:blocks\.(\d+)|downsample)\.")


class Finetuning(Objective):
    """A task's loss, and how fast each layer learns it.

    Args:
        model: Only what has `requires_grad` learns.
        layer_decay: Learning rate of a block over that of the block after it (as in BEiT, Bao et
            al. 2021, arXiv 2106.08254); merging counts with the block after it, the stems come
            before the first.
        head_rate: Learning rate of the head, of fusion and of bypasses, over that of the schedule.
    """

    def __init__(
        self, model: TaskModel, *, layer_decay: float = 1.0, head_rate: float = 1.0
    ) -> None:
        super().__init__()
        self.model = model
        self.layer_decay, self.head_rate = layer_decay, head_rate

    def prepare(self, data: LabelledBatch) -> tuple[LabelledBatch, Terms]:
        """The batch on the model's device; images, and what the task divides by."""
        parameter = next(self.model.head.parameters())
        batch = data.to(parameter.device, parameter.dtype)
        counts = self.model.task.counts(batch.labels)
        images = next(iter(counts.values())).new_tensor(float(len(batch.names)))
        return batch, {"images": images, **counts}

    def forward(self, inputs: LabelledBatch) -> Terms:
        """The task's sums."""
        output = self.model(inputs.observations)
        return self.model.task.sums(output, inputs.labels)

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """The task's loss."""
        return self.model.task.loss(sums, counts)

    def provenance(self, data: LabelledBatch) -> list[dict[str, Any]]:
        """Name of every example, and whether its pixels are finite."""
        images = data.observations.values()
        finite = [image.images.isfinite().flatten(1).all(1).tolist() for image in images]
        return [
            {"name": name, "finite": all(flags)}
            for name, *flags in zip(data.names, *finite, strict=True)
        ]

    def rate(self, name: str) -> float:
        """The head's own; `layer_decay` for each layer between the head and the parameter."""
        if not name.startswith("model.backbone."):
            return self.head_rate
        depths = self.model.backbone.config.depths
        layers = sum(depths)
        place = _PLACE.search(name)
        below = 0 if place is None else 1 + sum(depths[: int(place[1])]) + int(place[2] or 0)
        return self.layer_decay ** (layers + 1 - below)
