"""`ringmoe prune --budget`: what could be made, what it costs, and which it shall be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringmoe.pruning import Budget, Candidate

SUFFIX = ".plan.png"


def parse_budget(budget: str | None, latency: str | None) -> Budget | None:
    """What was asked for, if anything.

    Raises:
        ConfigError: It cannot be read, or there are two.
    """
    from ringmoe.errors import ConfigError
    from ringmoe.pruning import Budget

    if budget is not None and latency is not None:
        raise ConfigError("--budget and --latency: there can be one budget, leave one out")
    text = latency if budget is None else budget
    found = None if text is None else Budget.parse(text)
    if latency is not None and found is not None and found.kind != "latency":
        raise ConfigError(f"--latency {latency}: a time is due, such as 50ms; else use --budget")
    return found


def decide(
    checkpoint: str,
    budget: Budget,
    modalities: list[str] | None,
    *,
    statistics: Path | None,
    archive: Path | None,
    dtype: str | None,
    out: Path | None,
    as_json: bool,
    progress: Callable[[int, int], None],
) -> Candidate:
    """Plan, show the plan, and choose.

    Args:
        checkpoint: What is to be pruned.
        budget: What the result may cost.
        modalities: Which it shall serve; None for all.
        statistics: Folder of measurements, if not beside the checkpoint.
        archive: Where to take tiles from; None to measure no fidelity.
        dtype: Type of the weights, if not the checkpoint's.
        out: Folder of the result, beside which the picture is drawn; None for no picture.
        as_json: Print JSON instead of the table.
        progress: Called with (candidates measured, of all).
    """
    import torch

    from ringmoe.models import read_config
    from ringmoe.models.hub import local_folder
    from ringmoe.pruning import (
        calibration_tiles,
        choose,
        load_statistics,
        plain,
        plan_pruning,
        statistics_folder,
    )

    config = read_config(local_folder(checkpoint))
    measured = None
    if statistics is not None or statistics_folder(checkpoint).is_dir():
        measured = load_statistics(checkpoint, statistics)
    wanted = modalities or config.modalities
    tiles = None if archive is None else calibration_tiles(archive, wanted, config.image_size)
    candidates = plan_pruning(
        checkpoint,
        budget,
        modalities,
        measured,
        tiles,
        dtype=None if dtype is None else getattr(torch, dtype),
        progress=progress,
    )
    chosen = choose(candidates, budget)
    rows = plain(candidates, budget, chosen)
    picture = _draw(rows, budget, out)
    if as_json:
        print(json.dumps({"budget": vars(budget), "candidates": rows}, indent=2))
    else:
        _show(rows, budget)
        if picture is not None:
            print(f"picture: {picture}")
    return chosen


def _draw(rows: list[dict[str, Any]], budget: Budget, out: Path | None) -> Path | None:
    """The picture beside the result; None where there is no place, or nothing to draw."""
    if out is None or any(row["fidelity"] is None for row in rows):
        return None
    from ringmoe.reports.pareto import pareto_picture

    path = out.absolute()
    return pareto_picture(rows, path.with_name(path.name + SUFFIX), (budget.kind, budget.limit))


def _show(rows: list[dict[str, Any]], budget: Budget) -> None:
    """The table: the dearest first, the choice and the front marked."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ringmoe.cli.info import _amount

    table = Table("", box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column("candidate", min_width=18)
    for title in ("params", "FLOP", "time", "on disk", "fidelity", "last map"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: -row[budget.kind]):
        mark = ">" if row["chosen"] else "*" if budget.kind in row["front"] else ""
        time = row["latency"]
        table.add_row(
            mark,
            row["candidate"],
            _amount(row["parameters"]),
            _amount(row["flops"]),
            "-" if time is None else f"{1e3 * time:.3g} ms",
            f"{_amount(row['bytes'])}B",
            *(_share(row[name]) for name in ("fidelity", "fidelity_last_map")),
            style=None if row["meets"] else "dim",
        )
    console = Console()
    console.print(table)
    console.print(_caption(rows, budget), highlight=False)


def _share(fidelity: float | None) -> str:
    if fidelity is None:
        return "-"
    return f"{fidelity:.4f}" if fidelity > -1 else "< -1"


def _caption(rows: list[dict[str, Any]], budget: Budget) -> str:
    words = f"budget: {budget.words(budget.limit)};  > the choice"
    if any(row["front"] for row in rows):
        return words + ";  * also on the Pareto front: none costs less and keeps more"
    return words + ", the largest that meets it: fidelity was not measured"
