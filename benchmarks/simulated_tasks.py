"""What fine-tuning reaches on simulated scenes of other seeds: every task, three starts.

    python -m benchmarks.simulated_tasks --prepare [--starts ...] [--seeds 0 1 2]
    python -m benchmarks.simulated_tasks [--tasks ...] [--starts ...] [--seeds 0 1 2]
    python -m benchmarks.simulated_tasks --table

The first command simulates and pre-trains. Each figure is a cell, one JSON file: task x start x
seed; what is there is not measured again. A start is the backbone pre-trained on simulated scenes
without labels, a dense one pre-trained alike, or random weights. The best weights on a validation
part of the training scenes are scored once, on scenes drawn by other seeds.
"""

from __future__ import annotations

import argparse
import logging
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.cells import fill_cell
from benchmarks.task_runs import drop_training_state, pre_trained_on, run_config, table
from ringmoe.archive import Source, ingest
from ringmoe.datasets import DataConfig
from ringmoe.pretraining import PretrainConfig, pretrain
from ringmoe.simulation import Film, write_simulation
from ringmoe.tasks import best_validation, evaluate_run, finetune

logger = logging.getLogger("benchmarks.simulated_tasks")

HERE = Path(__file__).parent


def simulate(folder: Path, settings: dict[str, Any]) -> Path:
    """A folder of scenes, simulated if it is not there."""
    if not (folder / "simulation.json").exists():  # the manifest is written last
        logger.info("simulating %s", folder)
        film = Film(**settings.get("film", {}))
        write_simulation(folder, **settings | {"film": film})
    return folder


def prepare(plan: dict[str, Any], root: Path, starts: list[str], seeds: list[int]) -> None:
    """All scenes, the archive, and the starts that are pre-trained."""
    for name, parts in plan["scenes"].items():
        for part, settings in parts.items():
            simulate(root / "scenes" / f"{name}-{part}", settings)
    settings = dict(plan["archive"])
    archive, tile_size = root / "archive", settings.pop("tile_size")
    scenes = simulate(root / "scenes" / "archive", settings)
    if not archive.exists():
        ingest([Source((scenes.name,))], archive, tile_size=tile_size, root=scenes.parent)
    for start in starts:
        for seed in seeds if start in plan["pretraining"] else ():
            out = Path(plan["starts"][start].format(seed=seed)).parent
            logger.info("pre-training %s", out)
            config = PretrainConfig(
                archive=archive, out=out, seed=seed, **plan["pretraining"][start]
            )
            pretrain(config, resume=(out / "config.yaml").exists())


def measure(plan: dict[str, Any], root: Path, task: str, start: str, seed: int) -> dict[str, Any]:
    """The figures of one cell."""
    settings = plan["tasks"][task]
    config = run_config(plan, task, start, seed, root / "runs")
    scenes = root / "scenes"
    data = DataConfig(path=scenes / f"{settings['scenes']}-train", **settings["data"])
    resume = (config.out / "config.yaml").exists()
    result = finetune(settings["task"], config, data, resume=resume, progress=False)
    # whole scenes: tiles that they are cut into for training cut objects too
    test = scenes / f"{settings['scenes']}-test"
    _, figures = evaluate_run(result.run_dir, other=test, tile_size=0)
    drop_training_state(result.run_dir)
    return {"validation": best_validation(result.run_dir), "test": figures}


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--prepare", action="store_true", help="simulate and pre-train, no more")
    add("--tasks", nargs="+", default=None, help="of the plan; default: all")
    add("--starts", nargs="+", default=None, help="of the plan; default: all")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--root", type=Path, default=Path("runs/simulated"), help="folder of scenes and runs")
    add("--results", type=Path, default=HERE / "results" / "simulated_tasks", help="of cells")
    add("--plan", type=Path, default=HERE / "simulated_tasks.yaml")
    add("--threads", type=int, default=None, help="of torch")
    add("--table", action="store_true", help="print the cells as markdown")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = yaml.safe_load(args.plan.read_text())
    starts = args.starts or list(plan["starts"])
    if args.table:
        print(table(args.results, plan, starts))
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.prepare:
        prepare(plan, args.root, starts, args.seeds)
        return
    for seed in args.seeds:
        for task in args.tasks or plan["tasks"]:
            for start in starts:
                if seed not in plan["tasks"][task].get("seeds", args.seeds):
                    continue
                fill_cell(
                    args.results / task / f"{start}-seed{seed}.json",
                    {
                        "task": task,
                        "start": start,
                        "seed": seed,
                        "pre_trained_on": pre_trained_on(plan, start, seed),
                    },
                    plan["tasks"][task],
                    partial(measure, plan, args.root, task, start, seed),
                )


if __name__ == "__main__":
    main()
