"""Horizontal and rotated boxes: their forms and the conversions between them.

The one place where the conventions stand. Everything is in pixels of a displayed image: x runs
right, y runs down, and whole numbers are pixel edges, so the top left corner of the image is
(0, 0) and the centre of its first pixel (0.5, 0.5): the convention of a GeoTIFF's transform.

Forms, each the last axis of a float64 array:

- `xyxy`: horizontal box, left, top, right, bottom.
- `cxcywhr`: rotated box, centre, long edge w, short edge h, and the angle r in radians from the
  x axis to the long edge, counter-clockwise as displayed (the long edge points along
  `(cos r, -sin r)`), in [-pi/2, pi/2). A direction of travel is a heading in the same sense,
  over the whole circle: (-pi, pi].
- `corners`: 8 numbers, x1 y1 x2 y2 x3 y3 x4 y4: for a rotated box, the corners front left, front
  right, back right, back left of something that points along r, hence clockwise as displayed.

A polygon, `(N, 2)` points, becomes the smallest rotated box around it; a box's own polygon are its
`corners`. Boxes as files and other libraries have them are converted by `from_convention` and
`to_convention`.

What computes with tensors is looked up when first used, so that forms need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ringmoe.boxes.angles import (
    CONVENTIONS,
    Convention,
    from_convention,
    to_convention,
)
from ringmoe.boxes.forms import (
    area,
    canonical,
    centres,
    corners_to_cxcywhr,
    cxcywhr_to_corners,
    cxcywhr_to_xyxy,
    enclosing,
    xyxy_to_corners,
    xyxy_to_cxcywhr,
)
from ringmoe.boxes.objects import Objects
from ringmoe.boxes.polygons import polygon_to_cxcywhr, quadrilateral_to_cxcywhr

if TYPE_CHECKING:
    from ringmoe.boxes.batch import ObjectBatch
    from ringmoe.boxes.gaussian import gaussian_distance
    from ringmoe.boxes.overlap import box_iou, paired_iou, rotated_iou
    from ringmoe.boxes.roi_align import rotated_roi_align
    from ringmoe.boxes.suppression import nms

_WITH_TORCH = {
    "ObjectBatch": "batch",
    "box_iou": "overlap",
    "gaussian_distance": "gaussian",
    "nms": "suppression",
    "paired_iou": "overlap",
    "rotated_iou": "overlap",
    "rotated_roi_align": "roi_align",
}

__all__ = [
    "CONVENTIONS",
    "Convention",
    "ObjectBatch",
    "Objects",
    "area",
    "box_iou",
    "canonical",
    "centres",
    "corners_to_cxcywhr",
    "cxcywhr_to_corners",
    "cxcywhr_to_xyxy",
    "enclosing",
    "from_convention",
    "gaussian_distance",
    "nms",
    "paired_iou",
    "polygon_to_cxcywhr",
    "quadrilateral_to_cxcywhr",
    "rotated_iou",
    "rotated_roi_align",
    "to_convention",
    "xyxy_to_corners",
    "xyxy_to_cxcywhr",
]


def __getattr__(name: str) -> Any:
    try:
        module = importlib.import_module(f"ringmoe.boxes.{_WITH_TORCH[name]}")
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(module, name)
