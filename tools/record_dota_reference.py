"""Record what the DOTA development kit scores, for the tests of `ringmoe.tasks.metrics`.

    python -m tools.record_dota_reference KIT --data FOLDER

KIT is a checkout of github.com/CAPTAIN-WHU/DOTA_devkit, FOLDER the one with `dota/labelTxt` in it.
It needs g++, for the kit's polygon IoU is C++. Written is `tests/tasks/references/dota.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import io
import json
import subprocess
import sys
import tempfile
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.tasks.dota_scenes import CLASSES, Scene, drawn_scenes, real_scene

from ringmoe.boxes import cxcywhr_to_corners

OUT = Path(__file__).resolve().parents[1] / "tests" / "tasks" / "references" / "dota.json"

IOU = """
extern "C" double iou(const double* p, const double* q) {
    return iou_poly(std::vector<double>(p, p + 8), std::vector<double>(q, q + 8));
}
"""


def open_kit(kit: Path, folder: Path) -> Any:
    """The kit's module of task 1, with its C++ as a library in place of its SWIG module."""
    source, library = folder / "iou.cpp", folder / "iou.so"
    source.write_text((kit / "polyiou.cpp").read_text(encoding="utf-8") + IOU, encoding="utf-8")
    subprocess.run(["g++", "-O2", "-shared", "-fPIC", source, "-o", library], check=True)
    iou = ctypes.CDLL(str(library)).iou
    iou.restype = ctypes.c_double
    polyiou: Any = types.ModuleType("polyiou")
    polyiou.VectorDouble = lambda values: (ctypes.c_double * 8)(*values)
    polyiou.iou_poly = iou
    sys.modules["polyiou"] = polyiou
    vars(np).setdefault("bool", bool)  # the kit's name for it; NumPy 2 has it again
    sys.path.insert(0, str(kit))
    return importlib.import_module("dota_evaluation_task1")


def scores(task1: Any, scenes: Sequence[Scene], folder: Path) -> dict[str, dict[str, float]]:
    """Average precision of each class, from files in DOTA's format."""
    for scene in scenes:
        lines = [
            f"{_numbers(corners)} {CLASSES[k]} {int(difficult)}"
            for corners, k, difficult in zip(
                scene.corners, scene.classes, scene.difficult, strict=True
            )
        ]
        (folder / f"{scene.name}.txt").write_text("\n".join(lines))
    (folder / "images").write_text("\n".join(scene.name for scene in scenes))
    results = {}
    for k, name in enumerate(CLASSES):
        lines = [
            f"{scene.name} {float(score)!r} {_numbers(cxcywhr_to_corners(box))}"
            for scene in scenes
            for box, label, score in zip(
                scene.found.boxes, scene.found.classes, scene.found.scores, strict=True
            )
            if label == k
        ]
        if not any((scene.classes == k).any() for scene in scenes):
            continue
        (folder / f"Task1_{name}.txt").write_text("\n".join(lines))
        files = (folder / "Task1_{:s}.txt", folder / "{:s}.txt", folder / "images")
        with contextlib.redirect_stdout(io.StringIO()):
            results[name] = {
                rule: float(task1.voc_eval(*map(str, files), name, 0.5, rule == "voc07")[2])
                for rule in ("voc07", "voc12")
            }
    return results


def _numbers(corners: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in corners)


def main() -> None:
    """Score all scenes and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kit", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    head = ["git", "-C", given.kit, "rev-parse", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as name:
        task1 = open_kit(given.kit, Path(name))
        recorded = {
            "source": f"github.com/CAPTAIN-WHU/DOTA_devkit at {commit}, dota_evaluation_task1.py",
            "drawn": {
                form: scores(task1, drawn_scenes(form == "quads"), Path(name))
                for form in ("rectangles", "quads")
            },
            "P0706": {
                form: scores(task1, [real_scene(given.data, form == "quads")], Path(name))
                for form in ("rectangles", "quads")
            },
        }
    OUT.write_text(json.dumps(recorded, indent=2) + "\n")


if __name__ == "__main__":
    main()
