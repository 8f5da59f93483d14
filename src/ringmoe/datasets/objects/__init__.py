"""Labelled objects: boxes, rotated boxes and tracks in the formats that data sets come in."""

from ringmoe.datasets.objects.annotations import Annotations, Found, Problem

__all__ = ["Annotations", "Found", "Problem"]
