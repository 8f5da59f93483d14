"""Features of labelled real images: of a network, of statistics, of the pixels themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ringmoe import datasets, probing
from ringmoe.datasets import LabelledImages, LabelledTiles
from ringmoe.observation import Observation
from ringmoe.sensors import calibrate, get_sensor

BATCH = 50  # images of a forward pass
PIXEL_STEP = {"polsf": 8, "land-use": 2}  # of every so many rows and columns one pixel is probed
POLSF_SEED = 1000  # of the single looks that are probed: none that pre-training has seen
STATISTICS_RANGE = (-3.0, 3.0)  # of histograms of normalised values


@lru_cache(maxsize=4)
def benchmark(name: str, root: Path) -> datasets.Benchmark[Any]:
    """One of "aid", "mstar", "polsf" and "land-use", under the folder of real imagery."""
    if name == "polsf":
        return datasets.polsf(root / "airsar_sf", seed=POLSF_SEED)
    if name == "land-use":
        return datasets.land_use(root / "sentinel2_patch")
    return {"aid": datasets.aid, "mstar": datasets.mstar}[name](root / name)


@lru_cache(maxsize=4)  # the training and test parts of AID and MSTAR: 0.25 GB
def _pixels(images: LabelledImages) -> np.ndarray:
    return images.read()[0]


class FeatureSource(Protocol):
    """What turns images into features."""

    def pooled(self, observations: Iterable[Observation]) -> Tensor:
        """One row an image."""

    def dense(self, observation: Observation) -> Tensor:
        """`(B, F, H, W)`."""


@dataclass(frozen=True)
class Network:
    """Features of a frozen backbone."""

    model: nn.Module

    def pooled(self, observations: Iterable[Observation]) -> Tensor:
        """Mean and deviation over all stages' maps."""
        return probing.pooled_features(self.model, observations)

    def dense(self, observation: Observation) -> Tensor:
        """All stages' maps, upsampled."""
        return probing.dense_features(self.model, observation)


class Statistics:
    """Colour or grey statistics of an image, or of the 9 x 9 px around a pixel."""

    def pooled(self, observations: Iterable[Observation]) -> Tensor:
        """Moments, percentiles and histograms of what would enter a network."""
        return torch.cat(
            [probing.image_statistics(o.images, *STATISTICS_RANGE) for o in observations]
        )

    def dense(self, observation: Observation) -> Tensor:
        """Values, and their mean and deviation around; of complex data, of log power."""
        images = observation.images
        if observation.modality == "sar_complex":  # logarithm of each polarisation's power
            images = (images.unflatten(1, (-1, 2)).square().sum(2) + 1e-3).log()
        return probing.neighbourhood_statistics(images)


class Pixels:
    """The pixels of SAR amplitude images, whose cosine does not see an image's gain."""

    def pooled(self, observations: Iterable[Observation]) -> Tensor:
        """All amplitudes of an image."""
        return torch.cat([self.dense(o).flatten(1) for o in observations])

    def dense(self, observation: Observation) -> Tensor:
        """The logarithm and the normalisation taken back."""
        (channel,) = observation.channels
        assert not isinstance(channel, str)
        assert channel.log_floor is not None
        return (observation.images * channel.std + channel.mean).exp() - channel.log_floor


@dataclass(frozen=True)
class Samples:
    """What a probe takes: features `(N, F)`, labels `(N,)`, the validation part `(N,)` bool."""

    x: Tensor
    y: Tensor
    validation: Tensor


def image_samples(
    source: FeatureSource, images: LabelledImages, validation: np.ndarray, fit: dict[str, Any]
) -> Samples:
    """One sample an image; `fit` says how they get the size of a network's input."""
    sensor = get_sensor(images.sensor)
    pixels = _pixels(images)

    def observations() -> Iterator[Observation]:
        for first in range(0, len(pixels), BATCH):
            values = calibrate(pixels[first : first + BATCH], sensor.encoding())
            yield probing.fit_to(probing.observe(values, sensor, channels=images.bands), **fit)

    return Samples(
        source.pooled(observations()),
        torch.from_numpy(images.labels),
        torch.from_numpy(validation),
    )


def pixel_samples(
    source: FeatureSource, tiles: LabelledTiles, validation: np.ndarray, step: int
) -> Samples:
    """One sample for each labelled pixel of a grid of every `step` rows and columns."""
    sensor = get_sensor(tiles.sensor)
    grid = (..., slice(step // 2, None, step), slice(step // 2, None, step))
    features = [
        source.dense(probing.observe(tiles.values[i : i + 1], sensor, channels=tiles.channels))[
            grid
        ]
        for i in range(len(tiles))
    ]
    x = torch.cat(features).movedim(1, -1).flatten(0, 2)
    y = torch.from_numpy(np.ascontiguousarray(tiles.labels[grid]))
    known = y.flatten() != datasets.tiles.IGNORED
    held = torch.from_numpy(validation)[:, None, None].expand_as(y)
    return Samples(x[known], y.flatten()[known], held.flatten()[known])
