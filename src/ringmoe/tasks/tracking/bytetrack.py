"""ByteTrack of roboflow's `trackers`: the one place that knows that library's tracker.

It associates horizontal boxes; the boxes that go in are found again at their places in the list,
so that whatever belongs to them (a rotated box, a class) stays with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import supervision
from trackers import BaseIoU, BIoU, ByteTrackTracker, IoU
from trackers.utils.state_representations import XYXYStateEstimator

if TYPE_CHECKING:
    from ringmoe.tasks.tracking.options import TrackerOptions

_LIBRARY_RATE = 30.0  # frames a second, in which the library counts how long a track may be lost

Chain = list[tuple[int, int]]
"""Of one object: the frame, and the place of its box there."""


class Nearness(BaseIoU):
    """1 where centres are the same, falling linearly to 0 at a distance of `reach` pixels."""

    def __init__(self, reach: float) -> None:
        self.reach = reach

    def _compute(self, boxes_1: np.ndarray, boxes_2: np.ndarray) -> np.ndarray:
        first, second = ((boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (boxes_1, boxes_2))
        apart = np.linalg.norm(first[:, None] - second[None], axis=2)
        return np.maximum(0.0, 1 - apart / self.reach)


class _Remembering(XYXYStateEstimator):
    """The library's filter, which says what it was given last: the tracker does not.

    The tracker names an object only from its second or later detection on. Who was tracked in the
    end is known here, so the first detections get the name too.
    """

    def __init__(self, bbox: np.ndarray) -> None:
        super().__init__(bbox)
        self.given = bbox

    def update(self, bbox: np.ndarray | None) -> None:
        super().update(bbox)
        if bbox is not None:
            self.given = bbox


def follow(
    boxes: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    times: Sequence[float],
    options: TrackerOptions,
) -> list[Chain]:
    """Associate boxes over time.

    Args:
        boxes: Of each frame `(N, 4)` xyxy.
        scores: Of each frame `(N,)`.
        times: Of each frame, in frame intervals, ascending.
        options: How.

    Returns:
        The chains of all objects that count as tracks, in no certain order.
    """
    # The library drops an object before it looks for it, by the time since it was found last: that
    # is one interval where no frame lacks it. Half of one more, as gaps in time are rounded.
    patience = options.lost_frames + 1.5
    tracker = ByteTrackTracker(
        lost_track_buffer=round(_LIBRARY_RATE * patience),
        frame_rate=1.0,
        track_activation_threshold=options.new_score,
        minimum_consecutive_frames=options.confirm,
        minimum_iou_threshold=options.least_similarity,
        high_conf_det_threshold=options.high_score,
        state_estimator_class=_Remembering,
        iou=_similarity(options),
    )
    chains: dict[int, tuple[object, Chain]] = {}  # by identity; holding it keeps that unique
    for frame, (here, sure, time) in enumerate(zip(boxes, scores, times, strict=True)):
        tracker.update(supervision.Detections(xyxy=here, confidence=sure), timestamp=float(time))
        free = np.ones(len(here), bool)
        for tracklet in tracker.tracks:
            if tracklet.time_since_update:
                continue
            given = tracklet.state_estimator.given  # type: ignore[attr-defined]
            same = free & (here == given).all(1)
            index = int(same.argmax())  # of equal boxes the first
            free[index] = False
            chains.setdefault(id(tracklet), (tracklet, []))[1].append((frame, index))
    return [
        chain
        for tracklet, chain in chains.values()
        if tracklet.tracker_id >= 0 or options.confirm == 1  # type: ignore[attr-defined]
    ]


def _similarity(options: TrackerOptions) -> BaseIoU:
    if options.similarity == "distance":
        return Nearness(options.reach)
    return BIoU(options.buffer) if options.similarity == "buffered-iou" else IoU()
