"""Labels of a landscape as plain data: boxes for detection, tracks for video."""

from __future__ import annotations

from typing import Any

import numpy as np

from ringmoe.simulation.landscape import Landscape
from ringmoe.simulation.object_models import OBJECT_CLASSES
from ringmoe.simulation.objects import SceneObject, seen_share


def object_labels(landscape: Landscape, zoom: int = 1) -> list[dict[str, Any]]:
    """Every object of which something is seen.

    Args:
        landscape: All of it, or what a close film shows.
        zoom: Of that film: in what it shows, all lengths are so many times longer.

    Returns:
        For each, in pixels and radians as `ringmoe.boxes` has them: `id`, `class`, `model`,
        `horizontal` (xyxy, cut off at the image's edge), `rotated` (cxcywhr, not cut off),
        `heading`; `length_m`, `width_m`, `height_m`, `speed` in m/s, and `seen`, the share of the
        object that is inside the image and not under something else.
    """
    return [
        {
            "id": thing.id,
            "class": thing.kind,
            "model": thing.model,
            "horizontal": _rounded(_cut(thing.horizontal_box, landscape.size)),
            "rotated": _rounded(thing.rotated_box),
            "heading": round(thing.heading, 5),
            "length_m": round(thing.length / zoom, 2),
            "width_m": round(thing.width / zoom, 2),
            "height_m": round(thing.height / zoom, 2),
            "speed": round(thing.speed, 2),
            "seen": round(share, 4),
        }
        for thing, share in _seen(landscape)
    ]


def video_labels(landscape: Landscape, zoom: int = 1) -> list[list[dict[str, Any]]]:
    """`object_labels` of each frame of the video; an object keeps its `id`."""
    frames = map(landscape.at_frame, range(len(landscape.frames)))
    return [object_labels(frame, zoom) for frame in frames]


def track_lines(landscape: Landscape) -> list[str]:
    """The video's objects as lines of a MOTChallenge ground truth file.

    `frame, id, left, top, width, height, 1, class, visibility`: frames and pixel coordinates count
    from 1 as in MOT16 (Milan et al. 2016, arXiv:1603.00831), so `left` and `top` are those of
    `object_labels` plus 1; the class is the place in `OBJECT_CLASSES`, also from 1.
    """
    lines = []
    for number in range(len(landscape.frames)):
        frame = landscape.at_frame(number)
        for thing, share in _seen(frame):
            left, top, right, bottom = _cut(thing.horizontal_box, landscape.size)
            kind = OBJECT_CLASSES.index(thing.kind) + 1
            lines.append(
                f"{number + 1},{thing.id},{left + 1:.3f},{top + 1:.3f},"
                f"{right - left:.3f},{bottom - top:.3f},1,{kind},{share:.4f}"
            )
    return lines


def _seen(landscape: Landscape) -> list[tuple[SceneObject, float]]:
    shares = ((thing, seen_share(thing, landscape.cell_ids)) for thing in landscape.objects)
    return [(thing, share) for thing, share in shares if share > 0]


def _cut(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return np.clip(box, 0, [width, height, width, height])


def _rounded(box: np.ndarray) -> list[float]:
    return [round(float(number), 4) for number in box]
