"""Labelled data: image folders, label maps, and the published benchmarks as data."""

from ringmoe.datasets.images import LabelledImages, class_folders, list_file, position_in_class
from ringmoe.datasets.published import Benchmark, aid, land_use, mstar, polsf
from ringmoe.datasets.tiles import LabelledTiles, cut_blocks

__all__ = [
    "Benchmark",
    "LabelledImages",
    "LabelledTiles",
    "aid",
    "class_folders",
    "cut_blocks",
    "land_use",
    "list_file",
    "mstar",
    "polsf",
    "position_in_class",
]
