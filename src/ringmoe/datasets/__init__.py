"""Labelled data: your own files, TorchGeo's data sets, and the published benchmarks as data.

The loader is looked up when first used, so that describing data needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringmoe.datasets.config import DataConfig
from ringmoe.datasets.images import LabelledImages, class_folders, list_file, position_in_class
from ringmoe.datasets.joining import JoinedData, join_parts
from ringmoe.datasets.labelled import (
    Example,
    Image,
    LabelKind,
    LabelledData,
    Source,
    fingerprint,
)
from ringmoe.datasets.labelled_files import LabelledFiles
from ringmoe.datasets.objects import Problem
from ringmoe.datasets.objects.benchmarks import BENCHMARKS, ObjectBenchmark, Part
from ringmoe.datasets.opening import open_data
from ringmoe.datasets.published import Benchmark, aid, land_use, mstar, polsf
from ringmoe.datasets.published_objects import published
from ringmoe.datasets.split_file import read_split, write_split
from ringmoe.datasets.splits import check_training, classes_of, label_of, split_data
from ringmoe.datasets.tiles import IGNORED, LabelledTiles, cut_blocks
from ringmoe.datasets.torchgeo import TorchGeoData, from_torchgeo

if TYPE_CHECKING:
    from ringmoe.datasets.loader import LabelledBatch, LabelledLoader

__all__ = [
    "BENCHMARKS",
    "IGNORED",
    "Benchmark",
    "DataConfig",
    "Example",
    "Image",
    "JoinedData",
    "LabelKind",
    "LabelledBatch",
    "LabelledData",
    "LabelledFiles",
    "LabelledImages",
    "LabelledLoader",
    "LabelledTiles",
    "ObjectBenchmark",
    "Part",
    "Problem",
    "Source",
    "TorchGeoData",
    "aid",
    "check_training",
    "class_folders",
    "classes_of",
    "cut_blocks",
    "fingerprint",
    "from_torchgeo",
    "join_parts",
    "label_of",
    "land_use",
    "list_file",
    "mstar",
    "open_data",
    "polsf",
    "position_in_class",
    "published",
    "read_split",
    "split_data",
    "write_split",
]


def __getattr__(name: str) -> Any:
    if name in ("LabelledBatch", "LabelledLoader"):
        from ringmoe.datasets import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
