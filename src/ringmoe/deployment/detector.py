"""A detector that is called with batches of tiles, and what it must give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from ringmoe.boxes import Objects
from ringmoe.deployment.strips import Batch
from ringmoe.errors import ShapeError, ValueRangeError
from ringmoe.observation import Observation


class ObjectPredictor(Protocol):
    """A detector over tiles."""

    def __call__(self, observations: Mapping[str, Observation], /) -> Sequence[Objects]:
        """What is in each tile: with scores, in pixels of the tile, all of one form."""


class Detector:
    """The model, from a batch in memory to what it finds there.

    Args:
        predictor: On `device` and in evaluation mode.
        device: Where it is.
        classes: How many there are; None for any.
        score_threshold: The least score of what it finds.
    """

    def __init__(
        self,
        predictor: ObjectPredictor,
        device: torch.device,
        classes: int | None,
        score_threshold: float,
    ) -> None:
        self.predictor, self.device = predictor, device
        self.classes, self.score_threshold = classes, score_threshold

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> tuple[Batch, list[Objects]]:
        """The batch, and what is in each of its tiles."""
        if not batch.tiles:
            return batch, []
        found = self.predictor({n: o.to(self.device) for n, o in batch.observations.items()})
        if not isinstance(found, Sequence) or len(found) != len(batch.tiles):
            what = f"{len(found)} lists" if isinstance(found, Sequence) else type(found).__name__
            raise ShapeError(
                f"the detector gives {what} of objects for {len(batch.tiles)} tiles, expected one "
                "for each tile"
            )
        return batch, [self._checked(objects) for objects in found]

    def _checked(self, objects: Objects) -> Objects:
        if objects.scores is None:
            raise ShapeError("the detector gives objects without scores: each needs one")
        if not (np.isfinite(objects.boxes).all() and np.isfinite(objects.scores).all()):
            raise ValueRangeError("the detector gives NaN or infinite boxes or scores")
        last = int(objects.classes.max(initial=-1))
        if self.classes is not None and last >= self.classes:
            raise ShapeError(
                f"the detector gives class {last}, expected 0 to {self.classes - 1}: name all "
                "classes"
            )
        return objects.take(objects.scores >= self.score_threshold)
