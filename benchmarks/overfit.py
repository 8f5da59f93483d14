"""Whether detectors can learn by heart: trained and scored on the same few real images.

    python -m benchmarks.overfit [--sets dota ssdd hrsid wpafb] [--heads ...] [--threads 2]
    python -m benchmarks.overfit --table

A check of the pipeline, not of what a model is worth: labels, cutting, losses, decoding and metrics
must agree for mAP50 to come near 1 on tiles that were trained on. Each figure is a cell, one JSON
file: images x head, from random weights. What is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cells import fill_cell
from benchmarks.task_runs import drop_training_state
from ringmoe.datasets import DataConfig, classes_of, label_of, open_data
from ringmoe.tasks import TASKS, FinetuneConfig, finetune
from ringmoe.tasks.validation import FILE, best_of
from ringmoe.training import read_metrics

HERE = Path(__file__).parent
SAR = {"sensor": "sar-amplitude-dn8", "bands": ["unknown", "-", "-"]}
SETS: dict[str, dict[str, Any]] = {
    # P0706: 531 ships. Its 5 harbours are piers of 600 x 16 px, of which no tile has one whole
    "dota": {"path": "dota", "sensor": "rgb-dn8", "classes": ["ship"], "ignore": ["harbor"]},
    "ssdd": {"path": "ssdd/coco", **SAR},
    "hrsid": {"path": "hrsid", **SAR},
    "wpafb": {"path": "wpafb", "sensor": "rgb-dn8", "bands": ["green"], "tile_size": 0},  # grey
}
EMPTY = {"hrsid": 4}  # of the tiles without a ship, two thirds of all, one in four is learned
FIRST = {"wpafb": 1}  # its first two frames are one picture with two truths
HEADS: dict[str, dict[str, Any]] = {  # the task and its options
    "faster-rcnn": {"task": "detection"},
    "oriented-fcos": {"task": "oriented-detection"},
    "oriented-rcnn": {"task": "oriented-detection", "method": "rcnn"},
    # points with squares of 10 px around them: matched within 8 px
    "faster-rcnn-tracks": {"task": "tracking", "reach": 32.0, "score_distance": 16.0},
}
TILE = 256
SETTINGS: dict[str, Any] = {
    "steps": 400,
    "batch_size": 4,
    "learning_rate": 0.064,  # for 256 images: the peak is 1.0e-3
    "head_rate": 2.0,
    "warmup_steps": 40,
    "crop_size": TILE,
    "augment": False,
    "evaluate_every": 100,
    "checkpoint_every": 1000,
    "tensorboard": False,
}
MORE = {"dota": 2.0, "hrsid": 1.6, "wpafb": 4.0}  # times the steps: more to see than of SSDD
OTHER: dict[str, dict[str, Any]] = {  # of images and of heads
    # crops of whole frames, which are learned little by little
    "wpafb": {"crop_size": 128, "batch_size": 8, "learning_rate": 0.032, "augment": True},
    "oriented-fcos": {"learning_rate": 0.0192},  # 3.0e-4: at more it gives one answer
}


def heads_of(name: str) -> list[str]:
    """Of wpafb the vehicles are followed, elsewhere objects are found."""
    return [head for head in HEADS if head.endswith("tracks") == (name == "wpafb")]


def measure(
    name: str, head: str, settings: dict[str, Any], data: Path, runs: Path
) -> dict[str, Any]:
    """The best figures of one run on its own training tiles."""
    options = dict(HEADS[head])
    task = options.pop("task")
    given = {"tile_size": TILE, **SETS[name], "path": data / SETS[name]["path"]}
    examples = open_data(DataConfig(**given), TASKS[task].label_kind)
    everything = np.arange(FIRST.get(name, 0), len(examples))
    objects = np.array([len(classes_of(label_of(examples, int(i)))) for i in everything])
    learned = everything[(objects > 0) | (everything % EMPTY.get(name, 1) == 0)]
    config = FinetuneConfig(
        checkpoint="nano",
        out=runs / f"{name}-{head}",
        options={"channels": 64, "score_threshold": 0.01, **options},
        **settings,
    )
    split = {"train": learned, "validation": learned}
    resume = (config.out / "config.yaml").exists()
    run = finetune(task, config, examples, split=split, resume=resume, progress=False)
    drop_training_state(run.run_dir)
    lines = read_metrics(run.run_dir / FILE)
    return {"tiles": len(learned), "train": best_of(lines, TASKS[task])}


def table(results: Path) -> str:
    """mAP50 in per cent by images and head, of tracks MOTA besides."""
    lines = ["| images | tiles | head | mAP50 | MOTA | at step |", "|" + " --- |" * 6]
    for path in sorted(results.glob("*.json")):
        cell = json.loads(path.read_text())
        found, best = cell["result"], cell["result"]["train"]
        mota = f"{best['mota']:.3f}" if "mota" in best else ""
        row = [cell["images"], found["tiles"], cell["head"], f"{100 * best['map50']:.1f}", mota]
        lines.append("| " + " | ".join(map(str, [*row, best["step"]])) + " |")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--sets", nargs="+", choices=SETS, default=list(SETS))
    add("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    add("--steps", type=int, default=SETTINGS["steps"], help="of SSDD, more of others")
    add("--data", type=Path, default=Path(os.environ.get("RINGMOE_DATA", "../shared/data")))
    add("--runs", type=Path, default=Path("runs/overfit"), help="folder of run folders")
    add("--results", type=Path, default=HERE / "results" / "overfit", help="folder of cells")
    add("--threads", type=int, default=None, help="of torch")
    add("--table", action="store_true", help="print the cells as markdown")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.table:
        print(table(args.results))
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    for name in args.sets:
        for head in [head for head in heads_of(name) if head in args.heads]:
            steps = round(MORE.get(name, 1.0) * args.steps)
            settings = SETTINGS | {"steps": steps} | OTHER.get(name, {}) | OTHER.get(head, {})
            fill_cell(
                args.results / f"{name}-{head}.json",
                {"images": name, "head": head},
                settings,
                partial(measure, name, head, settings, args.data, args.runs),
            )


if __name__ == "__main__":
    main()
