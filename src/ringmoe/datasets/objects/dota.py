"""DOTA's text files: eight numbers, a class and a difficulty a line.

`x1 y1 x2 y2 x3 y3 x4 y4 class difficult`, in pixels, below header lines `imagesource:...` and
`gsd:...` that may lack (Xia et al., CVPR 2018, arXiv:1711.10398). The difficulty may lack too, as
in the files of some tools; DOTA's kit counts anything but 0 as difficult.
"""

from __future__ import annotations

from pathlib import Path

from ringmoe.boxes import enclosing, quadrilateral_to_cxcywhr
from ringmoe.datasets.objects.annotations import Annotations, Found
from ringmoe.datasets.objects.pairing import Files, read_pairs

_HEADERS = ("imagesource:", "gsd:", "acquisition dates:")


def read_dota(files: Files, rotated: bool) -> Found:
    """The objects of images with a text file each; an empty file is an image without objects.

    Args:
        files: Images and text files.
        rotated: The form of the boxes; horizontal ones enclose the corners.
    """
    return read_pairs(files, Found(), lambda path, found: _read_file(path, rotated, found))


def _read_file(path: Path, rotated: bool, found: Found) -> Annotations:
    corners, names, ignored = [], [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip() or line.strip().lower().startswith(_HEADERS):
            continue
        words = line.replace(",", " ").split()
        try:
            points = [float(word) for word in words[:8]]
            difficult = words[9] if len(words) > 9 else "0"
            name = words[8]
            ignored.append(float(difficult) != 0)
        except (IndexError, ValueError):
            found.report(
                "line that cannot be read",
                path,
                f"line {number}: expected 8 numbers, a class and a difficulty, found {line!r}",
            )
            continue
        if len(words) == 9 and _is_yolo(words):
            found.report(
                "line that cannot be read",
                path,
                f"line {number}: expected DOTA's corners in pixels and a class, found YOLO's class "
                f"and corners from 0 to 1: {line!r}",
            )
            ignored.pop()
            continue
        corners.append(points)
        names.append(name)
    if not corners:
        return Annotations.of([], names, ignored, rotated)
    boxes = quadrilateral_to_cxcywhr(corners) if rotated else enclosing(corners)
    return Annotations.of(boxes, names, ignored, rotated)


def _is_yolo(words: list[str]) -> bool:
    """`class x1 y1 x2 y2 x3 y3 x4 y4`, corners as shares of the image's sides."""
    try:
        corners = [float(word) for word in words[1:]]
    except ValueError:
        return False
    return words[0].isdigit() and all(-0.5 <= corner <= 1.5 for corner in corners)
