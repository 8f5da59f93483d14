"""Tracking: a detector that is trained on frames, and scored by the tracks of its detections."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from ringmoe.boxes import Objects
from ringmoe.datasets import LabelledData, label_of
from ringmoe.datasets.loader import Cover
from ringmoe.errors import DatasetError
from ringmoe.tasks.detection import Detection
from ringmoe.tasks.oriented_detection import OrientedDetection
from ringmoe.tasks.task import register
from ringmoe.tasks.tracking.options import TrackerOptions

if TYPE_CHECKING:
    from ringmoe.tasks.tracking.metrics import SequenceMetrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Tracked(TrackerOptions):
    """What tracking adds to detection: frames in sequences, and scores of tracks.

    The best checkpoint is that with the highest HOTA: it weighs finding objects and keeping their
    identity alike, where MOTA hardly sees the identity.

    Attributes:
        choose_scores: Whether `high_score` and `new_score` of the trained model are those with
            the highest HOTA on the validation part, where there is one: how sure a detector is of
            what it rightly sees depends on how long it learned.
        score_distance: None: tracks are compared with labels by IoU. Of points, which have no
            extent: the pixels between centres at which similarity is 0, see `TrackingMetrics`.
    """

    choose_scores: bool = True
    score_distance: float | None = None

    cover: ClassVar[Cover] = "whole"  # what is tracked crosses the squares
    best: ClassVar[str] = "hota"

    if TYPE_CHECKING:  # the detection's
        classes: tuple[str, ...]
        rotated: ClassVar[bool]

    def __post_init__(self) -> None:
        TrackerOptions.__post_init__(self)
        allowed = self.score_distance is None or self.score_distance > 0
        self._expect("score_distance", allowed, "positive, or none")

    def check_data(self, data: LabelledData) -> None:
        """Raise if examples are no frames of sequences, or nobody knows which object is which."""
        check_sequences(data)

    def metrics(self) -> SequenceMetrics:
        """`hota`, `mota`, `idf1` and others of all sequences; `map50` of the detections."""
        from ringmoe.tasks.tracking.metrics import SequenceMetrics

        return SequenceMetrics(self.classes, self.rotated, self, self.score_distance)

    def settled(self, seen: Callable[[], SequenceMetrics]) -> Self:
        """This task with the scores chosen, if they shall be."""
        return seen().best_scores(self, self.best) if self.choose_scores else self


@register
@dataclass(frozen=True, kw_only=True)
class Tracking(_Tracked, Detection):
    """Horizontal boxes, tracked."""

    name: ClassVar[str] = "tracking"

    def __post_init__(self) -> None:
        _Tracked.__post_init__(self)
        Detection.__post_init__(self)


@register
@dataclass(frozen=True, kw_only=True)
class OrientedTracking(_Tracked, OrientedDetection):
    """Rotated boxes, tracked."""

    name: ClassVar[str] = "oriented-tracking"

    def __post_init__(self) -> None:
        _Tracked.__post_init__(self)
        OrientedDetection.__post_init__(self)


def sequence_and_frame(name: str) -> tuple[str, int]:
    """A frame "SEQUENCE/000001" in its two parts.

    Raises:
        DatasetError: The name is no such one.
    """
    sequence, _, number = name.rpartition("/")
    if not sequence or not number.isdigit():
        raise DatasetError(
            f"{name}: expected frames of sequences, called SEQUENCE/000001: give MOT folders, or a "
            'simulation with data.labels "tracks"'
        )
    return sequence, int(number)


def check_sequences(data: LabelledData) -> None:
    """Raise unless examples are frames of sequences, and labels tell objects from one another.

    Single objects without an identity are told: they are learned, and ignored in the metrics.

    Raises:
        DatasetError: They do not.
    """
    first, unknown, known = "", 0, 0
    for index, name in enumerate(data.names):
        sequence_and_frame(name)
        label = label_of(data, index)
        assert isinstance(label, Objects)
        kept = label if label.ignored is None else label.take(~label.ignored)
        missing = len(kept) if kept.ids is None else int((kept.ids < 0).sum())
        unknown, known = unknown + missing, known + len(kept) - missing
        first = first or (name if missing else "")
    if unknown and not known:
        raise DatasetError(
            f"{first}: expected labels with the identity of each object, a number from 0 that "
            "it keeps in all frames: add them, or train `detection`, which needs none"
        )
    if unknown:
        logger.warning(
            "%d of %d objects have no identity, first in %s: they are learned, but not scored",
            *(unknown, unknown + known, first),
        )
