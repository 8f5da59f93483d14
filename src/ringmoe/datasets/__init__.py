"""Labelled data: image folders, label maps, and the published benchmarks as data."""

from ringmoe.datasets.images import LabelledImages, class_folders, list_file, position_in_class
from ringmoe.datasets.labelled import (
    Example,
    Image,
    LabelKind,
    LabelledData,
    Source,
    fingerprint,
)
from ringmoe.datasets.published import Benchmark, aid, land_use, mstar, polsf
from ringmoe.datasets.tiles import IGNORED, LabelledTiles, cut_blocks

__all__ = [
    "IGNORED",
    "Benchmark",
    "Example",
    "Image",
    "LabelKind",
    "LabelledData",
    "LabelledImages",
    "LabelledTiles",
    "Source",
    "aid",
    "class_folders",
    "cut_blocks",
    "fingerprint",
    "land_use",
    "list_file",
    "mstar",
    "polsf",
    "position_in_class",
]
