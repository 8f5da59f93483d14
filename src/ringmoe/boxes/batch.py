"""`ObjectBatch`: the objects of several images as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ringmoe.boxes.objects import Objects


@dataclass(frozen=True, eq=False)
class ObjectBatch:
    """Labels of several images, one object after the other.

    Attributes:
        boxes: `(M, 4)` xyxy or `(M, 5)` cxcywhr, float32, in pixels of the object's own image.
        classes: `(M,)` int64.
        ignored: `(M,)` bool: not to be learnt, neither as an object nor as background.
        images: `(M,)` int64, of each object its image's place in the batch.
        ids: `(M,)` int64, the same in all frames of a sequence, -1 where unknown.
        names: Of all images, those without an object too.
        draws: Of all images, one number each: what is drawn at random about an image follows from
            this and its name, so that every visit in training has its own and draws anew.
    """

    boxes: Tensor
    classes: Tensor
    ignored: Tensor
    images: Tensor
    ids: Tensor
    names: tuple[str, ...]
    draws: tuple[int, ...]

    @classmethod
    def stack(
        cls, objects: Sequence[Objects], names: Sequence[str], draws: Sequence[int] | None = None
    ) -> ObjectBatch:
        """Those of some images, at least one, all of one form; draws that are not given are 0."""
        counts = [len(one) for one in objects]
        images = torch.repeat_interleave(torch.arange(len(objects)), torch.tensor(counts))
        ignored = [np.zeros(len(o), bool) if o.ignored is None else o.ignored for o in objects]
        ids = [np.full(len(o), -1) if o.ids is None else o.ids for o in objects]
        return cls(
            boxes=torch.from_numpy(np.concatenate([o.boxes for o in objects])).float(),
            classes=torch.from_numpy(np.concatenate([o.classes for o in objects])).long(),
            ignored=torch.from_numpy(np.concatenate(ignored)),
            images=images,
            ids=torch.from_numpy(np.concatenate(ids)).long(),
            names=tuple(names),
            draws=tuple(draws or [0] * len(names)),
        )

    @property
    def rotated(self) -> bool:
        """Whether the boxes are cxcywhr."""
        return self.boxes.shape[1] == 5

    def __len__(self) -> int:
        return len(self.names)

    def of(self, image: int) -> Objects:
        """Those of one image."""
        mine = self.images == image

        def values(tensor: Tensor) -> np.ndarray:
            return tensor[mine].cpu().numpy()

        return Objects(
            boxes=values(self.boxes).astype(np.float64),
            classes=values(self.classes),
            ignored=values(self.ignored),
            ids=values(self.ids),
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> ObjectBatch:
        """The same on a device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=non_blocking)
            for name in ("boxes", "classes", "ignored", "images", "ids")
        }
        return replace(self, **moved)
