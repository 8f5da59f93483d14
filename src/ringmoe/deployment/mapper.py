"""A model that is called with batches of tiles, and the scores that it must give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ringmoe.deployment.strips import Batch
from ringmoe.errors import ShapeError
from ringmoe.observation import Observation


class Predictor(Protocol):
    """A model over tiles."""

    def __call__(self, observations: Mapping[str, Observation], /) -> Tensor:
        """Scores of classes `(B, K, h, w)`, or values `(B, 1, h, w)`, floating, of each pixel."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A batch and its scores, which may still be on their way from the device."""

    batch: Batch
    scores: Tensor
    arrived: torch.cuda.Event | None = None

    def wait(self) -> np.ndarray:
        """The scores `(tiles, channels, tile, tile)`, once they are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.scores.numpy()


@dataclass(frozen=True)
class Mapper:
    """The model, from a batch in memory to its scores there.

    Attributes:
        predictor: On `device` and in evaluation mode.
        device: Where it is.
        channels: How many scores, or values, a pixel has.
        tile_size: Pixels of a tile's side.
    """

    predictor: Predictor
    device: torch.device
    channels: int
    tile_size: int

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Scored:
        """The scores of a batch.

        Raises:
            ShapeError: The model gives other numbers of classes or pixels than it should.
        """
        expected = (len(batch.tiles), self.channels, self.tile_size, self.tile_size)
        if not batch.tiles:
            return Scored(batch, torch.empty(expected))
        scores = self.predictor({n: o.to(self.device) for n, o in batch.observations.items()})
        if tuple(scores.shape) != expected:
            raise ShapeError(
                f"the model gives {tuple(scores.shape)} for {len(batch.tiles)} tiles, expected "
                f"{expected}: (tiles, classes or 1, height, width)"
            )
        found = scores.detach().to("cpu", torch.float32, non_blocking=True)
        if not scores.is_cuda:
            return Scored(batch, found)
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(scores.device))
        return Scored(batch, found, arrived)
