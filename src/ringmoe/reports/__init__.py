"""What people look at: self-contained HTML reports made from plain results."""

from ringmoe.reports.demo import write_demo_report
from ringmoe.reports.demo_results import (
    DemoResults,
    ExpertUse,
    MapView,
    PrunedModel,
    ReconstructionView,
)
from ringmoe.reports.detection import FoundView, TrackView
from ringmoe.reports.finetuned import RunResults, write_run_report
from ringmoe.reports.labels import MappedView, NamedView
from ringmoe.reports.objects import draw_objects, draw_tracks, write_picture
from ringmoe.reports.page import Page, Section

__all__ = [
    "DemoResults",
    "ExpertUse",
    "FoundView",
    "MapView",
    "MappedView",
    "NamedView",
    "Page",
    "PrunedModel",
    "ReconstructionView",
    "RunResults",
    "Section",
    "TrackView",
    "draw_objects",
    "draw_tracks",
    "write_demo_report",
    "write_picture",
    "write_run_report",
]
