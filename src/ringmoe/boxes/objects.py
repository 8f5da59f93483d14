"""`Objects`: what is in one image, as labels say or as a detector has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ringmoe.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Objects:
    """Boxes of one image with their classes.

    Attributes:
        boxes: `(N, 4)` xyxy or `(N, 5)` canonical cxcywhr, float64, in pixels (`ringmoe.boxes`).
        classes: `(N,)` int64 class indices.
        scores: `(N,)` float64 in [0, 1] of detections; None for labels.
        ignored: `(N,)` bool: need not be found, and is no mistake if found: DOTA's "difficult",
            COCO's "crowd", objects mostly cut off. None for none.
        ids: `(N,)` int64, the same for one object in all frames of a sequence; None where unknown.

    Raises:
        ShapeError: The arrays do not agree.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray | None = None
    ignored: np.ndarray | None = None
    ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] not in (4, 5):
            raise ShapeError(f"Objects: boxes are (N, 4) or (N, 5), got {self.boxes.shape}")
        for name in ("classes", "scores", "ignored", "ids"):
            value = getattr(self, name)
            if value is not None and value.shape != (len(self.boxes),):
                raise ShapeError(
                    f"Objects: {name} of {len(self.boxes)} boxes, got shape {value.shape}"
                )

    @classmethod
    def none(cls, rotated: bool, *, scored: bool = False) -> Objects:
        """No object."""
        scores = np.zeros(0) if scored else None
        return cls(np.zeros((0, 5 if rotated else 4)), np.zeros(0, np.int64), scores)

    @classmethod
    def join(cls, parts: Sequence[Objects]) -> Objects:
        """Those of several parts, at least one, of one form and with the same fields."""
        joined: dict[str, Any] = {}
        for field in fields(cls):
            values = [getattr(part, field.name) for part in parts]
            joined[field.name] = None if values[0] is None else np.concatenate(values)
        return cls(**joined)

    @property
    def rotated(self) -> bool:
        """Whether the boxes are cxcywhr."""
        return self.boxes.shape[1] == 5

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, which: np.ndarray) -> Objects:
        """Those that an index or a mask selects."""
        taken: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            taken[field.name] = None if value is None else value[which]
        return Objects(**taken)
