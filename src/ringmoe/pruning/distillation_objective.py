"""What distillation minimises: how little of the unpruned model's maps a student explains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ringmoe.archive import Batch
from ringmoe.errors import ConfigError
from ringmoe.models import RingMoE
from ringmoe.observation import Observation
from ringmoe.training import Objective, Terms, stack_loads, total_balance

Maps = tuple[Tensor, ...]


class Teacher:
    """The unpruned model, frozen.

    No module, so that neither checkpoints nor the optimiser nor a moving average hold it.

    Args:
        model: On the device and of the type that the student has.
        context: What its forward pass runs in, such as `Precision.context`.
    """

    def __init__(
        self,
        model: RingMoE,
        context: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.model, self.context = model.eval(), context

    @torch.no_grad()
    def __call__(self, observations: Sequence[Observation]) -> list[Maps]:
        """Its maps of images, as `RingMoE.forward` gives them."""
        with self.context():
            return self.model(observations)


@dataclass(frozen=True)
class Lesson:
    """Images of one modality with the maps to be learned.

    Attributes:
        observation: The images.
        targets: The teacher's map of each stage, `(B, C_i, H_i, W_i)`.
        weights: Of each stage `(B, 1, H_i, W_i)`: what share of a token's pixels hold data.
    """

    observation: Observation
    targets: Maps
    weights: Maps


class Distillation(Objective):
    """A student whose maps shall be the teacher's.

    The error of a stage is the squared difference of the maps over the variance of the teacher's
    (about each channel's mean, channels added): the share of what the teacher says that the
    student leaves unexplained, 1 for a student that knows each channel's mean alone. It has no
    unit, so that stages of 32 and of 256 channels, and modalities, whose maps differ tenfold in
    scale, weigh alike; and one scale for all channels of a stage keeps the teacher's own sense of
    which of them matter. Both sums are over the whole step's tokens, each weighted by the share of
    its pixels that hold data. The loss is the mean over stages, then over modalities, plus
    `balance_weight` times the balance loss of each router.

    Args:
        student: Trained.
        teacher: Never changed. All stages have the student's widths and strides.
        balance_weight: Of the balance loss.

    Raises:
        ConfigError: The teacher lacks a modality of the student's, or its maps have other shapes.
    """

    def __init__(self, student: RingMoE, teacher: Teacher, *, balance_weight: float = 0.0) -> None:
        super().__init__()
        config, other = student.config, teacher.model.config
        lacking = [m for m in config.modalities if m not in other.modalities]
        if lacking:
            raise ConfigError(
                f"the teacher has no {', '.join(lacking)}, only {', '.join(other.modalities)}: "
                "it must be the model that the student was made from"
            )
        if (config.widths, config.strides) != (other.widths, other.strides):
            raise ConfigError(
                f"the student's maps have widths {config.widths} at strides {config.strides}, the "
                f"teacher's {other.widths} at {other.strides}: they must be the same"
            )
        self.modalities = config.modalities
        self.model, self.teacher = student, teacher
        self.balance_weight = balance_weight

    def prepare(self, data: Sequence[Batch]) -> tuple[list[Lesson], Terms]:
        """The teacher's maps, and their statistics over the tokens with data.

        Counts by modality and stage: `tokens` and `square`, the sum of the maps' squares; by
        modality and channel of all stages: `total`, the sum of the maps.
        """
        lessons = self._lessons(data)
        like = self._like().double()
        widths = self.model.config.widths
        tokens = like.new_zeros(len(self.modalities), len(widths))
        square, total = torch.zeros_like(tokens), like.new_zeros(len(tokens), sum(widths))
        for lesson in lessons:
            row = self._row(lesson)
            for stage, (target, weight) in enumerate(
                zip(lesson.targets, lesson.weights, strict=True)
            ):
                known = target.double() * weight
                tokens[row, stage] += weight.sum()
                square[row, stage] += (known * target).sum()
                total[row].split(widths)[stage].add_(known.sum((0, 2, 3)))
        images = like.new_tensor(sum(len(batch) for batch in data))
        return lessons, {"images": images, "tokens": tokens, "square": square, "total": total}

    def forward(self, inputs: Sequence[Lesson]) -> Terms:
        """Squared errors summed by modality and stage, and the routers' statistics."""
        like = self._like()
        nothing = like.new_zeros(len(self.model.config.widths))
        errors = list(nothing.expand(len(self.modalities), -1).unbind())
        observations = [lesson.observation for lesson in inputs]
        maps, loads = [], []
        if inputs and self.balance_weight:
            encoding = self.model.encode(observations)
            maps, loads = encoding.pyramids, encoding.loads
        elif inputs:  # a rank may have none
            maps = self.model(observations)
        for lesson, found in zip(inputs, maps, strict=True):
            row = self._row(lesson)
            stages = zip(found, lesson.targets, lesson.weights, strict=True)
            error = [((a.to(b.dtype) - b).square() * weight).sum() for a, b, weight in stages]
            errors[row] = errors[row] + torch.stack(error)
        sums = {
            "images": like.new_tensor(sum(o.batch_size for o in observations)),
            "error": torch.stack(errors),
        }
        if self.balance_weight:
            sums |= stack_loads(loads, self.model.config, like)
        return sums

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """Unexplained share by modality, their mean, the routers' mean balance loss, the whole.

        A modality without a token in the step is NaN, which logs leave out, and has no part in the
        mean.
        """
        variance = self.variance(counts)
        shares = (sums["error"] / torch.where(variance > 0, variance, torch.inf)).mean(1)
        seen = counts["tokens"].sum(1) > 0
        unexplained = shares.sum() / seen.sum().clamp(min=1)
        terms = {"loss": unexplained, "unexplained": unexplained}
        logged = torch.where(seen, shares.detach(), torch.nan)
        for modality, share in zip(self.modalities, logged.unbind(), strict=True):
            terms[f"unexplained/{modality}"] = share
        found = total_balance(sums, self.model.config)
        if found is not None:
            # Not additive over micro-batches: each has its own, weighted by its images.
            share = sums["images"] / counts["images"].clamp(min=1)
            terms["balance"] = found[1] * share
            terms["loss"] = unexplained + self.balance_weight * found[0] * share
        return terms

    def variance(self, counts: Mapping[str, Tensor]) -> Tensor:
        """Squared deviations of the teacher's maps from each channel's mean, summed.

        Args:
            counts: As `prepare` gives them, or sums of such.

        Returns:
            `(modalities, stages)`.
        """
        totals = counts["total"].split(self.model.config.widths, dim=1)
        squared = torch.stack([total.square().sum(1) for total in totals], dim=1)
        return (counts["square"] - squared / counts["tokens"].clamp(min=1)).clamp(min=0)

    def provenance(self, data: Sequence[Batch]) -> list[dict[str, Any]]:
        """The file and window of every image, and whether its pixels are finite."""
        return [batch.origin() for batch in data]

    def _lessons(self, data: Sequence[Batch]) -> list[Lesson]:
        like = self._like()
        observations = [batch.observation.to(like.device, like.dtype) for batch in data]
        maps = self.teacher(observations) if observations else []
        strides = self.model.config.strides
        lessons = []
        for observation, found in zip(observations, maps, strict=True):
            valid = observation.valid
            known = torch.ones_like(observation.images[:, :1]) if valid is None else valid.to(like)
            targets = tuple(target.to(like.dtype) for target in found)
            weights = tuple(avg_pool2d(known, stride) for stride in strides)
            lessons.append(Lesson(observation, targets, weights))
        return lessons

    def _like(self) -> Tensor:
        """Gives device and dtype."""
        return next(self.model.parameters()).detach()

    def _row(self, lesson: Lesson) -> int:
        return self.modalities.index(lesson.observation.modality)
