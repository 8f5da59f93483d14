"""What people look at: self-contained HTML reports made from plain results."""

from ringmoe.reports.demo import (
    DemoResults,
    ExpertUse,
    MapView,
    PrunedModel,
    ReconstructionView,
    write_demo_report,
)
from ringmoe.reports.page import Page, Section

__all__ = [
    "DemoResults",
    "ExpertUse",
    "MapView",
    "Page",
    "PrunedModel",
    "ReconstructionView",
    "Section",
    "write_demo_report",
]
