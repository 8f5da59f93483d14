"""What pruning costs: accuracy of a model made smaller for one modality, by method.

    python -m benchmarks.compression [--seeds 0 1 2] [--modalities ...] [--methods ...]
    python -m benchmarks.compression --table [--figure docs/images/compression.png]

Each figure is a cell, one JSON file: modality x method x seed x moment ("before" and "after" the
same short distillation from the unpruned model). What is there is not measured again. The models
to prune are the final runs of benchmarks/real_imagery.py.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.cells import fill_cell
from benchmarks.compression_table import draw, table
from benchmarks.real_features import Network, benchmark, image_samples
from ringmoe.archive import Archive
from ringmoe.models import ModelConfig, describe, load_model, read_config
from ringmoe.pretraining import (
    MaskedModelling,
    PretrainConfig,
    evaluate,
    load_objective,
    objective_around,
    pretrain,
)
from ringmoe.probing import linear_probe, nearest_neighbours
from ringmoe.pruning import DistilConfig, calibrate, distil, method_named, prune, quantise
from ringmoe.pruning.statistics import statistics_folder
from ringmoe.training import RunFolder

HERE = Path(__file__).parent
SCRATCH, INT8 = "from scratch", "int8"
HELD_OUT_IMAGES = 256


@dataclass(frozen=True)
class Case:
    """One full model, and what is made of it for one modality.

    Attributes:
        plan: What `compression.yaml` holds.
        data: The folder of real imagery.
        archive: What the full model was trained on.
        out: Folder for pruned and distilled models.
        modality: What the results serve.
        seed: Of the full model.
    """

    plan: dict[str, Any]
    data: Path
    archive: Path
    out: Path
    modality: str
    seed: int

    @property
    def full(self) -> Path:
        """The run folder of the full model."""
        return Path(self.plan["runs"].format(seed=self.seed))

    def folder(self, method: str) -> Path:
        """Where the models of a method are."""
        name = method.lower().replace(" ", "-").replace("-%", "")
        return self.out / self.modality / f"{name}-seed{self.seed}"

    def pruned(self, method: str) -> Path:
        """The checkpoint of a method, made if it is not there."""
        options = dict(self.plan["methods"][method])
        if not options:
            return self.full / "model"
        out = self.folder(method) / "pruned"
        if not out.exists() and INT8 in options:
            of = options[INT8]
            quantise(self.distilled(of) if "after" in self.moments(of) else self.pruned(of), out)
        elif not out.exists():
            chosen = method_named(options.pop("method"), **options)
            if chosen.needs_statistics and not statistics_folder(self.full / "model").exists():
                calibrate(self.full / "model", self.archive, **self.plan["calibration"])
            prune(self.full / "model", out, chosen, modalities=[self.modality])
        return out

    def moments(self, method: str) -> tuple[str, ...]:
        """When a method is measured."""
        if method == SCRATCH:
            return ("after",)
        options = self.plan["methods"][method]
        exact = not options or options.get("method") == "submodel"
        return ("before",) if exact or INT8 in options else ("before", "after")

    def distilled(self, method: str) -> Path:
        """The same after distillation."""
        out = self.folder(method) / "distilled"
        config = DistilConfig(
            teacher=self.full / "model",
            student=self.pruned(method),
            archive=self.archive,
            out=out,
            modalities=[self.modality],
            crop_size=self.recipe.crop_size,
            seed=self.seed,
            **self.plan["distillation"],
        )
        return distil(config, resume=(out / "config.yaml").exists()).model_dir

    def from_scratch(self) -> Path:
        """The run of a dense model that is pre-trained for as many FLOPs as distillation takes."""
        settings = self.plan["distillation"]
        shape = read_config(self.full / "model").replace(modalities=(self.modality,))
        flops = describe(shape)["flops_per_image"]
        distilled = settings["steps"] * settings["batch_size"]
        images = distilled * work_of_distillation(flops["total"], flops["dense"])
        own = self.plan["scratch"]
        config = {
            **RunFolder(self.full).config(),
            "out": self.folder(SCRATCH) / "run",
            "archive": self.archive,
            "overrides": {"specialized_experts": 0, "collaborative_experts": 0},
            "modalities": [self.modality],
            "shares": {},
            "steps": round(images / own["batch_size"]),
            "seed": self.seed,
            **own,
        }
        recipe = PretrainConfig(**config)
        return pretrain(recipe, resume=(recipe.out / "config.yaml").exists()).run_dir

    @property
    def recipe(self) -> PretrainConfig:
        """What the full model was trained by."""
        return PretrainConfig.from_run(RunFolder(self.full))

    def measure(self, method: str, moment: str) -> dict[str, Any]:
        """The figures of one cell."""
        if method == SCRATCH:
            run = self.from_scratch()
            objective, path = load_objective(run), run / "model"
        else:
            path = self.pruned(method) if moment == "before" else self.distilled(method)
            objective = self._with_own_decoder(path)
        held = evaluate(
            objective,
            Archive.open(self.archive),
            images=HELD_OUT_IMAGES,
            crop_size=self.recipe.crop_size,
        )
        return sizes(path, self.modality) | {
            "masked_loss": held.loss[self.modality],
            **self._probes(path),
        }

    def _with_own_decoder(self, path: Path) -> MaskedModelling:
        """A pruned model with the full one's mask token and decoder."""
        whole = _objective(self.full)
        objective = objective_around(load_model(path, [self.modality]), self.recipe)
        name = f"{self.modality}."
        decoders = whole.decoders.state_dict().items()
        objective.decoders.load_state_dict({k: v for k, v in decoders if k.startswith(name)})
        objective.mask_token.data.copy_(whole.mask_token)
        return objective.eval()

    def _probes(self, path: Path) -> dict[str, Any]:
        name = self.plan["modalities"][self.modality]
        labelled = benchmark(name, self.data)
        source = Network(load_model(path, [self.modality]))
        fit = yaml.safe_load((HERE / "real_imagery.yaml").read_text())["inputs"][name]
        train = image_samples(source, labelled.train, labelled.validation, fit)
        test = image_samples(source, labelled.test, np.zeros(len(labelled.test), bool), fit)
        found: dict[str, Any] = {}
        for kind, run in (("linear", linear_probe), ("knn", nearest_neighbours)):
            result = run(train.x, train.y, test.x, test.y, validation=train.validation)
            hits = (result.predicted == test.y).numpy()
            found[kind] = result.figures() | {"hits": np.packbits(hits).tobytes().hex()}
        return found | {"test_images": len(test.y)}


