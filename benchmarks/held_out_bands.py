"""What each kind of stem makes of bands that training never saw.

    python -m benchmarks.held_out_bands [--seeds 0 1 2] [--table]

Nano is pre-trained on some of Sentinel-2's bands and then probed, frozen, with the others alone:
linear classification of land use, pixel by pixel. A named stem's weights for those are what they
were drawn as; a spectral stem computes their kernels from their wavelengths. Beside them stand the
bands that were seen, both kinds with random weights, and statistics without a network.

Each figure is a cell, one JSON file: variant x seed. What is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.cells import fill_cell
from benchmarks.real_features import (
    PIXEL_STEP,
    FeatureSource,
    Network,
    Statistics,
    benchmark,
    pixel_samples,
)
from benchmarks.real_table import markdown, spread
from ringmoe.archive import Archive, Batch, TileLoader
from ringmoe.datasets import LabelledTiles
from ringmoe.pretraining import PretrainConfig, make_objective
from ringmoe.probing import linear_probe
from ringmoe.sensors import get_sensor
from ringmoe.training import Trainer, to_plain
from ringmoe.training.config import FREE_ON_RESUME

logger = logging.getLogger("benchmarks.held_out_bands")

BASE = Path(__file__).parents[1] / "configs" / "pretrain" / "real_nano.yaml"
MODALITY = "multispectral"
SEEN = ("B01", "B02", "B03", "B04", "B08", "B09", "B10")
HELD_OUT = ("B05", "B06", "B07", "B8A", "B11", "B12")  # red edge, and short-wave infrared
BAND_SETS = {"held-out": HELD_OUT, "seen": SEEN}
VARIANTS = ("statistics", "named-random", "spectral-random", "named", "spectral")


def recipe(variant: str, seed: int, options: argparse.Namespace) -> PretrainConfig:
    """How a variant is pre-trained: as `BASE` says, but shorter, on one modality."""
    base = yaml.safe_load(BASE.read_text())
    changes = {
        "archive": options.archive,
        "out": options.results,
        "overrides": base.get("overrides", {}) | {"stem": variant.removesuffix("-random")},
        "modalities": [MODALITY],
        "shares": {},
        "steps": options.steps,
        "batch_size": options.batch_size,
        # for 256 images: the peak is the same
        "learning_rate": base["learning_rate"] * base["batch_size"] / options.batch_size,
        "warmup_steps": options.steps // 8,
        "seed": seed,
    }
    return PretrainConfig(**base | changes)


def keep_bands(batch: Batch, keys: Sequence[str]) -> Batch:
    """The same images with those of their channels whose key is named."""
    observation = batch.observation
    kept = [i for i, name in enumerate(observation.channel_names) if name in keys]
    return replace(
        batch,
        observation=replace(
            observation,
            images=observation.images[:, kept],
            channels=tuple(observation.channels[i] for i in kept),
        ),
        scale=batch.scale[kept],
    )


def train(config: PretrainConfig) -> tuple[FeatureSource, dict[str, float]]:
    """Pre-train on the seen bands; the frozen backbone, and the terms of the last step."""
    config.check()
    trainer = Trainer(make_objective(config, (MODALITY,)), config)
    loader = TileLoader(
        Archive.open(config.archive),
        batch_size=config.batch_size,
        crop_size=config.crop_size,
        seed=config.seed,
        modalities=[MODALITY],
    )
    terms: dict[str, float] = {}
    for batches in loader.iterate(0, config.steps):
        terms = trainer.step([[keep_bands(batch, SEEN) for batch in batches]]).terms
        if trainer.steps_taken % 50 == 0:
            logger.info(
                "step %d of %d: loss %.4f", trainer.steps_taken, config.steps, terms["loss"]
            )
    return Network(trainer.objective.get_submodule("model")), terms


def select_bands(tiles: LabelledTiles, keys: Sequence[str]) -> LabelledTiles:
    """The same tiles with those of their sensor's bands."""
    bands = get_sensor(tiles.sensor).select(tiles.channels)
    chosen = [i for i, band in enumerate(bands) if band.key in keys]
    names = tuple(bands[i].name for i in chosen)
    return replace(tiles, values=tiles.values[:, chosen], channels=names)


def probe(source: FeatureSource, data: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Land use from those bands alone: accuracy, and the mean over classes."""
    labelled, step = benchmark("land-use", data), PIXEL_STEP["land-use"]
    nothing = torch.zeros(len(labelled.test), dtype=torch.bool).numpy()
    train_part = pixel_samples(
        source, select_bands(labelled.train, keys), labelled.validation, step
    )
    test_part = pixel_samples(source, select_bands(labelled.test, keys), nothing, step)
    return linear_probe(
        train_part.x, train_part.y, test_part.x, test_part.y, validation=train_part.validation
    ).figures()


def measure(variant: str, config: PretrainConfig, data: Path) -> dict[str, Any]:
    """The figures of one cell."""
    result: dict[str, Any] = {}
    if variant == "statistics":
        source: FeatureSource = Statistics()
    elif variant.endswith("-random"):
        source = Network(make_objective(config, (MODALITY,)).model)
    else:
        source, result["last_step"] = train(config)
    return result | {name: probe(source, data, keys) for name, keys in BAND_SETS.items()}


def settings_of(variant: str, config: PretrainConfig) -> dict[str, Any]:
    """What a cell depends on, paths left out."""
    found: dict[str, Any] = {"seen": SEEN, "held_out": HELD_OUT}
    if variant != "statistics":
        plain = to_plain(config).items()
        found["recipe"] = {k: v for k, v in plain if k not in FREE_ON_RESUME}
    return found


def run_cells(options: argparse.Namespace) -> None:
    """Measure what is not there yet.

    Raises:
        ConfigError: A cell is there, but of other settings.
    """
    for seed in options.seeds:
        for variant in options.variants:
            if variant == "statistics" and seed != 0:
                continue  # nothing in it is drawn
            path = options.results / f"{variant}-seed{seed}.json"
            config = recipe(variant, seed, options)
            fill_cell(
                path,
                {"variant": variant, "seed": seed},
                settings_of(variant, config),
                partial(measure, variant, config, options.data),
            )


def table(results: Path) -> str:
    """Per cent right, and the mean of the classes' per cent, by variant and band set."""
    cells = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    header = ["variant"]
    for name in BAND_SETS:
        header += [f"{name} bands, pixels", f"{name} bands, mean of classes"]
    rows: list[list[str]] = []
    for variant in VARIANTS:
        found = [cell["result"] for cell in cells if cell["variant"] == variant]
        rows.append([variant])
        for name in BAND_SETS:
            for figure in ("accuracy", "class_accuracy"):
                rows[-1].append(spread((r[name][figure] for r in found), 100))
    return markdown(header, rows)


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.held_out_bands",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--steps", type=int, default=300, help="of pre-training")
    add("--batch-size", type=int, default=32, help="images a step")
    add("--data", type=Path, default=Path(os.environ.get("RINGMOE_DATA", "../shared/data")))
    add("--archive", type=Path, default=Path("runs/real/archive"))
    results = Path(__file__).parent / "results" / "held_out_bands"
    add("--results", type=Path, default=results, help="folder of cells")
    add("--threads", type=int, default=None, help="of torch")
    add("--table", action="store_true", help="print the cells as markdown, measure nothing")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    if not options.table:
        run_cells(options)
    print(table(options.results))


if __name__ == "__main__":
    main()
