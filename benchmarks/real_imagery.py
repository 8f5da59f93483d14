"""What pre-training on real imagery is worth: `python -m benchmarks.real_imagery --help`.

Each figure is a cell, one JSON file: variant x seed x probe. What is there is not measured again,
so a command that was stopped goes on where it was, and several may share the work by variant or
by seed. `--stage select` scores on the validation part of the training data alone, to choose
recipes with; `--stage final` scores the test part. `--table` prints what the cells say.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.cells import fill_cell
from benchmarks.real_features import (
    PIXEL_STEP,
    FeatureSource,
    Network,
    Pixels,
    Samples,
    Statistics,
    benchmark,
    image_samples,
    pixel_samples,
)
from benchmarks.real_table import tables
from ringmoe.archive import Archive
from ringmoe.models import create_model, load_model
from ringmoe.pretraining import (
    HeldOut,
    PretrainConfig,
    evaluate,
    load_objective,
    make_objective,
    pretrain,
)
from ringmoe.probing import choose_k, choose_l2, linear_probe, nearest_neighbours
from ringmoe.training import read_metrics, to_plain
from ringmoe.training.config import FREE_ON_RESUME

HERE = Path(__file__).parent
IMAGE_PROBES = ("aid-linear", "aid-knn", "mstar-linear", "mstar-knn")
PROBES = (*IMAGE_PROBES, "polsf-linear", "land-use-linear")
UNTRAINED = {"random": PROBES, "statistics": PROBES, "pixels": ("mstar-knn",)}
TRAINED = ("pretraining", "held-out", *PROBES)


@dataclass(frozen=True)
class Settings:
    """Where things are, and what there is to measure.

    Attributes:
        plan: What `real_imagery.yaml` holds.
        data: The folder of real imagery.
        archive: What `ringmoe ingest` made of it.
        runs: Folder of run folders.
        stage: "select" or "final".
    """

    plan: dict[str, Any]
    data: Path
    archive: Path
    runs: Path
    stage: str

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """Of each variant and candidate, the settings that differ from the base recipe's."""
        return {name: {} for name in UNTRAINED} | self.plan["variants"] | self.plan["candidates"]

    def recipe(self, variant: str, seed: int) -> PretrainConfig:
        """The base recipe with the variant's settings changed; mappings are merged."""
        recipe = yaml.safe_load((HERE.parent / self.plan["base"]).read_text())
        for key, value in self.changes[variant].items():
            recipe[key] = {**recipe.get(key, {}), **value} if isinstance(value, dict) else value
        recipe |= {"seed": seed, "archive": self.archive}
        return PretrainConfig(**recipe | {"out": self.runs / f"{variant}-seed{seed}"})


