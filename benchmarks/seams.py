"""What tiles leave in a trained model's map: `python -m benchmarks.seams RUN SCENE [--out FILE]`.

RUN is one of `ringmoe finetune segmentation` on single images, SCENE an image of its sensor. The
score of the commonest class is mapped with tiles that overlap by a quarter, blended; with tiles
side by side; and with tiles of twice the size. Printed are the seam ratio (steps of the score
across the lines where tiles begin and end, over steps elsewhere), how much the score depends on the
size of the tiles, and in how many pixels the class does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch

from benchmarks.environment import describe_environment
from benchmarks.scene import OneScore, map_values, seam_ratio
from ringmoe.cli.predict import model_folder
from ringmoe.deployment import predict_scene
from ringmoe.scenes import Scene, open_scene
from ringmoe.tasks import TaskModel, load_task, read_task


def map_classes(model: TaskModel, scene: Scene, tile_size: int, folder: Path) -> np.ndarray:
    """`(H, W)` class indices."""
    out = folder / "classes.tif"
    classes = model.task.classes
    predict_scene(model, scene, out, kind="classes", classes=classes, tile_size=tile_size)
    with rasterio.open(out) as dataset:
        return dataset.read(1)


def measure(run: Path, path: str, folder: Path) -> dict[str, Any]:
    """The figures, as JSON can hold them."""
    model, tile_size = load_task(model_folder(run)), read_task(model_folder(run))["tile_size"]
    source = model.sources["image"]
    scene = open_scene(path, source.instrument, channels=source.channels, encoding=source.encoding)
    classes = {size: map_classes(model, scene, size, folder) for size in (tile_size, 2 * tile_size)}
    known = np.logical_and(*(found < len(model.task.classes) for found in classes.values()))
    commonest = int(np.bincount(classes[tile_size][known]).argmax())
    score = OneScore(model, commonest)
    blended, beside, larger = (
        map_values(score, scene, size, folder, overlap)
        for size, overlap in (
            (tile_size, tile_size // 4),
            (tile_size, 0),
            (2 * tile_size, tile_size // 2),
        )
    )
    return {
        "scene": [scene.height, scene.width],
        "tile_size": tile_size,
        "class": model.task.classes[commonest],
        "seam_ratio": {
            "blended": _both_ways(blended, tile_size, tile_size // 4),
            "side by side": _both_ways(beside, tile_size, 0),
        },
        "tiles_of_twice_the_size": {
            "difference_of_score": float(np.nanmean(np.abs(blended - larger)) / np.nanstd(larger)),
            "other_class": float((np.not_equal(*classes.values()) & known).sum() / known.sum()),
        },
    }


def _both_ways(values: np.ndarray, tile_size: int, overlap: int) -> float:
    ratios = [seam_ratio(grid, tile_size, overlap) for grid in (values, values.T)]
    return float(np.mean(ratios))


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("scene")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--out", type=Path, help="write the result to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.run, options.scene, Path(folder))
    found |= {"command": " ".join(["python", *sys.orig_argv[1:]])}
    text = json.dumps(found | {"environment": describe_environment()}, indent=1)
    if options.out is not None:
        options.out.write_text(text + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
