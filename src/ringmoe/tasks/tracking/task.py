"""Tracking: a detector that is trained on frames, and scored by the tracks of its detections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ringmoe.datasets.loader import Cover
from ringmoe.tasks.detection import Detection
from ringmoe.tasks.oriented_detection import OrientedDetection
from ringmoe.tasks.task import register
from ringmoe.tasks.tracking.options import TrackerOptions

if TYPE_CHECKING:
    from ringmoe.tasks.tracking.metrics import SequenceMetrics


@register
@dataclass(frozen=True, kw_only=True)
class Tracking(Detection, TrackerOptions):
    """Horizontal boxes, tracked.

    The best checkpoint is that with the highest HOTA: it weighs finding objects and keeping their
    identity alike, where MOTA hardly sees the identity.
    """

    name: ClassVar[str] = "tracking"
    cover: ClassVar[Cover] = "whole"  # what is tracked crosses the squares
    best: ClassVar[str] = "hota"

    def __post_init__(self) -> None:
        Detection.__post_init__(self)
        TrackerOptions.__post_init__(self)

    def metrics(self) -> SequenceMetrics:
        """`hota`, `mota`, `idf1` and others of all sequences; `map50` of the detections."""
        from ringmoe.tasks.tracking.metrics import SequenceMetrics

        return SequenceMetrics(self.classes, self.rotated, self)


@register
@dataclass(frozen=True, kw_only=True)
class OrientedTracking(OrientedDetection, TrackerOptions):
    """Rotated boxes, tracked."""

    name: ClassVar[str] = "oriented-tracking"
    cover: ClassVar[Cover] = "whole"  # what is tracked crosses the squares
    best: ClassVar[str] = "hota"

    def __post_init__(self) -> None:
        OrientedDetection.__post_init__(self)
        TrackerOptions.__post_init__(self)

    def metrics(self) -> SequenceMetrics:
        """`hota`, `mota`, `idf1` and others of all sequences; `map50` of the detections."""
        from ringmoe.tasks.tracking.metrics import SequenceMetrics

        return SequenceMetrics(self.classes, self.rotated, self)
