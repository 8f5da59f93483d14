"""Which format a folder or file of labelled objects has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ringmoe.datasets.config import DataConfig
from ringmoe.datasets.images import IMAGE_SUFFIXES
from ringmoe.datasets.objects.annotations import Found
from ringmoe.datasets.objects.coco import is_coco, read_coco
from ringmoe.datasets.objects.dota import read_dota
from ringmoe.datasets.objects.masks import HRSID_SUFFIX, read_instance_masks
from ringmoe.datasets.objects.mot import read_mot
from ringmoe.datasets.objects.pairing import Files, take_part_lists
from ringmoe.datasets.objects.points import is_point_table, read_point_tracks
from ringmoe.datasets.objects.simulation import read_simulated_objects, read_simulated_videos
from ringmoe.datasets.objects.table import read_object_csv
from ringmoe.datasets.objects.voc import read_voc
from ringmoe.datasets.simulated import is_simulation
from ringmoe.errors import DatasetError

TRACKS = "tracks"  # in place of a path: the videos of a simulation

# What folders of text files and of instance masks are called; the first is what messages say.
TEXT_FOLDERS = ("labeltxt", "labels", "annfiles")
MASK_FOLDERS = ("instances", "instance_masks", "masks")
LIST_FOLDERS = ("ImageSets/Main", "ImageSets", "Main")

Read = Callable[[], Found]


def find_objects(config: DataConfig, rotated: bool) -> Found:
    """The objects of every image, in whatever format they are.

    Args:
        config: `path`, and `labels` where several formats lie below it.
        rotated: The form of the boxes.

    Raises:
        DatasetError: There is no such folder or file, no known layout, or more than one.
    """
    path = config.path
    if not path.exists():
        raise DatasetError(f"{path}: there is no such folder or file; check data.path")
    if is_simulation(path):
        sensors = config.sensors or {"image": config.sensor}
        read = read_simulated_videos if config.labels == TRACKS else read_simulated_objects
        return read(path, sensors, rotated)
    labels = path / config.labels if config.labels else path
    if not labels.exists():
        raise DatasetError(f"{labels}: there is no such folder or file; check data.labels")
    root = path if path.is_dir() else path.parent
    if path.is_file() and root.name.lower() == "annotations":
        root = root.parent  # a COCO file lies beside the folder of its images
    readers = _readers(root, labels, rotated, config.first_pixel)
    if len(readers) > 1:
        raise DatasetError(
            f"{labels}: holds labels of several formats ({', '.join(readers)}): name the file or "
            "folder of one as data.labels"
        )
    if not readers:
        tables = sorted(labels.glob("*.csv")) if labels.is_dir() else []
        also = f"; to use {tables[0].name}, give it as data.path" if tables else ""
        raise DatasetError(
            f"{labels}: expected objects as COCO (.json), VOC (.xml), DOTA (labelTxt/*.txt), "
            "MOT (gt/gt.txt), instance masks (instances/*.png) or a .csv file, found none of "
            f"these{also}"
        )
    found = next(iter(readers.values()))()
    if not any(row.sequence for row in found.rows):
        take_part_lists(found, [root / folder for folder in LIST_FOLDERS])
    return found


def _readers(root: Path, labels: Path, rotated: bool, first_pixel: int) -> dict[str, Read]:
    """The formats that are there, and how each is read."""
    below = _listed(root)
    listed = [labels] if labels.is_file() else below if labels == root else _listed(labels)
    images = tuple(file for file in below if file.suffix.lower() in IMAGE_SUFFIXES)

    def of_type(suffix: str) -> list[Path]:
        return [file for file in listed if file.suffix.lower() == suffix]

    readers: dict[str, Read] = {}
    sequences = [f.parent.parent for f in listed if f.name == "gt.txt" and f.parent.name == "gt"]
    if sequences:
        readers["MOT"] = lambda: read_mot(root, sequences, rotated)
    json_files = [file for file in of_type(".json") if is_coco(file)]
    if json_files:
        readers["COCO"] = lambda: read_coco(root, json_files, images, rotated)
    tables = of_type(".csv")
    points = [file for file in tables if is_point_table(file)]
    if len(points) > 1:
        names = ", ".join(file.name for file in points)
        raise DatasetError(
            f"{labels}: holds several tables of points ({names}): name one as data.labels"
        )
    if points:
        frames = [file for file in images if file.parent.name == "frames"] or images
        readers["points"] = lambda: read_point_tracks(points[0], frames, root.name, rotated)
    elif labels.is_file() and tables:
        readers["CSV"] = lambda: read_object_csv(labels, rotated)
    xml_files = [file for file in of_type(".xml") if not file.name.endswith(".aux.xml")]
    if xml_files:
        tag = "Class_ID" if _is_hrsc(xml_files[0]) else "name"
        files = Files(root, images, tuple(xml_files))
        readers["VOC"] = lambda: read_voc(files, rotated, class_tag=tag, first_pixel=first_pixel)
    text_files = [file for file in of_type(".txt") if _is_in(file, labels, TEXT_FOLDERS)]
    if text_files:
        readers["DOTA"] = lambda: read_dota(Files(root, images, tuple(text_files)), rotated)
    readers |= _mask_readers(root, labels, listed, images, rotated)
    return readers


def _mask_readers(
    root: Path, labels: Path, listed: Sequence[Path], images: tuple[Path, ...], rotated: bool
) -> dict[str, Read]:
    pictures = [file for file in listed if file.suffix.lower() in IMAGE_SUFFIXES]
    hrsid = [file for file in pictures if file.stem.endswith(HRSID_SUFFIX)]
    if hrsid:
        # HRSID colours the classes too; that is no picture to be labelled.
        plain = tuple(image for image in images if "_instance_" not in image.stem)
        files = Files(root, plain, tuple(hrsid))
        return {"masks": lambda: read_instance_masks(files, rotated, HRSID_SUFFIX, "ship")}
    named = labels != root  # what all data are called says nothing of a picture in them
    masks = [file for file in pictures if _is_in(file, labels, MASK_FOLDERS, also_top=named)]
    if not masks:
        return {}
    others = tuple(sorted(set(images) - set(masks)))
    return {"masks": lambda: read_instance_masks(Files(root, others, tuple(masks)), rotated)}


def _is_in(file: Path, top: Path, names: Sequence[str], *, also_top: bool = True) -> bool:
    """Whether a file is in a folder of such a name, or one that was named as data.labels."""
    above = [top.name] if also_top else []
    folders = [part.lower() for part in (*above, *file.relative_to(top).parts[:-1])]
    return any(folder.startswith(name) for folder in folders for name in names)


def _is_hrsc(file: Path) -> bool:
    with open(file, encoding="utf-8", errors="replace") as handle:
        return "<HRSC_" in handle.read(1000)


def _listed(folder: Path) -> list[Path]:
    """All files below a folder, in a fixed order."""
    return [file for file in sorted(folder.rglob("[!.]*")) if file.is_file()]
