"""XML label files: Pascal VOC, its rotated relatives (DIOR-R, roLabelImg, SSDD), and HRSC2016.

VOC counts pixels from 1 and includes the last, so that its edges are `xmin - 1` and `xmax`.
Rotated boxes and HRSC2016's coordinates are taken as they are, angles by `ringmoe.boxes.angles`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ringmoe.boxes import (
    cxcywhr_to_xyxy,
    enclosing,
    polygon_to_cxcywhr,
    quadrilateral_to_cxcywhr,
    xyxy_to_cxcywhr,
)
from ringmoe.boxes.angles import from_convention
from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.objects.pairing import Files, LabelFileError, read_pairs

Element = ElementTree.Element

_DECLARED = re.compile(rb"""<\?xml[^>]*encoding=["']([\w.-]+)""")

# DIOR-R has its corners by names, SSDD by numbers.
_PLACES = ("left_top", "right_top", "right_bottom", "left_bottom")
_CORNERS = (
    tuple(f"{axis}_{place}" for place in _PLACES for axis in "xy"),
    tuple(f"{axis}{number}" for number in range(1, 5) for axis in "xy"),
)
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(
    files: Files, rotated: bool, *, class_tag: str = "name", first_pixel: int = 1
) -> Found:
    """The objects of images with an XML file each.

    Args:
        files: Images and XML files.
        rotated: The form of the boxes. Of rotated labels, horizontal boxes enclose; horizontal
            labels give upright rotated boxes, which is reported.
        class_tag: The element that names an object's class: "name", of HRSC2016 "Class_ID".
        first_pixel: The number of the first pixel in `bndbox`: 1, as in VOC itself, or 0.
    """

    def read(path: Path, found: Found) -> Annotations:
        return _read_file(path, rotated, class_tag, first_pixel, found)

    return read_pairs(files, Found(), read)


def _read_file(
    path: Path, rotated: bool, class_tag: str, first_pixel: int, found: Found
) -> Annotations:
    try:
        root = _parse(path.read_bytes())
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise LabelFileError(f"is no XML ({error}), its image is left out") from None
    boxes, names, ignored, upright = [], [], [], 0
    for number, thing in enumerate((*root.iter("object"), *root.iter("HRSC_Object")), 1):
        try:
            box, is_rotated = _box(thing, rotated, first_pixel)
            name = _text(thing, class_tag)
            difficult = _numbers(thing, ("difficult",)) if thing.findtext("difficult") else [0.0]
            ignored.append(difficult[0] > 0)
        except (LookupError, ValueError) as error:
            found.report("object that cannot be read", path, f"object {number}: {error}, left out")
            continue
        upright += rotated and not is_rotated
        boxes.append(_in_form(box, is_rotated, rotated))
        names.append(name)
    if upright:
        report_upright(found, path, upright)
    return Annotations.of(boxes, names, ignored, rotated, size=_size(root))


def _size(root: Element) -> tuple[int, int] | None:
    """Height and width of the image; many a file has none, or zeros."""
    for tags in (("size/height", "size/width"), ("Img_SizeHeight", "Img_SizeWidth")):
        words = [(root.findtext(tag) or "").strip() for tag in tags]
        if all(word.isdecimal() and int(word) for word in words):
            return int(words[0]), int(words[1])
    return None


def _parse(data: bytes) -> Element:
    """XML in any encoding that Python knows; the parser itself knows none of several bytes."""
    declared = _DECLARED.match(data)
    root = ElementTree.fromstring(data.decode(declared[1].decode()) if declared else data)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # without a namespace
    return root


def report_upright(found: Found, path: object, count: int) -> None:
    """Say that boxes without an angle were asked to have one."""
    found.report(
        "horizontal label taken as an upright rotated one",
        path,
        f"{count} boxes have no angle: they enclose their objects, and do not follow them",
    )


def _in_form(box: np.ndarray, is_rotated: bool, rotated: bool) -> np.ndarray:
    if is_rotated == rotated:
        return box
    return xyxy_to_cxcywhr(box) if rotated else cxcywhr_to_xyxy(box)


def _box(thing: Element, rotated: bool, first_pixel: int) -> tuple[np.ndarray, bool]:
    """A box in its own form, and whether it is rotated."""
    if not rotated and thing.find("box_xmin") is not None:  # HRSC2016 has both
        return np.array(_numbers(thing, tuple(f"box_{edge}" for edge in _EDGES))), False
    if thing.find("mbox_cx") is not None:
        tags = ("mbox_cx", "mbox_cy", "mbox_w", "mbox_h", "mbox_ang")
        return from_convention(_numbers(thing, tags), "hrsc2016"), True
    for tag in ("robndbox", "rotated_bndbox"):
        box = thing.find(tag)
        if box is None:
            continue
        for corners in _CORNERS:
            if box.find(corners[0]) is not None:
                return quadrilateral_to_cxcywhr(_numbers(box, corners)), True
        if tag == "rotated_bndbox":  # SSDD's; degrees or radians, nobody knows
            raise LookupError("rotated_bndbox has no corners x1 to y4")
        return from_convention(_numbers(box, ("cx", "cy", "w", "h", "angle")), "rolabelimg"), True
    outline = thing.find("segm")
    if outline is not None:
        return _around(outline, rotated), rotated
    box = thing.find("bndbox")
    if box is None:
        raise LookupError("has no bndbox, robndbox, mbox or segm")
    edges = np.array(_numbers(box, _EDGES))
    edges[:2] -= first_pixel
    return edges, False


def _around(outline: Element, rotated: bool) -> np.ndarray:
    """The box around SSDD's outline, three points or more as "x,y"."""
    words = [point.text or "" for point in outline.iter("point")]
    try:
        points = np.array([[float(n) for n in word.split(",")] for word in words])
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise ValueError
    except ValueError:
        raise ValueError("segm is no three or more points x,y") from None
    return polygon_to_cxcywhr(points) if rotated else enclosing(points.reshape(-1))


def _numbers(element: Element, tags: tuple[str, ...]) -> list[float]:
    numbers = []
    for tag in tags:
        text = _text(element, tag)
        try:
            numbers.append(float(text))
        except ValueError:
            raise ValueError(f"{tag} is {text!r}, expected a number") from None
        if not math.isfinite(numbers[-1]):
            raise ValueError(f"{tag} is {text!r}, expected a number")
    return numbers


def _text(element: Element, tag: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise LookupError(f"has no {tag}")
    return text
