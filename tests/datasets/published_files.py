"""Tiny files in the real layouts of the published benchmarks of objects, drawn from a seed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from ringmoe.datasets import BENCHMARKS

SIZE = 64

Box = tuple[float, float, float, float, float]  # cx, cy, w, h and r as in ringmoe.boxes
Truth = dict[str, dict[str, list[tuple[str, Box]]]]  # part -> image stem -> objects


def write_benchmark(name: str, root: Path, seed: int = 0) -> Truth:
    """Write every part of a benchmark; returns what was drawn."""
    rng = np.random.default_rng(seed)
    benchmark = BENCHMARKS[name]
    truth: Truth = {}
    number = 1
    for part in benchmark.parts:
        truth[part] = {}
        for _ in range(3):
            classes = rng.choice(list(benchmark.classes), 3)
            truth[part][f"{number:05d}"] = [(str(kind), _box(rng)) for kind in classes]
            number += 1
    writers = {"DIOR": _dior, "DIOR-R": _dior, "HRSC2016": _hrsc, "HRSID": _hrsid, "SSDD": _ssdd}
    writers |= {"SAR-AIRcraft-1.0": _aircraft, "AIR-MOT": _air_mot}
    writers |= {f"DOTA-v{v}": _dota for v in ("1.0", "1.5", "2.0")}
    writers[name](root, truth, name)
    return truth


def edges(box: Box) -> list[float]:
    """Of the horizontal box around a rotated one, by its half extents."""
    x, y, w, h, r = box
    half_width = (w * abs(math.cos(r)) + h * abs(math.sin(r))) / 2
    half_height = (w * abs(math.sin(r)) + h * abs(math.cos(r))) / 2
    return [x - half_width, y - half_height, x + half_width, y + half_height]


def corners(box: Box) -> list[float]:
    """Clockwise as displayed; complex numbers with the imaginary axis up."""
    x, y, w, h, r = box
    turn = complex(math.cos(r), math.sin(r))
    points = [complex(a * w / 2, b * h / 2) * turn for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    return [number for p in points for number in (x + p.real, y - p.imag)]


def _box(rng: np.random.Generator) -> Box:
    x, y = rng.uniform(20, SIZE - 20, 2)
    w, h = rng.uniform(10, 20), rng.uniform(4, 9)
    return tuple(np.round([x, y, w, h, rng.uniform(-1.5, 1.5)], 4).tolist())


def _picture(path: Path, gray: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(len(path.name)).integers(1, 200, (SIZE, SIZE, 3), np.uint8)
    Image.fromarray(values[..., 0] if gray else values).save(path)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _xml(file: str, objects: list[str]) -> str:
    size = f"<size><width>{SIZE}</width><height>{SIZE}</height><depth>3</depth></size>"
    return f"<annotation><filename>{file}</filename>{size}{''.join(objects)}</annotation>"


def _object(kind: str, box: str) -> str:
    return f"<object><name>{kind}</name><difficult>0</difficult>{box}</object>"


def _bndbox(box: Box, first_pixel: int) -> str:
    left, top, right, bottom = edges(box)
    tags = ("xmin", left + first_pixel), ("ymin", top + first_pixel), ("xmax", right)
    return (
        "<bndbox>"
        + "".join(f"<{tag}>{value:.4f}</{tag}>" for tag, value in (*tags, ("ymax", bottom)))
        + "</bndbox>"
    )


def _dior(root: Path, truth: Truth, name: str) -> None:
    """DIOR and DIOR-R are one archive; XML of both kinds is written, in any case of letters."""
    del name
    for part, images in truth.items():
        folder = "JPEGImages-test" if part == "test" else "JPEGImages-trainval"
        listed = "val" if part == "validation" else part
        _write(root / f"ImageSets/Main/{listed}.txt", "\n".join(images) + "\n")
        for stem, objects in images.items():
            _picture(root / folder / f"{stem}.jpg")
            places = ("left_top", "right_top", "right_bottom", "left_bottom")
            tags = [f"{axis}_{place}" for place in places for axis in "xy"]
            rotated = []
            for kind, box in objects:
                pairs = zip(tags, corners(box), strict=True)
                inner = "".join(f"<{tag}>{value:.4f}</{tag}>" for tag, value in pairs)
                rotated.append(_object(kind.upper(), f"<robndbox>{inner}</robndbox>"))
            upright = [_object(kind.lower(), _bndbox(box, 1)) for kind, box in objects]
            for form, things in (("Horizontal", upright), ("Oriented", rotated)):
                path = root / "Annotations" / f"{form} Bounding Boxes" / f"{stem}.xml"
                _write(path, _xml(f"{stem}.jpg", things))


def _hrsc(root: Path, truth: Truth, name: str) -> None:
    del name
    for part, images in truth.items():
        listed = "val" if part == "validation" else part
        _write(root / f"ImageSets/{listed}.txt", "\n".join(images) + "\n")
        for stem, objects in images.items():
            _picture(root / f"FullDataSet/AllImages/{stem}.bmp")
            things = ""
            for _, box in objects:
                x, y, w, h, r = box
                values = {
                    "Class_ID": 100000013, "difficult": 0,
                    **dict(zip(("box_xmin", "box_ymin", "box_xmax", "box_ymax"), edges(box),
                               strict=True)),
                    "mbox_cx": x, "mbox_cy": y, "mbox_w": w, "mbox_h": h, "mbox_ang": -r,
                }  # fmt: skip
                inner = "".join(f"<{tag}>{value}</{tag}>" for tag, value in values.items())
                things += f"<HRSC_Object>{inner}</HRSC_Object>"
            text = f"<HRSC_Image><HRSC_Objects>{things}</HRSC_Objects></HRSC_Image>"
            _write(root / f"FullDataSet/Annotations/{stem}.xml", text)


def _hrsid(root: Path, truth: Truth, name: str) -> None:
    del name
    for part, images in truth.items():
        content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "ship"}]}
        for stem, objects in images.items():
            _picture(root / f"JPEGImages/{stem}.jpg")
            entry = {"file_name": f"{stem}.jpg", "id": int(stem), "height": SIZE, "width": SIZE}
            content["images"].append(entry)
            for _, box in objects:
                left, top, right, bottom = edges(box)
                content["annotations"].append(
                    {
                        "id": len(content["annotations"]), "image_id": int(stem),
                        "category_id": 1, "iscrowd": 0,
                        "bbox": [left, top, right - left, bottom - top],
                        "segmentation": [corners(box)],
                    }
                )  # fmt: skip
        _write(root / f"annotations/{part}2017.json", json.dumps(content))


def _ssdd(root: Path, truth: Truth, name: str) -> None:
    """Every file lies there twice: with all others, and in its part."""
    del name
    for part, images in truth.items():
        for stem, objects in images.items():
            for style in ("BBox_SSDD", "RBox_SSDD"):
                things = []
                for kind, box in objects:
                    inner = _bndbox(box, 0)
                    if style == "RBox_SSDD":
                        tags = [f"{axis}{number}" for number in range(1, 5) for axis in "xy"]
                        pairs = zip(tags, corners(box), strict=True)
                        inner = "".join(f"<{tag}>{value:.4f}</{tag}>" for tag, value in pairs)
                        inner = f"<rotated_bndbox>{inner}</rotated_bndbox>"
                    things.append(_object(kind, inner))
                folder = root / style / "voc_style"
                for ending in ("", f"_{part}"):
                    _picture(folder / f"JPEGImages{ending}" / f"{stem}.jpg")
                    _write(
                        folder / f"Annotations{ending}" / f"{stem}.xml",
                        _xml(f"{stem}.jpg", things),
                    )


def _aircraft(root: Path, truth: Truth, name: str) -> None:
    del name
    for part, images in truth.items():
        listed = "val" if part == "validation" else part
        _write(root / f"ImageSets/Main/{listed}.txt", "\n".join(images) + "\n")
        for stem, objects in images.items():
            _picture(root / f"JPEGImages/{stem}.jpg", gray=True)
            things = [_object(kind, _bndbox(box, 1)) for kind, box in objects]
            _write(root / f"Annotations/{stem}.xml", _xml(f"{stem}.jpg", things))


def _dota(root: Path, truth: Truth, name: str) -> None:
    version = name.removeprefix("DOTA-v")
    for part, images in truth.items():
        short = "val" if part == "validation" else part
        inner = f"labelTxt-v{version}/DOTA-v{version}_{short}" if version != "1.0" else "labelTxt"
        deeper = "" if version == "1.0" else "part4"
        for stem, objects in images.items():
            _picture(root / short / "images" / deeper / f"{stem}.png")
            _picture(root / short / "images" / ".thumbnails" / f"{stem}.png")
            lines = ["imagesource:GoogleEarth", "gsd:0.15"]
            for kind, box in objects:
                numbers = " ".join(f"{number:.4f}" for number in corners(box))
                lines.append(f"{numbers} {kind} 0")
            _write(root / short / inner / f"{stem}.txt", "\n".join(lines) + "\n")


def _air_mot(root: Path, truth: Truth, name: str) -> None:
    """Each image of the truth is one frame of sequence 100, whose names have the video's number."""
    for images in truth.values():
        lines = []
        for frame, objects in enumerate(images.values(), 1):
            _picture(root / "100" / "img" / f"{frame:06d}_8.jpg")
            for identity, (kind, box) in enumerate(objects, 1):
                left, top, right, bottom = edges(box)
                code = BENCHMARKS[name].classes[kind]
                numbers = (left + 1, top + 1, right - left, bottom - top)
                place = ",".join(f"{number:.4f}" for number in numbers)
                lines.append(f"{frame},{identity},{place},1,{code},1")
        _write(root / "100" / "gt" / "gt.txt", "\n".join(lines) + "\n")