class Subject:
    """One variant with one seed, and what is measured of it."""

    def __init__(self, settings: Settings, variant: str, seed: int) -> None:
        self.settings, self.variant, self.seed = settings, variant, seed
        self.recipe = settings.recipe(variant, seed)
        self._samples: dict[str, tuple[Samples, Samples | None]] = {}

    @property
    def probes(self) -> tuple[str, ...]:
        """The names of its cells."""
        return UNTRAINED.get(self.variant, TRAINED)

    def settings_of(self, probe: str) -> dict[str, Any]:
        """What a cell depends on, paths left out: cells of another recipe are not its own."""
        found: dict[str, Any] = {"inputs": self.settings.plan["inputs"].get(probe.split("-")[0])}
        if self.variant == "random":
            found["recipe"] = {"model": self.recipe.model, "overrides": self.recipe.overrides}
        elif self.variant not in UNTRAINED:
            found["recipe"] = to_plain(self.recipe)
            found["recipe"] = {k: v for k, v in found["recipe"].items() if k not in FREE_ON_RESUME}
        return found

    @cached_property
    def source(self) -> FeatureSource:
        """What its features are; a variant that is trained must have been."""
        if self.variant == "statistics":
            return Statistics()
        if self.variant == "pixels":
            return Pixels()
        if self.variant == "random":
            return Network(create_model(self.recipe.model, seed=self.seed, **self.recipe.overrides))
        return Network(load_model(self.recipe.out / "model"))

    def measure(self, probe: str) -> dict[str, Any]:
        """The figures of one cell."""
        if probe == "pretraining":
            return self.pretrain()
        if probe == "held-out":
            return self.held_out()
        name, _, kind = probe.rpartition("-")
        train, test = self.samples(name)
        options: dict[str, Any] = {"validation": train.validation}
        if kind == "knn":
            options["standardised"] = self.variant != "pixels"
        if test is None:
            choose = choose_l2 if kind == "linear" else choose_k
            return asdict(choose(train.x, train.y, **options))
        run = linear_probe if kind == "linear" else nearest_neighbours
        return run(train.x, train.y, test.x, test.y, **options).figures()

    def samples(self, name: str) -> tuple[Samples, Samples | None]:
        """Training samples, and test samples in the final stage; computed once for all probes."""
        if name not in self._samples:
            labelled = benchmark(name, self.settings.data)

            def part(data: Any, validation: np.ndarray) -> Samples:
                if name in PIXEL_STEP:
                    return pixel_samples(self.source, data, validation, PIXEL_STEP[name])
                return image_samples(
                    self.source, data, validation, self.settings.plan["inputs"][name]
                )

            train = part(labelled.train, labelled.validation)
            nothing = np.zeros(len(labelled.test), bool)
            test = part(labelled.test, nothing) if self.settings.stage == "final" else None
            self._samples = {name: (train, test)}
        return self._samples[name]

    def pretrain(self) -> dict[str, Any]:
        """Pre-train, or finish what was begun; seconds of training by the run's own clock."""
        result = pretrain(self.recipe, resume=(self.recipe.out / "config.yaml").exists())
        lines = read_metrics(result.metrics_path)
        steps = [0, *(line["step"] for line in lines)]
        seconds = sum(
            (after - before) * self.recipe.batch_size / line["images_per_s"]
            for before, after, line in zip(steps, steps[1:], lines, strict=False)
        )
        return {"seconds": round(seconds, 1), "last": lines[-1]}

    def held_out(self) -> dict[str, Any]:
        """Masked loss and routing on held-out tiles, with the first weights and the last."""
        archive = Archive.open(self.recipe.archive)
        end = load_objective(self.recipe.out)
        start = make_objective(self.recipe, end.model.config.modalities)
        found = {}
        for moment, objective in (("start", start), ("end", end)):
            held: HeldOut = evaluate(objective, archive, crop_size=self.recipe.crop_size)
            found[moment] = {
                "loss": held.loss,
                "balance": held.balance,
                "dead_experts": held.routing.dead_experts(),
                "images": held.images,
            }
            for branch in ("specialized", "collaborative"):
                shares = getattr(held.routing, branch)
                if shares is not None:
                    found[moment][branch] = [
                        [[round(share, 4) for share in block] for block in modality]
                        for modality in shares.tolist()
                    ]
        return found | {"modalities": list(end.model.config.modalities)}


def run_cells(settings: Settings, variants: list[str], seeds: list[int], results: Path) -> None:
    """Measure what is not there yet.

    Raises:
        ConfigError: A cell is there, but of other settings.
    """
    for variant in variants:
        for seed in seeds if variant not in ("statistics", "pixels") else [0]:
            subject = Subject(settings, variant, seed)
            for probe in subject.probes:
                path = results / settings.stage / variant / f"seed{seed}-{probe}.json"
                names = {
                    "variant": variant,
                    "seed": seed,
                    "probe": probe,
                    "stage": settings.stage,
                }
                fill_cell(path, names, subject.settings_of(probe), partial(subject.measure, probe))


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--stage", choices=("select", "final"), default="select")
    add("--variants", nargs="+", default=None, help="default: all, and the untrained ones")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--data", type=Path, default=os.environ.get("RINGMOE_DATA", "../shared/data"))
    add("--archive", type=Path, default=Path("runs/real/archive"))
    add("--runs", type=Path, default=Path("runs/real/pretraining"), help="folder of run folders")
    add("--results", type=Path, default=HERE / "results" / "real_imagery", help="folder of cells")
    add("--plan", type=Path, default=HERE / "real_imagery.yaml", help="variants and inputs")
    add("--threads", type=int, default=None, help="of torch")
    add("--table", action="store_true", help="print tables of the stage's cells as markdown")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.table:
        print(tables(args.results / args.stage))
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    plan = yaml.safe_load(args.plan.read_text())
    settings = Settings(plan, Path(args.data), args.archive, args.runs, args.stage)
    variants = args.variants or [*UNTRAINED, *plan["variants"]]
    if unknown := sorted(set(variants) - set(settings.changes)):
        parser.error(f"no variant {', '.join(unknown)}: choose of {', '.join(settings.changes)}")
    run_cells(settings, variants, args.seeds, args.results)


if __name__ == "__main__":
    main()
