"""Masked image modelling: hide parts of an image, reconstruct what the sensor measured there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ringmoe.archive import Batch
from ringmoe.errors import ConfigError
from ringmoe.models import RingMoE, RouterLoad
from ringmoe.observation import Observation
from ringmoe.pretraining.decoders import LinearDecoder
from ringmoe.pretraining.masks import draw_masks, enlarge
from ringmoe.pretraining.targets import Pixels, Target, make_target
from ringmoe.training import Objective, Terms, stack_loads, total_balance


@dataclass(frozen=True)
class MaskedBatch:
    """Images of one modality with what is hidden and what is to be found there.

    Attributes:
        observation: The images.
        pixels: What the target's error is computed from.
        mask: `(B, H / patch, W / patch)` bool, tokens the model does not see.
        target: `(B, C, H, W)`.
        counted: `(B, H, W)` bool, pixels that are hidden and hold data.
    """

    observation: Observation
    pixels: Pixels
    mask: Tensor
    target: Tensor
    counted: Tensor


class MaskedModelling(Objective):
    """Backbone, mask token and one linear decoder a modality.

    The loss is the mean over modalities of each one's mean pixel error, over the pixels that are
    hidden and hold data, plus `balance_weight` times the balance loss of each router.

    Args:
        model: The backbone.
        targets: Modality to target name (`ringmoe.pretraining.targets.TARGETS`); a modality that
            is not named takes its default.
        mask_ratio: Share of an image's units that is hidden.
        mask_unit: Edge of a unit in pixels, a multiple of the model's patch.
        balance_weight: Of the balance loss.
        balance_scales: Modality to a factor on the balance losses of its specialized routers.
        seed: Of the masks, and of the decoders' first weights.

    Raises:
        ConfigError: A target is unknown, or the unit is no multiple of the patch.
    """

    def __init__(
        self,
        model: RingMoE,
        *,
        targets: Mapping[str, str] | None = None,
        mask_ratio: float = 0.6,
        mask_unit: int = 32,
        balance_weight: float = 0.01,
        balance_scales: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        patch = model.config.patch_size
        if mask_unit % patch:
            raise ConfigError(f"mask_unit: expected a multiple of {patch} pixels, got {mask_unit}")
        self.modalities = model.config.modalities
        names = targets or {}
        self.targets: dict[str, Target] = {m: make_target(m, names.get(m)) for m in self.modalities}
        self.mask_ratio, self.mask_unit, self.seed = mask_ratio, mask_unit, seed
        self.balance_weight, self.balance_scales = balance_weight, dict(balance_scales or {})
        generator = torch.Generator().manual_seed(seed)
        width, stride = model.config.widths[-1], model.config.stride
        self.model = model
        self.mask_token = nn.Parameter(
            torch.empty(model.config.embed_dim).normal_(std=0.02, generator=generator)
        )
        self.decoders = nn.ModuleDict(
            {
                m: LinearDecoder(width, len(self.targets[m].channels), stride, generator)
                for m in self.modalities
            }
        )

    def prepare(self, data: Sequence[Batch]) -> tuple[list[MaskedBatch], Terms]:
        """Masks, targets, and the number of images and of counted pixels."""
        batches = [self.mask_batch(batch) for batch in data]
        images = self.mask_token.new_zeros((), dtype=torch.float64)
        pixels = images.new_zeros(len(self.modalities))
        for batch in batches:
            images += batch.observation.batch_size
            pixels[self._number(batch)] += batch.counted.sum()
        return batches, {"images": images, "pixels": pixels}

    @torch.no_grad()
    def mask_batch(self, batch: Batch) -> MaskedBatch:
        """One modality's images with their mask and target, on the objective's device."""
        device, dtype = self.mask_token.device, self.mask_token.dtype
        observation = batch.observation.to(device, dtype)
        target = self.targets[observation.modality]
        units = draw_masks(
            batch.positions,
            stream=batch.stream,
            seed=self.seed,
            size=observation.size,
            unit=self.mask_unit,
            ratio=self.mask_ratio,
        ).to(device, non_blocking=True)
        valid = observation.valid
        if valid is None:
            valid = torch.ones_like(observation.images[:, :1], dtype=torch.bool)
        pixels = Pixels(
            observation.images,
            batch.scale.to(device, dtype),
            observation.channels,
            valid,
            self.mask_unit,
        )
        return MaskedBatch(
            observation,
            pixels,
            enlarge(units, self.mask_unit // self.model.config.patch_size),
            target.values(pixels),
            enlarge(units, self.mask_unit) & valid[:, 0],
        )

    def predict(self, inputs: Sequence[MaskedBatch]) -> tuple[list[Tensor], list[RouterLoad]]:
        """What the model makes of the hidden parts.

        Returns:
            Per input `(B, C, H, W)`, the target's channels, and the routers' loads.
        """
        encoding = self.model.encode(
            [batch.observation for batch in inputs],
            masks=[batch.mask for batch in inputs],
            mask_token=self.mask_token,
        )
        predictions = []
        for batch, pyramid in zip(inputs, encoding.pyramids, strict=True):
            observation = batch.observation
            rows = self.targets[observation.modality].rows(observation.channel_names)
            prediction = self.decoders[observation.modality](pyramid[-1], rows)
            predictions.append(prediction.to(batch.target.dtype))
        return predictions, encoding.loads

    def forward(self, inputs: Sequence[MaskedBatch]) -> Terms:
        """Errors summed over counted pixels by modality, and the routers' statistics."""
        errors = list(self.mask_token.new_zeros(len(self.modalities)).unbind())
        predictions, loads = self.predict(inputs) if inputs else ([], [])  # a rank may have none
        for batch, prediction in zip(inputs, predictions, strict=True):
            number = self._number(batch)
            error = self.targets[batch.observation.modality].error(
                prediction, batch.target, batch.pixels
            )
            errors[number] = errors[number] + (error * batch.counted).sum()
        images = sum(batch.observation.batch_size for batch in inputs)
        return {
            "images": self.mask_token.new_tensor(images),
            "error": torch.stack(errors),
            **stack_loads(loads, self.model.config, self.mask_token),
        }

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """Mean pixel error by modality, their mean, the routers' mean balance loss, the whole loss.

        A modality without a counted pixel in the step has no error: its term is NaN, which logs
        leave out, and it has no part in the mean.
        """
        pixels = counts["pixels"]
        errors = sums["error"] / pixels.clamp(min=1)
        reconstruction = errors.sum() / (pixels > 0).sum().clamp(min=1)
        terms = {"loss": reconstruction, "reconstruction": reconstruction}
        logged = torch.where(pixels > 0, errors.detach(), torch.nan)
        for modality, error in zip(self.modalities, logged.unbind(), strict=True):
            terms[f"reconstruction/{modality}"] = error
        found = total_balance(sums, self.model.config, self.balance_scales)
        if found is not None:
            # Not additive over micro-batches: each has its own, weighted by its images.
            share = sums["images"] / counts["images"].clamp(min=1)
            terms["balance"] = found[1] * share
            terms["loss"] = reconstruction + self.balance_weight * found[0] * share
        return terms

    def provenance(self, data: Sequence[Batch]) -> list[dict[str, Any]]:
        """The file and window of every image, and whether its pixels are finite."""
        return [batch.origin() for batch in data]

    def _number(self, batch: MaskedBatch) -> int:
        return self.modalities.index(batch.observation.modality)
