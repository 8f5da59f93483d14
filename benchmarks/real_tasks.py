"""What fine-tuning on real labelled images reaches: `python -m benchmarks.real_tasks --help`.

Each figure is a cell, one JSON file: task x start x seed. What is there is not measured again. A
start is the pre-trained backbone, the dense one pre-trained alike, or random weights; MSTAR has
A-ConvNet beside them. The best weights on the validation part are scored once on the test part;
where the plan trains on both parts, as published splits have it, the last weights.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.aconvnet import predict, train_a_convnet
from benchmarks.cells import fill_cell
from benchmarks.task_data import Held, Split, middle, real_data, without_clutter
from benchmarks.task_runs import drop_training_state, pre_trained_on, run_config, table
from ringmoe.datasets import LabelledData
from ringmoe.sensors import normalise
from ringmoe.tasks import TASKS, evaluate, finetune, load_task
from ringmoe.tasks.building import make_loader
from ringmoe.tasks.validation import FILE, best_of
from ringmoe.training import read_metrics

HERE = Path(__file__).parent
A_CONVNET = "a-convnet"
WITHOUT = "-without-clutter"


def settings_of(plan: dict[str, Any], task: str, start: str) -> dict[str, Any]:
    """What the figures of a cell depend on."""
    return plan["a_convnet"] if start == A_CONVNET else plan["tasks"][task]


def data_of(task: str, root: Path, size: int | None = None) -> tuple[LabelledData, Split]:
    """Examples and split of a task of the plan; of images their middle `size` pixels."""
    data, split = real_data(task.removesuffix(WITHOUT), root)
    if task.endswith(WITHOUT):
        assert isinstance(data, Held)
        data = without_clutter(data)
    if size:
        assert isinstance(data, Held)
        data = middle(data, size)
    return data, split


def training_split(split: Split, parts: Sequence[str]) -> Split:
    """The split whose training examples are those of these parts: what is learnt is not watched."""
    both = np.concatenate([split[part] for part in parts])
    left = {name: rows for name, rows in split.items() if name not in parts}
    return {"validation": np.empty(0, np.int64), **left, "train": both}


def measure(
    plan: dict[str, Any], task: str, start: str, seed: int, root: Path, runs: Path
) -> dict[str, Any]:
    """The figures of one cell."""
    settings = settings_of(plan, task, start)
    data, split = data_of(task, root, settings.get("middle"))
    split = training_split(split, settings.get("train_on", ["train"]))
    if start == A_CONVNET:
        return beside(data, split, seed, settings["epochs"])
    kind = settings["task"]
    config = run_config(plan, task, start, seed, runs)
    resume = (config.out / "config.yaml").exists()
    result = finetune(kind, config, data, split=split, resume=resume, progress=False)
    model = load_task(result.model_dir, kind)
    figures = evaluate(model, make_loader(data, split["test"], config).epoch())
    drop_training_state(result.run_dir)
    if not len(split["validation"]):
        return {"test": figures}
    lines = read_metrics(result.run_dir / FILE)
    return {"validation": best_of(lines, TASKS[kind]), "test": figures}


def beside(data: LabelledData, split: Split, seed: int, epochs: int) -> dict[str, Any]:
    """A-ConvNet on the same chips and split."""
    assert isinstance(data, Held)
    images = normalise(data.values, data.sources["image"].channels)[:, 0]
    known = split["train"]
    classes = len(data.classes)
    net = train_a_convnet(
        images[known], data.labels[known], classes=classes, epochs=epochs, seed=seed
    )
    found = predict(net, images[split["test"]]).numpy()
    return {"test": {"overall_accuracy": float((found == data.labels[split["test"]]).mean())}}


def run_cells(args: argparse.Namespace, plan: dict[str, Any]) -> None:
    """Measure what is not there yet."""
    for seed in args.seeds:
        for task in args.tasks or plan["tasks"]:
            own = [A_CONVNET] if task.startswith("mstar") else []
            for start in args.starts or [*plan["starts"], *own]:
                path = args.results / task / f"{start}-seed{seed}.json"
                if start == A_CONVNET and not own:
                    continue
                if seed not in plan["tasks"][task].get("seeds", args.seeds):
                    continue  # a sanity check
                fill_cell(
                    path,
                    {
                        "task": task,
                        "start": start,
                        "seed": seed,
                        "pre_trained_on": pre_trained_on(plan, start, seed),
                    },
                    settings_of(plan, task, start),
                    partial(measure, plan, task, start, seed, args.data, args.runs),
                )


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tasks", nargs="+", default=None, help="of the plan; default: all")
    add("--starts", nargs="+", default=None, help="of the plan, or a-convnet; default: all")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--data", type=Path, default=Path(os.environ.get("RINGMOE_DATA", "../shared/data")))
    add("--runs", type=Path, default=Path("runs/real/tasks"), help="folder of run folders")
    add("--results", type=Path, default=HERE / "results" / "real_tasks", help="folder of cells")
    add("--plan", type=Path, default=HERE / "real_tasks.yaml")
    add("--threads", type=int, default=None, help="of torch")
    add("--table", action="store_true", help="print the cells as markdown")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = yaml.safe_load(args.plan.read_text())
    if args.table:
        print(table(args.results, plan, [*plan["starts"], A_CONVNET]))
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    run_cells(args, plan)


if __name__ == "__main__":
    main()
