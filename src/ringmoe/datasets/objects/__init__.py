"""Labelled objects: boxes, rotated boxes and tracks in the formats that data sets come in."""
