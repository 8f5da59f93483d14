"""What people look at: self-contained HTML reports made from plain results."""

from ringmoe.reports.demo import (
    DemoResults,
    ExpertUse,
    MapView,
    PrunedModel,
    ReconstructionView,
    write_demo_report,
)
from ringmoe.reports.detection import (
    DetectorResults,
    FoundView,
    TrackView,
    write_detector_report,
)
from ringmoe.reports.objects import draw_objects, draw_tracks, write_picture
from ringmoe.reports.page import Page, Section

__all__ = [
    "DemoResults",
    "DetectorResults",
    "ExpertUse",
    "FoundView",
    "MapView",
    "Page",
    "PrunedModel",
    "ReconstructionView",
    "Section",
    "TrackView",
    "draw_objects",
    "draw_tracks",
    "write_demo_report",
    "write_detector_report",
    "write_picture",
]
