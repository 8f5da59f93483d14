"""Instance masks: a picture in which every object has a value or colour of its own, 0 for none.

As HRSID has them (`NAME_instance_id_RGB.png` beside `NAME.png`; Wei et al., IEEE Access 2020,
doi:10.1109/ACCESS.2020.3005861). All objects are of one class.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from ringmoe.boxes import polygon_to_cxcywhr
from ringmoe.datasets.labels import open_label
from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.objects.pairing import Files, LabelFileError, read_pairs
from ringmoe.errors import RingmoeError
from ringmoe.scenes import Window

HRSID_SUFFIX = "_instance_id_RGB"


def read_instance_masks(
    files: Files, rotated: bool, suffix: str = "", name: str = "object"
) -> Found:
    """The objects of images with an instance mask each.

    Args:
        files: Images and masks.
        rotated: The form of the boxes; a rotated one is the smallest rectangle around all corners
            of an instance's pixels.
        suffix: What a mask's stem has after that of its image.
        name: The class of all objects.
    """
    found = read_pairs(files, Found(), lambda path, _: _read_file(path, rotated, name), suffix)
    found.classes = (name,)
    return found


def _read_file(path: Path, rotated: bool, name: str) -> Annotations:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise LabelFileError("is a JPEG file, in which values are not kept: save masks as PNG")
    try:
        source = open_label(str(path))
        whole = Window(0, 0, source.height, source.width)
        planes, _ = source.read(range(source.count), whole)
    except RingmoeError as error:
        raise LabelFileError(str(error)) from None
    boxes = instance_boxes(planes.astype(np.int64), rotated)
    names, ignored = [name] * len(boxes), np.zeros(len(boxes), bool)
    size = source.height, source.width
    return Annotations.of(boxes, names, ignored, rotated, size=size)


def instance_boxes(planes: np.ndarray, rotated: bool) -> list[np.ndarray]:
    """A box around each value of a mask but 0, by rising value.

    Args:
        planes: `(C, H, W)` int64 at least 0, under 256 where there are several bands.
        rotated: The form of the boxes.
    """
    codes = planes[0] if len(planes) == 1 else (planes[0] << 16) + (planes[1] << 8) + planes[2]
    numbers = np.unique(codes, return_inverse=True)[1].reshape(codes.shape)
    if codes.min() > 0:
        numbers = numbers + 1  # 0 is the background: no instance may have it
    boxes = []
    for number, place in enumerate(ndimage.find_objects(numbers), 1):
        rows, columns = place
        if not rotated:
            boxes.append(np.array([columns.start, rows.start, columns.stop, rows.stop], float))
            continue
        y, x = np.nonzero(numbers[place] == number)
        corners = np.concatenate([np.stack([x + i, y + j], 1) for i in (0, 1) for j in (0, 1)])
        box = polygon_to_cxcywhr(corners.astype(float))
        boxes.append(box + np.array([columns.start, rows.start, 0, 0, 0]))
    return boxes
