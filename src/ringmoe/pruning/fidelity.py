"""How much of what a model says another one still says, on the same tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ringmoe.archive import Archive, TileLoader
from ringmoe.errors import StatisticsError
from ringmoe.models import RingMoE
from ringmoe.observation import Observation
from ringmoe.probing import pooled_features
from ringmoe.pruning.calibrate import CALIBRATION_SEED

TILES = 64  # of each modality


@dataclass(frozen=True)
class Fidelity:
    """Shares of variance explained: 1 is the same model, 0 one that knows each mean alone.

    Below 0 it is further from the model than the means are.

    Attributes:
        features: Of the pooled features (`ringmoe.probing.pooled_features`) over images.
        last_map: Of the last map over tokens.
    """

    features: float
    last_map: float


class Reference:
    """A model's answers to some images, to hold others against.

    Of a group of channels, the error is the squared difference over the variance about each
    channel's mean, sums over all channels of the group: as in distillation, one scale for all
    keeps the model's own sense of which of them matter. Groups are the last map, and of the
    features those of each stage; the features' fidelity is the mean over stages, and both are
    means over modalities. A token counts by the share of its pixels that hold data.

    Args:
        model: The model to compare with.
        observations: Images of its modalities, at least two of each, that are not all alike.

    Raises:
        StatisticsError: There are no images, or the model says the same of all.
    """

    def __init__(self, model: RingMoE, observations: Sequence[Observation]) -> None:
        self._images: dict[str, list[Observation]] = {}
        for observation in observations:
            self._images.setdefault(observation.modality, []).append(observation)
        if not self._images:
            raise StatisticsError("fidelity needs images to compare models on: there are none")
        stride, self._widths = model.config.stride, model.config.widths
        self._due = {m: _answers(model, images) for m, images in self._images.items()}
        self._weights = {
            m: torch.cat([_data_shares(image, stride) for image in images])
            for m, images in self._images.items()
        }

    def fidelity(self, model: RingMoE) -> Fidelity:
        """Of a model with the same modalities and widths."""
        features, maps = [], []
        for modality, images in self._images.items():
            found, due = _answers(model, images), self._due[modality]
            widths = [2 * width for width in self._widths]  # means, then deviations
            stages = zip(found[0].split(widths, 1), due[0].split(widths, 1), strict=True)
            features += [explained(mine, its) for mine, its in stages]
            maps.append(explained(found[1], due[1], self._weights[modality]))
        return Fidelity(sum(features) / len(features), sum(maps) / len(maps))


def explained(found: Tensor, due: Tensor, weights: Tensor | None = None) -> float:
    """Share of the variance of `due` over rows that `found` explains.

    Args:
        found: `(N, C)`.
        due: `(N, C)`.
        weights: `(N,)` of the rows; None for 1.

    Raises:
        StatisticsError: `due` does not vary.
    """
    found, due = found.double(), due.double()
    rows = due.new_ones(len(due), 1) if weights is None else weights.double()[:, None]
    mean = (rows * due).sum(0) / rows.sum()
    variance = (rows * (due - mean).square()).sum()
    if not variance > 0:  # NaN too
        raise StatisticsError(
            "fidelity is measured on images that differ: the model says the same of all, or "
            "nothing finite; take an archive with at least two different tiles of each modality"
        )
    return 1 - float((rows * (found - due).square()).sum() / variance)


def calibration_tiles(
    archive: Archive | str | Path, modalities: Sequence[str], size: int, images: int = TILES
) -> list[Observation]:
    """Tiles to measure fidelity on: the same at every call, held out where the archive has such.

    Args:
        archive: Where they are.
        modalities: Which to take; those that the archive lacks are left out.
        size: Height and width in pixels, cut at the centre.
        images: Of each modality, rounded up to whole batches.

    Raises:
        ArchiveError: There is no archive.
        StatisticsError: It has none of the modalities.
    """
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    streams = archive.streams.values()
    held_out = {s.modality for s in streams if len(s.indices("heldout")) > 1}
    trained = {s.modality for s in streams if len(s.indices("train"))}
    found: list[Observation] = []
    for modality in modalities:
        if modality not in held_out | trained:
            continue
        batch = min(images, 16)
        loader = TileLoader(
            archive,
            batch_size=batch,
            crop_size=size,
            seed=CALIBRATION_SEED,
            modalities=[modality],
            split="heldout" if modality in held_out else "train",
            crop="centre",
        )
        steps = -(-images // batch)
        found += [part.observation for data in loader.iterate(0, steps) for part in data]
    if not found:
        raise StatisticsError(
            f"{archive.path} has no tiles of {', '.join(modalities)}: take another archive"
        )
    return found


class _LastMaps(nn.Module):
    """Passes a model's maps on and keeps the last one of each image."""

    def __init__(self, model: RingMoE) -> None:
        super().__init__()
        self.model = model
        self.tokens: list[Tensor] = []

    def forward(self, observations: Sequence[Observation]) -> list[tuple[Tensor, ...]]:
        like = next(self.model.parameters())
        pyramids = self.model([o.to(like.device, like.dtype) for o in observations])
        for pyramid in pyramids:
            self.tokens.append(pyramid[-1].permute(0, 2, 3, 1).flatten(0, 2).float().cpu())
        return pyramids


def _answers(model: RingMoE, images: Sequence[Observation]) -> tuple[Tensor, Tensor]:
    """Pooled features `(N, F)` and the last map's tokens `(T, C)` of images of one modality."""
    recorded = _LastMaps(model)
    features = pooled_features(recorded, images)
    return features, torch.cat(recorded.tokens)


def _data_shares(observation: Observation, stride: int) -> Tensor:
    """`(T,)` of the last map's tokens: what share of the pixels holds data."""
    if observation.valid is None:
        height, width = observation.size
        return torch.ones(observation.batch_size * (height // stride) * (width // stride))
    return avg_pool2d(observation.valid.float(), stride).flatten()
