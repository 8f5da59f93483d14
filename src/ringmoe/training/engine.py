"""`Trainer`: an objective and its optimiser, one step over all ranks, its state on disk."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ringmoe.errors import NonFiniteLossError
from ringmoe.training.checkpoint import (
    load_checkpoint,
    load_weights,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from ringmoe.training.config import TrainingConfig
from ringmoe.training.distributed import Gradients, Ranks
from ringmoe.training.ema import MovingAverage
from ringmoe.training.objective import Objective, Terms
from ringmoe.training.optimizer import make_optimizer
from ringmoe.training.precision import choose_precision
from ringmoe.training.run_folder import RunFolder
from ringmoe.training.schedule import learning_rate, peak_learning_rate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepResult:
    """What one step did.

    Attributes:
        terms: The objective's terms over the global batch, `grad_norm` before clipping, and
            `learning_rate`.
        images: Images of the global batch.
    """

    terms: dict[str, float]
    images: int


class Trainer:
    """An objective, its optimiser and all that a step needs.

    Args:
        objective: Moved to the ranks' device; all ranks take the first one's weights.
        config: The engine's settings.
        ranks: Who shares the batch.
    """

    def __init__(
        self, objective: Objective, config: TrainingConfig, ranks: Ranks | None = None
    ) -> None:
        self.config = config
        self.ranks = ranks or Ranks()
        self.precision = choose_precision(config.precision, self.ranks.device)
        self.objective = objective.to(self.ranks.device, self.precision.weights)
        self.ranks.share_weights(self.objective)
        self.gradients = Gradients(self.objective)
        self.optimizer = make_optimizer(
            self.objective, weight_decay=config.weight_decay, rate=self.objective.rate
        )
        self.average = MovingAverage(self.objective, config.ema) if config.ema else None
        self.steps_taken = 0

    def step(self, micro_batches: Sequence[Any]) -> StepResult:
        """One optimiser step on one global batch.

        Args:
            micro_batches: This rank's part of the batch, in `accumulate` pieces.

        Raises:
            NonFiniteLossError: The loss or the gradient is not finite. No weight has moved.
        """
        self.objective.train()
        self.gradients.clear()
        prepared = [self.objective.prepare(data) for data in micro_batches]
        counts = self.ranks.sum(_add([own for _, own in prepared]))
        terms = _add([self._backward(inputs, counts) for inputs, _ in prepared])
        self.gradients.sum(self.ranks)
        terms["grad_norm"] = self.gradients.norm()
        images, *numbers = torch.stack(  # the one wait for the device
            [counts["images"], *(term.double() for term in terms.values())]
        ).tolist()
        result = dict(zip(terms, numbers, strict=True))
        bad = [name for name in ("loss", "grad_norm") if not math.isfinite(result[name])]
        if bad:
            raise NonFiniteLossError(
                f"step {self.steps_taken}: "
                + ", ".join(f"{name} is {result[name]}" for name in bad)
                + "; lower the learning rate or look at the tiles that the run folder names"
            )
        self.gradients.clip(result["grad_norm"], self.config.clip_norm)
        result["learning_rate"] = self._set_learning_rate()
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        self.steps_taken += 1
        return StepResult(result, int(images))

    def _backward(self, inputs: Any, counts: Terms) -> Terms:
        """Add a micro-batch's gradient, with the loss formed from sums over all ranks.

        The chain rule in two parts: d loss / d sums is the same on every rank, and
        d sums / d weights is each rank's own; their products add up over the ranks.
        """
        with self.precision.context():
            own = self.objective(inputs)
        everyone = self.ranks.sum(own)
        live = {key: everyone[key] for key, value in own.items() if value.requires_grad}
        for value in live.values():
            value.requires_grad_()
        terms = self.objective.loss(everyone, counts)
        if live and terms["loss"].requires_grad:  # not where this rank, or any, has no data
            slopes = torch.autograd.grad(
                terms["loss"], list(live.values()), allow_unused=True, materialize_grads=True
            )
            torch.autograd.backward(
                [own[key] for key in live],
                [slope.to(own[key].dtype) for key, slope in zip(live, slopes, strict=True)],
            )
        return {key: value.detach() for key, value in terms.items()}

    def _set_learning_rate(self) -> float:
        config = self.config
        rate = learning_rate(
            self.steps_taken,
            peak=peak_learning_rate(config.learning_rate, config.batch_size),
            warmup_steps=config.warmup_steps,
            steps=config.steps,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        return rate

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The objective with the moving average as its weights, if one is kept."""
        if self.average is None:
            yield
            return
        self.average.swap()
        try:
            yield
        finally:
            self.average.swap()

    def save(self, folder: Path) -> Path:
        """Write a checkpoint of the state after `steps_taken` steps into a run's `checkpoints`."""
        groups: dict[str, dict[str, Tensor]] = {
            "weights": self.objective.state_dict(),
            "optimizer": optimizer_tensors(self.objective, self.optimizer),
        }
        if self.average is not None:
            groups["average"] = self.average.weights
        return save_checkpoint(folder, self.steps_taken, groups, keep=self.config.keep_checkpoints)

    def resume(self, run: RunFolder) -> None:
        """Go on from a run's newest checkpoint; a run without one begins.

        Raises:
            CheckpointError: It is damaged, or is not of this model.
        """
        checkpoint = run.latest_checkpoint()
        if checkpoint is not None:
            logger.info("resuming from %s", checkpoint)
            self.load(checkpoint)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointError: It is damaged, or is not of this model.
        """
        stems = ("weights", "optimizer", *(["average"] if self.average else []))
        state, groups = load_checkpoint(path, stems, self.ranks.device)
        load_weights(self.objective, groups["weights"], path)
        restore_optimizer(self.objective, self.optimizer, groups["optimizer"])
        if self.average is not None:
            self.average.restore(groups["average"])
        self.steps_taken = int(state["step"])


def _add(many: Sequence[Terms]) -> Terms:
    first, *others = many
    return {key: sum((terms[key] for terms in others), start=first[key]) for key in first}
