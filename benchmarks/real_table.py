"""Cells of `benchmarks.real_imagery` as markdown tables: mean and spread over seeds."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Cells = dict[str, dict[str, list[dict[str, Any]]]]  # variant -> probe -> results, one a seed

COLUMNS = {
    "aid-linear": ("AID linear", "accuracy"),
    "aid-knn": ("AID k-NN", "accuracy"),
    "mstar-linear": ("MSTAR linear", "accuracy"),
    "mstar-knn": ("MSTAR k-NN", "accuracy"),
    "polsf-linear": ("PolSF pixels", "accuracy"),
    "polsf-linear ": ("PolSF, mean of classes", "class_accuracy"),
    "land-use-linear": ("land use pixels", "accuracy"),
    "land-use-linear ": ("land use, mean of classes", "class_accuracy"),
}
FIRST = ("statistics", "pixels", "random", "default", "short")


def read_cells(folder: Path) -> Cells:
    """All cells under a folder."""
    cells: Cells = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*/*.json")):
        cell = json.loads(path.read_text())
        cells[cell["variant"]][cell["probe"]].append(cell["result"])
    first = [variant for variant in FIRST if variant in cells]
    return {variant: cells[variant] for variant in [*first, *sorted(set(cells) - set(first))]}


def spread(values: Iterable[float], scale: float = 1.0, digits: int = 1) -> str:
    """Mean ± sample standard deviation, and in brackets how many if it is not three."""
    scaled = [value * scale for value in values]
    if not scaled:
        return ""
    text = f"{statistics.fmean(scaled):.{digits}f}"
    if len(scaled) > 1:
        text += f" ± {statistics.stdev(scaled):.{digits}f}"
    return text if len(scaled) == 3 else f"{text} ({len(scaled)})"


def tables(folder: Path) -> str:
    """The three tables of a stage: probes, masked loss, routing."""
    cells = read_cells(folder)
    return "\n\n".join([probe_table(cells), loss_table(cells), routing_table(cells)])


def probe_table(cells: Cells) -> str:
    """Accuracy in percent by variant and probe."""
    rows = [
        [variant]
        + [
            spread((r[key] for r in probes.get(probe.strip(), [])), 100)
            for probe, (_, key) in COLUMNS.items()
        ]
        for variant, probes in cells.items()
    ]
    return markdown(["variant", *(title for title, _ in COLUMNS.values())], rows)


def loss_table(cells: Cells) -> str:
    """Masked loss on held-out tiles at start and end, and seconds of pre-training."""
    held = {v: probes["held-out"] for v, probes in cells.items() if probes.get("held-out")}
    modalities = next(iter(held.values()))[0]["modalities"] if held else []
    rows = [
        [variant]
        + [
            " → ".join(
                spread((r[moment]["loss"][m] for r in results), digits=3)
                for moment in ("start", "end")
            )
            for m in modalities
        ]
        + [spread((r["seconds"] for r in cells[variant].get("pretraining", [])), 1 / 60)]
        for variant, results in held.items()
    ]
    return markdown(["masked loss on held-out tiles", *modalities, "minutes"], rows)


def routing_table(cells: Cells) -> str:
    """Experts in use at the end: dead ones, and the least share that any expert is given."""
    rows = []
    for variant, probes in cells.items():
        results = [r["end"] for r in probes.get("held-out", []) if "specialized" in r["end"]]
        if not results:
            continue
        least = {
            # An expert counts by the modality that gives it most.
            "specialized": [min(min(min(b) for b in m) for m in r["specialized"]) for r in results],
            "collaborative": [
                min(
                    max(shares)
                    for block in zip(*r["collaborative"], strict=True)
                    for shares in zip(*block, strict=True)
                )
                for r in results
            ],
        }
        rows.append(
            [variant, ", ".join(str(r["dead_experts"]) for r in results)]
            + [spread(least[branch], 100) for branch in ("specialized", "collaborative")]
        )
    header = ["routing of held-out tokens", "dead experts, by seed"]
    return markdown([*header, "least used specialized, %", "least used collaborative, %"], rows)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
