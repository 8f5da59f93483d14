"""`ringmoe prune`: a smaller checkpoint from a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ringmoe.models import LoadPlan, ModelConfig
    from ringmoe.pruning import Method


def prune(
    checkpoint: str,
    *,
    out: Path | None = None,
    method: str | None = None,
    modalities: list[str] | None = None,
    keep: float | None = None,
    scope: str | None = None,
    hidden_ratio: float | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    int8: bool = False,
    calibrate: Path | None = None,
    images: int = 512,
    samples: int = 4096,
    statistics: Path | None = None,
    budget: str | None = None,
    latency: str | None = None,
    json: bool = False,
    max_shard_bytes: str = "5GB",
) -> None:
    """Make a smaller checkpoint from a checkpoint, layer by layer.

    Methods: "submodel" keeps what the modalities need, and their features as they are. "ep" keeps
    the collaborative experts that their tokens choose most. "ks", "ka" and "kc" (sum, average,
    singular vectors), "neurons" (hidden units of the most energy) and "function-aware" (a fit to
    what the layer does) make one FFN a block, for one modality.

    Some methods decide by measurements: `--calibrate ARCHIVE` makes them and keeps them beside the
    checkpoint, alone or before pruning.

    Instead of a method, `--budget` may say what the result may cost. All methods are then tried
    and shown, and the one that keeps most is taken: with `--calibrate ARCHIVE` by measurement.

    Args:
        checkpoint: A checkpoint folder, or the id of a repository on the Hugging Face hub.
        out: Folder to write the smaller checkpoint to.
        method: How to prune: submodel, ep, ks, ka, kc, neurons or function-aware.
        modalities: What the smaller checkpoint shall serve, or what to measure; none: all.
        keep: Of ep, the share of collaborative experts that stays, over 0 to 1; 0.25 if not given.
        scope: Of ep, whether the share is of each "layer" (if not given) or of all together,
            "global".
        hidden_ratio: Of function-aware, hidden units per channel of a token; as many as an expert
            has if not given.
        dtype: Type of the weights written; the checkpoint's if not given.
        int8: Write matrices in 8 bits, with scales in that type; also without a method.
        calibrate: Archive to measure the checkpoint on.
        images: Tiles of each modality to measure on.
        samples: Input tokens of each layer and modality kept for function-aware, which wants
            several times as many as an expert has hidden units.
        statistics: Folder of measurements, if not beside the checkpoint.
        budget: What the result may cost: 400MB (of weights on disk), 1.1B or 300M (parameters) or
            50ms (time for one image on this machine); chooses method, options and 8 bits.
        latency: The same as a budget that is a time, such as 50ms.
        json: Print the candidates for a budget as JSON, and all else to standard error.
        max_shard_bytes: Largest file of weights.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        ConfigError: A setting is not allowed, or the checkpoint lacks a modality.
        StatisticsError: Measurements are missing, or are another checkpoint's.
        WriteError: The folder cannot be written.
    """
    from ringmoe.cli._prune_plan import decide, parse_budget
    from ringmoe.errors import ConfigError
    from ringmoe.pruning import method_named

    wish = parse_budget(budget, latency)
    if method is None and calibrate is None and not int8 and wish is None:
        raise ConfigError(
            "say what to do: --method to prune, --calibrate to measure, --int8 to quantise, "
            "--budget to have it decided (see --help)"
        )
    options = {"keep": keep, "scope": scope, "hidden_ratio": hidden_ratio}
    chosen = None if method is None else method_named(method, **options)
    if chosen is None and (given := [name for name in options if options[name] is not None]):
        raise ConfigError(f"{', '.join(given)}: options of a method, and --method is missing")
    if wish is not None and (method is not None or int8):
        raise ConfigError("--method, --int8: a budget decides them, leave them out or --budget")
    if json and wish is None:
        raise ConfigError("--json prints the candidates for a budget: add --budget")
    if (chosen is not None or int8) and out is None:
        raise ConfigError("missing --out: the folder to write the smaller checkpoint to")
    if int8 and chosen is None and (modalities or dtype):
        raise ConfigError("modalities, dtype: --int8 alone keeps all; add --method submodel")
    with redirect_stdout(sys.stderr) if json else nullcontext():
        if calibrate is not None:
            _measure(checkpoint, calibrate, images, samples, modalities, statistics)
    if wish is not None:
        with _bar("comparing") as progress:
            best = decide(
                checkpoint,
                wish,
                modalities,
                statistics=statistics,
                archive=calibrate,
                dtype=dtype,
                out=out,
                as_json=json,
                progress=progress,
            )
        chosen, int8, modalities = best.method, best.int8, list(best.config.modalities)
    with redirect_stdout(sys.stderr) if json else nullcontext():
        if out is not None and chosen is not None:
            _prune(checkpoint, out, chosen, modalities, statistics, dtype, int8, max_shard_bytes)
        elif out is not None and int8:
            _quantise(checkpoint, out, max_shard_bytes)


def _measure(
    checkpoint: str,
    archive: Path,
    images: int,
    samples: int,
    modalities: list[str] | None,
    out: Path | None,
) -> None:
    from ringmoe.pruning import calibrate, statistics_folder
    from ringmoe.reports.routing import write_routing_pictures

    folder = out or statistics_folder(checkpoint)
    with _bar("measuring") as progress:
        found = calibrate(
            checkpoint,
            archive,
            images=images,
            samples=samples,
            modalities=modalities,
            out=out,
            progress=progress,
        )
    seen = ", ".join(f"{count} {modality}" for modality, count in found.images.items())
    pictures = write_routing_pictures(found.shares(), folder)
    drawn = f"; pictures: {', '.join(file.name for file in pictures)}" if pictures else ""
    print(f"statistics: {folder} (images: {seen}){drawn}")


def _prune(
    checkpoint: str,
    out: Path,
    method: Method,
    modalities: list[str] | None,
    statistics: Path | None,
    dtype: str | None,
    int8: bool,
    max_shard_bytes: str,
) -> None:
    import torch

    from ringmoe.errors import ConfigError
    from ringmoe.models import plan_load
    from ringmoe.models.hub import local_folder
    from ringmoe.pruning import prune as prune_checkpoint
    from ringmoe.pruning import quantise

    before = plan_load(local_folder(checkpoint))
    if method.name == "submodel" and modalities is None:
        raise ConfigError(
            "missing --modalities: a sub-model serves some of "
            f"{', '.join(before.config.modalities)}"
        )
    with _bar("pruning") as progress:
        folder = prune_checkpoint(
            checkpoint,
            out,
            method,
            modalities,
            statistics,
            None if dtype is None else getattr(torch, dtype),
            progress,
            max_shard_bytes,
        )
    if int8:
        quantise(folder, folder, max_shard_bytes=max_shard_bytes)
    _report(before, plan_load(folder))


def _quantise(checkpoint: str, out: Path, max_shard_bytes: str) -> None:
    from ringmoe.models import plan_load
    from ringmoe.models.hub import local_folder
    from ringmoe.pruning import quantise

    source = local_folder(checkpoint)
    before = plan_load(source)
    _report(before, plan_load(quantise(source, out, max_shard_bytes=max_shard_bytes)))


def _report(before: LoadPlan, after: LoadPlan) -> None:
    _show((before.config, before.stored_bytes), (after.config, after.stored_bytes))
    print(f"model: {after.folder}")


def _show(*models: tuple[ModelConfig, int]) -> None:
    """What a checkpoint was and is: shape and bytes of each."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ringmoe.cli.info import _amount
    from ringmoe.models import describe

    facts = [describe(config) for config, _ in models]
    counts = [fact["parameters"] for fact in facts]
    flops = [fact["flops_per_image"]["total"] for fact in facts]
    rows: list[tuple[str, list[float], str]] = [
        ("parameters", [count["total"] for count in counts], ""),
        ("active per token", [count["active"] for count in counts], ""),
        ("forward, per image", flops, "FLOP"),
        ("weights on disk", [size for _, size in models], "B"),
    ]
    table = Table("", "was", "is", "of it", box=box.SIMPLE)
    words = [", ".join(config.modalities) for config, _ in models]
    table.add_row("modalities", *words, "")
    experts = [fact["experts_per_block"] for fact in facts]
    table.add_row("experts per block", *(" + ".join(map(str, e.values())) for e in experts), "")
    for name, (was, now), unit in rows:
        table.add_row(
            name, f"{_amount(int(was))}{unit}", f"{_amount(int(now))}{unit}", f"{now / was:.1%}"
        )
    Console().print(table)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, where somebody sees it; yields what moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
