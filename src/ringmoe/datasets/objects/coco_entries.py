"""What COCO's entries say of objects: ids, boxes and outlines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.boxes import polygon_to_cxcywhr, xyxy_to_cxcywhr
from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.objects.voc import report_upright

Entry = dict[str, Any]  # of an image or an annotation, as JSON has it


def code_of(number: Any) -> str:
    """An id: 1 and 1.0 are the same."""
    return str(int(number) if isinstance(number, float) and number.is_integer() else number)


def read_annotations(
    things: list[Entry],
    image: str,
    file: Path,
    categories: dict[str, str],
    rotated: bool,
    found: Found,
) -> Annotations:
    """The objects of one image; what cannot be read is reported.

    Args:
        things: Its annotations.
        image: Its name, for messages.
        file: Where they stand.
        categories: Id to name of the classes.
        rotated: The form of the boxes: of rotated ones the smallest rectangle around the polygons.
        found: Where problems go.
    """
    boxes, names, ignored, upright = [], [], [], 0
    for thing in things:
        try:
            code = code_of(thing["category_id"])
            polygons = _polygons(thing) if rotated else []
            if polygons:
                boxes.append(polygon_to_cxcywhr(np.concatenate(polygons)))
            else:
                left, top, width, height = _edges(thing["bbox"])
                box = np.array([left, top, left + width, top + height])
                boxes.append(xyxy_to_cxcywhr(box) if rotated else box)
                upright += rotated
        except (KeyError, TypeError, ValueError) as error:
            what = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
            reason = f"annotation of {image}: {what}, left out"
            found.report("entry that cannot be read", file, reason)
            continue
        names.append(categories.get(code, code))
        ignored.append(any(str(thing.get(key) or 0) != "0" for key in ("iscrowd", "ignore")))
    if upright:
        report_upright(found, file, upright)
    return Annotations.of(boxes, names, ignored, rotated)


def _edges(bbox: Any) -> list[float]:
    """Left, top, width and height."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox is {bbox!r}, expected four numbers")
    return [float(number) for number in bbox]


def _polygons(thing: dict[str, Any]) -> list[np.ndarray]:
    """`(N, 2)` points each; a run-length mask (of crowds) is no polygon."""
    outline = thing.get("segmentation")
    if not isinstance(outline, list):
        return []
    rings = [outline] if outline and not isinstance(outline[0], list) else outline
    polygons = [np.array(ring, np.float64).reshape(-1, 2) for ring in rings if len(ring) >= 6]
    if not all(np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError("a polygon has a corner that is no number")
    return polygons
