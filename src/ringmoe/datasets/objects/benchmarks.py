"""Published benchmarks of objects: where their files lie, the split, the metric, the source.

Folders are those of the archives as their authors give them away, by what descriptions and readers
of each set say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ringmoe.datasets.labelled import LabelKind


@dataclass(frozen=True)
class Part:
    """Where a part of a benchmark lies, below its root.

    Attributes:
        images: The folder of the images, or of the sequences.
        labels: The folder or file of the labels; other folders in use after it. "{}" stands for
            what `ObjectBenchmark.forms` says of the kind of boxes.
        names: A list of the images of the part, a name a line; "" for all.
    """

    images: str
    labels: tuple[str, ...]
    names: str = ""


@dataclass(frozen=True)
class ObjectBenchmark:
    """A published set of labelled objects.

    Attributes:
        sensor: What the images are, a name of the sensor catalogue.
        format: Of the labels.
        classes: Name to how the files write it.
        parts: "train", "validation" and "test", those with public labels.
        metric: By which it is published.
        source: Who published it.
        forms: Kind of boxes to the folder that "{}" in a path stands for; its keys are the kinds
            that there are. The first is what `published` gives if nothing is asked.
        first_pixel: The number of the first pixel in `bndbox`.
        one_class: Count every object as this class, whatever the files call it.
        class_tag: The XML element with the class.
    """

    sensor: str
    format: Literal["VOC", "COCO", "DOTA", "MOT"]
    classes: Mapping[str, str]
    parts: Mapping[str, Part]
    metric: str
    source: str
    forms: Mapping[LabelKind, str] = field(
        default_factory=lambda: {"boxes": "", "rotated-boxes": ""}
    )
    first_pixel: int = 1
    one_class: str = ""
    class_tag: str = "name"


def _plain(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_DOTA = _plain(
    "plane", "baseball-diamond", "bridge", "ground-track-field", "small-vehicle", "large-vehicle",
    "ship", "tennis-court", "basketball-court", "storage-tank", "soccer-ball-field", "roundabout",
    "harbor", "swimming-pool", "helicopter",
)  # fmt: skip

# As the XML files write them; their case differs between files and copies, and is passed over.
_DIOR = _plain(
    "airplane", "airport", "baseballfield", "basketballcourt", "bridge", "chimney", "dam",
    "Expressway-Service-area", "Expressway-toll-station", "golffield", "groundtrackfield",
    "harbor", "overpass", "ship", "stadium", "storagetank", "tenniscourt", "trainstation",
    "vehicle", "windmill",
)  # fmt: skip


def _dota(version: str) -> dict[str, Part]:
    """The archives unpack to `labelTxt`, in later versions to a folder inside it."""
    return {
        name: Part(
            f"{part}/images",
            (
                f"{part}/labelTxt-v{version}/DOTA-v{version}_{part}",
                f"{part}/labelTxt-v{version}/labelTxt",
                f"{part}/labelTxt-v{version}",
                f"{part}/labelTxt",
            ),
        )
        for name, part in (("train", "train"), ("validation", "val"))
    }


def _dior() -> dict[str, Part]:
    folders = {"train": "trainval", "val": "trainval", "test": "test"}
    return {
        "validation" if part == "val" else part: Part(
            f"JPEGImages-{folder}", ("Annotations/{}",), f"ImageSets/Main/{part}.txt"
        )
        for part, folder in folders.items()
    }


_DIOR_SOURCE = "Li et al., ISPRS J. 2020, doi:10.1016/j.isprsjprs.2019.11.023"

BENCHMARKS: dict[str, ObjectBenchmark] = {
    "DIOR": ObjectBenchmark(
        sensor="rgb-dn8",
        format="VOC",
        classes=_DIOR,
        parts=_dior(),
        metric="AP at IoU 0.5, mean over 20 classes",
        source=_DIOR_SOURCE,
        forms={"boxes": "Horizontal Bounding Boxes"},
    ),
    "DIOR-R": ObjectBenchmark(
        sensor="rgb-dn8",
        format="VOC",
        classes=_DIOR,
        parts=_dior(),
        metric="AP of rotated boxes at IoU 0.5, mean over 20 classes",
        source=f"Cheng et al., IEEE TGRS 2022, doi:10.1109/TGRS.2022.3183022; {_DIOR_SOURCE}",
        forms={"rotated-boxes": "Oriented Bounding Boxes"},
    ),
    "HRSC2016": ObjectBenchmark(
        sensor="rgb-dn8",
        format="VOC",
        classes={"ship": "ship"},
        parts={
            "validation" if part == "val" else part: Part(
                "FullDataSet/AllImages", ("FullDataSet/Annotations",), f"ImageSets/{part}.txt"
            )
            for part in ("train", "val", "test")
        },
        metric="AP of rotated boxes at IoU 0.5 (VOC07 and VOC12)",
        source="Liu et al., ICPRAM 2017, doi:10.5220/0006120603240331",
        forms={"rotated-boxes": "", "boxes": ""},
        one_class="ship",  # its level 1; Class_ID tells the types
        class_tag="Class_ID",
    ),
    "HRSID": ObjectBenchmark(
        sensor="sar-amplitude-dn8",
        format="COCO",
        classes=_plain("ship"),
        parts={
            part: Part("JPEGImages", (f"annotations/{part}2017.json",))
            for part in ("train", "test")
        },
        metric="COCO AP, AP50 and AP75",
        source="Wei et al., IEEE Access 2020, doi:10.1109/ACCESS.2020.3005861",
    ),
    "SSDD": ObjectBenchmark(
        sensor="sar-amplitude-dn8",
        format="VOC",
        classes=_plain("ship"),
        parts={
            part: Part(f"{{}}/voc_style/JPEGImages_{part}", (f"{{}}/voc_style/Annotations_{part}",))
            for part in ("train", "test")
        },
        metric="AP at IoU 0.5",
        source="Zhang et al., Remote Sensing 2021, doi:10.3390/rs13183690",
        forms={"boxes": "BBox_SSDD", "rotated-boxes": "RBox_SSDD"},
        first_pixel=0,  # bndbox is the COCO file's bbox rounded down
    ),
    "SAR-AIRcraft-1.0": ObjectBenchmark(
        sensor="sar-amplitude-dn8",
        format="VOC",
        classes=_plain("A220", "A320/321", "A330", "ARJ21", "Boeing737", "Boeing787", "other"),
        parts={
            "validation" if part == "val" else part: Part(
                "JPEGImages", ("Annotations",), f"ImageSets/Main/{part}.txt"
            )
            for part in ("train", "val", "test")
        },
        metric="AP at IoU 0.5, mean over 7 classes",
        source="Wang et al., Journal of Radars 2023, doi:10.12000/JR23043",
        forms={"boxes": ""},
    ),
    "DOTA-v1.0": ObjectBenchmark(
        sensor="rgb-dn8",
        format="DOTA",
        classes=_DOTA,
        parts=_dota("1.0"),
        metric="AP of rotated boxes at IoU 0.5, mean over 15 classes (VOC07)",
        source="Xia et al., CVPR 2018, arXiv:1711.10398",
        forms={"rotated-boxes": "", "boxes": ""},
    ),
    "DOTA-v1.5": ObjectBenchmark(
        sensor="rgb-dn8",
        format="DOTA",
        classes={**_DOTA, **_plain("container-crane")},
        parts=_dota("1.5"),
        metric="AP of rotated boxes at IoU 0.5, mean over 16 classes (VOC07)",
        source="Ding et al., IEEE TPAMI 2022, doi:10.1109/TPAMI.2021.3117983",
        forms={"rotated-boxes": "", "boxes": ""},
    ),
    "DOTA-v2.0": ObjectBenchmark(
        sensor="rgb-dn8",
        format="DOTA",
        classes={**_DOTA, **_plain("container-crane", "airport", "helipad")},
        parts=_dota("2.0"),
        metric="AP of rotated boxes at IoU 0.5, mean over 18 classes (VOC07)",
        source="Ding et al., IEEE TPAMI 2022, doi:10.1109/TPAMI.2021.3117983",
        forms={"rotated-boxes": "", "boxes": ""},
    ),
    "AIR-MOT": ObjectBenchmark(
        sensor="rgb-dn8",
        format="MOT",
        # As AIR-MOT-100 is given away: numbered sequences with `img` and `gt`, and no split.
        classes={"airplane": "1", "ship": "2"},
        parts={"train": Part("", ("",))},
        metric="MOTA, IDF1",
        source="He et al., IEEE TGRS 2022, doi:10.1109/TGRS.2022.3152250",
        forms={"boxes": ""},
    ),
}