def work_of_distillation(teacher: float, student: float) -> float:
    """What an image of distillation takes over one of pre-training the student.

    Distillation is a forward pass of the teacher and three of the student's cost, a backward pass
    being two forward ones; pre-training is the latter alone.

    Args:
        teacher: FLOPs of a forward pass.
        student: The same.
    """
    return (teacher + 3 * student) / (3 * student)


@lru_cache(maxsize=1)
def _objective(run: Path) -> MaskedModelling:
    return load_objective(run)


def sizes(path: Path, modality: str) -> dict[str, Any]:
    """Parameters, FLOPs of one image, and bytes of weights on disk, for one modality."""
    config: ModelConfig = read_config(path)
    if len(config.modalities) > 1:  # the full model is priced whole, its FLOPs are one modality's
        own = config.replace(modalities=(modality,))
        flops = describe(own)["flops_per_image"]["total"]
    else:
        flops = describe(config)["flops_per_image"]["total"]
    return {
        "parameters": describe(config)["parameters"]["total"],
        "flops": flops,
        "bytes": sum(file.stat().st_size for file in path.glob("*.safetensors")),
    }


def run_cells(case: Case, methods: list[str], results: Path) -> None:
    """Measure what is not there yet."""
    for method in methods:
        settings = {key: case.plan[key] for key in ("calibration", "distillation", "scratch")}
        settings["options"] = case.plan["methods"][method]
        for moment in case.moments(method):
            names = {
                "modality": case.modality,
                "method": method,
                "seed": case.seed,
                "moment": moment,
            }
            fill_cell(
                results / case.modality / method / f"seed{case.seed}-{moment}.json",
                names,
                settings,
                partial(case.measure, method, moment),
            )


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--modalities", nargs="+", default=None)
    add("--methods", nargs="+", default=None)
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--data", type=Path, default=os.environ.get("RINGMOE_DATA", "../shared/data"))
    add("--archive", type=Path, default=Path("runs/real/archive"))
    add("--out", type=Path, default=Path("runs/compression"), help="folder of pruned models")
    add("--results", type=Path, default=HERE / "results" / "compression", help="folder of cells")
    add("--plan", type=Path, default=HERE / "compression.yaml", help="methods and settings")
    add("--threads", type=int, default=None, help="of torch")
    add("--table", action="store_true", help="print tables of the cells as markdown")
    add("--figure", type=Path, default=None, help="draw the cells to this PNG")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.table or args.figure:
        if args.table:
            print(table(args.results))
        if args.figure:
            draw(args.results, args.figure)
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    plan = yaml.safe_load(args.plan.read_text())
    for given, known in ((args.modalities, plan["modalities"]), (args.methods, plan["methods"])):
        if unknown := sorted(set(given or ()) - set(known)):
            parser.error(f"no {', '.join(unknown)}: choose of {', '.join(known)}")
    for seed in args.seeds:
        for modality in args.modalities or plan["modalities"]:
            case = Case(plan, Path(args.data), args.archive, args.out, modality, seed)
            run_cells(case, args.methods or list(plan["methods"]), args.results)


if __name__ == "__main__":
    main()
