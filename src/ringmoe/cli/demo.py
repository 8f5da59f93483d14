"""`ringmoe demo`: the whole chain on simulated scenes, ending in a report to look at."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringmoe.archive import Archive
    from ringmoe.pretraining import PretrainConfig

SCENE_SIZE = 288  # three crops of 96 px; 72 tokens, which the windows of nano divide
TILE_SIZE = 144
CROP_SIZE = 96
PROBE_SCENES = (8, 8)  # to fit the probes on, to test them on: every kind of scene in both
PROBE_SIZE = 192
MAP_SIZE = 576
STAGES = 8


def demo(
    *, out: Path = Path("runs/demo"), scenes: int = 24, steps: int = 180, seed: int = 0
) -> None:
    """Simulate, pre-train, prune, adapt, map: four kinds of satellite image, one model, one page.

    Nothing is downloaded: the scenes are simulated. Takes about seven minutes on two CPU cores and
    writes `OUT/report.html`. Run again with the same arguments, it goes on where it stopped.

    Args:
        out: Folder for the scenes, the archive, the run and the report.
        scenes: How many places to simulate for pre-training, each seen by four sensors.
        steps: Pre-training steps of 32 images each.
        seed: Draws another landscape and other first weights.

    Raises:
        ConfigError: The folder holds scenes of a demonstration with other arguments.
        WriteError: The disk is full or the folder cannot be written.
    """
    from ringmoe.cli._demo_mapping import adapt, map_scene
    from ringmoe.cli._demo_pruning import SUB_MODEL, prune_for_one_modality
    from ringmoe.cli._demo_results import gather_results
    from ringmoe.pretraining import pretrain
    from ringmoe.reports import write_demo_report

    started = time.perf_counter()
    with _stage(1, f"Simulating {scenes + sum(PROBE_SCENES) + 1} scenes"):
        _simulate(out / "scenes", scenes, SCENE_SIZE, seed)
        _simulate(out / "probe-scenes", sum(PROBE_SCENES), PROBE_SIZE, seed + 1)
        _simulate(out / "map-scene", 1, MAP_SIZE, seed + 2, ["river"])
    with _stage(2, "Cutting them to an archive of tiles"):
        archive = _ingest(out / "scenes", out / "archive", seed)
    config = _config(out, steps, seed)
    with _stage(3, "Pre-training on what the four sensors saw, without labels"):
        pretrain(config, resume=(config.out / "config.yaml").exists())
    with _stage(4, "Pruning the model to what SAR amplitude needs"):
        pruned = prune_for_one_modality(config.out / "model", archive, out / "pruned")
    with _stage(5, "Adapting it to land cover on eight labelled scenes"):
        adapted = adapt(pruned[SUB_MODEL], out / "probe-scenes", out / "land-cover", steps, seed)
    with _stage(6, "Mapping a whole scene"):
        view = map_scene(adapted, out / "map-scene", out / "land-cover.tif")
    with _stage(7, "Asking what the features know"):
        results = gather_results(
            config, archive, out / "scenes", out / "probe-scenes", PROBE_SCENES[0], pruned
        )
        results = replace(results, map=view)
    with _stage(8, "Writing the report"):
        path = write_demo_report(results, out / "report.html")
    print(f"\n{path} is ready ({time.perf_counter() - started:.0f} s): open it in a browser.")


@contextmanager
def _stage(number: int, what: str) -> Iterator[None]:
    """Say what is being done, and afterwards how long it took."""
    print(f"[{number}/{STAGES}] {what} ...", flush=True)
    start = time.perf_counter()
    yield
    print(f"      done in {time.perf_counter() - start:.0f} s", flush=True)


def _config(out: Path, steps: int, seed: int) -> PretrainConfig:
    from ringmoe.pretraining import PretrainConfig

    return PretrainConfig(
        archive=out / "archive",
        out=out / "pretraining",
        model="nano",
        steps=steps,
        batch_size=32,
        crop_size=CROP_SIZE,
        mask_unit=16,
        learning_rate=8e-3,  # for 256 images: the peak is 1e-3
        warmup_steps=steps // 10,
        log_every=max(1, steps // 200),
        checkpoint_every=max(1, steps // 4),
        seed=seed,
        tensorboard=False,
    )


def _simulate(folder: Path, scenes: int, size: int, seed: int, kinds: Sequence[str] = ()) -> None:
    from rich.progress import track

    from ringmoe.simulation import KINDS, write_simulation

    if (folder / "simulation.json").exists():  # the manifest is written last
        turns = tuple(kinds) or tuple(KINDS)
        classes = [turns[number % len(turns)] for number in range(scenes)]
        _check_simulated(folder, {"scenes": scenes, "size": size, "seed": seed}, classes)
    else:
        write_simulation(
            folder,
            scenes,
            size,
            seed,
            progress=lambda numbers: track(numbers, "      scenes", total=scenes, transient=True),
            workers=min(os.cpu_count() or 1, scenes),
            kinds=kinds,
        )


def _check_simulated(folder: Path, wanted: dict[str, int], classes: list[str]) -> None:
    """Refuse scenes that an earlier run with other arguments has left."""
    from ringmoe.errors import ConfigError

    path = folder / "simulation.json"
    remedy = "take another --out, or remove this one"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        kinds = [scene["class"] for scene in manifest["scenes"]]
        found = {"scenes": len(kinds), "size": manifest["size"], "seed": manifest["seed"]}
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path}: not what `ringmoe simulate` writes ({error!r}): {remedy}"
        raise ConfigError(message) from None
    for name, value in wanted.items():
        if found[name] != value:
            raise ConfigError(f"{path}: {name} was {found[name]}, now it is {value}: {remedy}")
    if kinds != classes:
        raise ConfigError(f"{path}: its scenes are of other kinds: {remedy}")


def _ingest(scenes: Path, out: Path, seed: int) -> Archive:
    from ringmoe.archive import Archive, Source, ingest

    with _bar("scenes cut") as advance:
        ingest(
            [Source((scenes.name,))],
            out,
            tile_size=TILE_SIZE,
            holdout=0.125,
            seed=seed,
            root=scenes.parent,
            progress=advance,
        )
    return Archive.open(out)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[float, int], None]]:
    """A progress bar as the callback (done, total) that floors below take."""
    from rich.progress import Progress

    with Progress(transient=True) as progress:
        task = progress.add_task(f"      {what}", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
