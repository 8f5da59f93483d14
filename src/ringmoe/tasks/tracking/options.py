"""How a tracker associates, as options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ringmoe.errors import ConfigError

Similarity = Literal["iou", "buffered-iou", "distance"]


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """How detections are associated.

    Scores are ByteTrack's (Zhang et al. 2022, arXiv 2110.06864), with the values of its code: sure
    detections are associated first, then the rest of the objects with unsure ones.

    Attributes:
        similarity: Of a detection and an object's expected box: "iou"; "buffered-iou", of boxes
            widened by `buffer` (Yang et al. 2023, arXiv 2211.14317); "distance" of centres, for
            objects that move further than their own length between frames, and for points.
        buffer: By how much boxes are widened on each side, in widths and heights.
        reach: Distance of centres in pixels at which "distance" is 0; it falls to that linearly.
        least_similarity: Less is no match.
        low_score: Detections that are less sure are left out.
        high_score: Detections at least so sure are associated first.
        new_score: A detection at least so sure begins a track; no less than `high_score`, as only
            what is associated first does.
        lost_frames: Frames for which an object that is not found is still waited for; 0: it must
            be found in every frame.
        confirm: Frames in a row that an object must be found in to count, its first ones included.
        class_wise: Whether classes are tracked apart. If not, an object may be found as several,
            and then is of that with the highest sum of scores.

    Raises:
        ConfigError: A value is not allowed.
    """

    similarity: Similarity = "distance"
    buffer: float = 0.5
    reach: float = 24.0
    least_similarity: float = 0.1
    low_score: float = 0.1
    high_score: float = 0.5
    new_score: float = 0.6
    lost_frames: int = 30
    confirm: int = 2
    class_wise: bool = True

    def __post_init__(self) -> None:
        similarities = ("iou", "buffered-iou", "distance")
        self._expect("similarity", self.similarity in similarities, " or ".join(similarities))
        self._expect("buffer", self.buffer >= 0, "not negative")
        self._expect("reach", self.reach > 0, "positive")
        self._expect("least_similarity", 0 < self.least_similarity <= 1, "over 0, at most 1")
        for name in ("low_score", "high_score", "new_score"):
            self._expect(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        least = f"high_score ({self.high_score:g}) or more, as less has no effect"
        self._expect("new_score", self.new_score >= self.high_score, least)
        self._expect("lost_frames", self.lost_frames >= 0, "not negative")
        self._expect("confirm", self.confirm >= 1, "1 or more")

    def _expect(self, option: str, allowed: bool, expected: str) -> None:
        if not allowed:
            raise ConfigError(f"{option} must be {expected}, got {getattr(self, option)!r}")
