"""`Track`: one object over time, as lines on a map need it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringmoe.boxes import Objects, centres


@dataclass(frozen=True, eq=False)
class Track:
    """What one object was in the frames that it was found in.

    Attributes:
        id: As in `Objects.ids`.
        frames: `(K,)` int64, ascending: places of the frames in the list of all.
        boxes: `(K, 4)` xyxy or `(K, 5)` cxcywhr, in pixels of each frame.
        classes: `(K,)` int64.
        scores: `(K,)` float64.
    """

    id: int
    frames: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    @property
    def class_index(self) -> int:
        """The class that most of the scores speak for."""
        return int(np.bincount(self.classes, weights=self.scores).argmax())

    @property
    def centres(self) -> np.ndarray:
        """`(K, 2)` x and y, in pixels of each frame."""
        return centres(self.boxes)

    def take(self, which: np.ndarray) -> Track:
        """The same with some of its detections."""
        arrays = (self.frames, self.boxes, self.classes, self.scores)
        return Track(self.id, *(array[which] for array in arrays))


def tracks_of(frames: Sequence[Objects]) -> list[Track]:
    """The tracks of a sequence, by id.

    Args:
        frames: With ids, as `track` gives them.
    """
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, objects in enumerate(frames):
        for index, identity in enumerate(() if objects.ids is None else objects.ids):
            places[int(identity)].append((number, index))
    return [_track(identity, frames, places[identity]) for identity in sorted(places)]


def _track(identity: int, frames: Sequence[Objects], places: list[tuple[int, int]]) -> Track:
    found = [(frames[number], index) for number, index in places]
    scores = [1.0 if one.scores is None else float(one.scores[i]) for one, i in found]
    return Track(
        id=identity,
        frames=np.array([number for number, _ in places], np.int64),
        boxes=np.stack([one.boxes[i] for one, i in found]),
        classes=np.array([one.classes[i] for one, i in found], np.int64),
        scores=np.array(scores),
    )
