"""Tracking: detections of one frame after the other as objects that keep their identity.

The tracker is ByteTrack of roboflow's `trackers`, the extra `tracking`; nothing here imports it
before it is used. `docs/tracking.md` says what follows what, and how well.
"""

from ringmoe.tasks.tracking.lines import Track, tracks_of
from ringmoe.tasks.tracking.motion import CameraMotion
from ringmoe.tasks.tracking.options import Similarity, TrackerOptions
from ringmoe.tasks.tracking.task import OrientedTracking, Tracking
from ringmoe.tasks.tracking.tracker import stabilised, track

__all__ = [
    "CameraMotion",
    "OrientedTracking",
    "Similarity",
    "Track",
    "TrackerOptions",
    "Tracking",
    "stabilised",
    "track",
    "tracks_of",
]
