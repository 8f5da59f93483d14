"""Cells of `benchmarks.compression` as markdown tables and as a picture."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bootstrap import Difference, paired_difference
from benchmarks.real_table import spread

Cells = dict[str, dict[tuple[str, str], dict[int, dict[str, Any]]]]
"""Modality -> (method, moment) -> seed -> result."""

PROBES = {"linear": "linear probe", "knn": "k-NN"}
HEADER = ["method", "M parameters", "MB", "GFLOPs", "masked loss"] + [
    f"{name}{what}" for name in PROBES.values() for what in ("", ", less full [95 %]")
]


def read_cells(folder: Path) -> Cells:
    """All cells under a folder."""
    cells: Cells = defaultdict(lambda: defaultdict(dict))
    for path in sorted(folder.glob("*/*/*.json")):
        cell = json.loads(path.read_text())
        key = cell["method"], cell["moment"]
        cells[cell["modality"]][key][cell["seed"]] = cell["result"]
    return cells


def hits(results: list[dict[str, Any]], probe: str) -> np.ndarray:
    """`(seeds, images)` of 0 and 1: which test images were told right."""
    rows = []
    for result in results:
        packed = np.frombuffer(bytes.fromhex(result[probe]["hits"]), np.uint8)
        rows.append(np.unpackbits(packed)[: result["test_images"]])
    return np.stack(rows)


def against_full(
    cells: Cells, modality: str, key: tuple[str, str], probe: str
) -> Difference | None:
    """A method's accuracy less the full model's, on the seeds that both have."""
    full, own = cells[modality].get(("full", "before"), {}), cells[modality][key]
    seeds = sorted(set(full) & set(own))
    if not seeds or key[0] == "full":
        return None
    ours, others = (hits([results[seed] for seed in seeds], probe) for results in (own, full))
    return paired_difference(ours, others)


def words(difference: Difference | None) -> str:
    """Points with their interval, or that they are not resolved."""
    if difference is None:
        return ""
    mean, low, high = (100 * x for x in (difference.mean, difference.low, difference.high))
    text = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    exact = difference.low == difference.high == 0
    return text if difference.resolved or exact else f"{text} not resolved"


def table(folder: Path) -> str:
    """One table a modality."""
    cells = read_cells(folder)
    parts = []
    for modality, methods in cells.items():
        lines = [" | ".join(HEADER), " | ".join("---" for _ in HEADER)]
        for key, by_seed in sorted(methods.items(), key=lambda item: _size(item[1])):
            lines.append(" | ".join(_row(cells, modality, key, list(by_seed.values()))))
        parts.append("\n".join([f"**{modality}**", "", *(f"| {line} |" for line in lines)]))
    return "\n\n".join(parts)


def _size(by_seed: dict[int, dict[str, Any]]) -> int:
    return -max(result["parameters"] for result in by_seed.values())


def _row(
    cells: Cells, modality: str, key: tuple[str, str], results: list[dict[str, Any]]
) -> list[str]:
    def column(pick: Callable[[dict[str, Any]], float], scale: float, digits: int) -> str:
        return spread([pick(result) for result in results], scale, digits)

    method, moment = key
    row = [
        f"{method}, distilled" if moment == "after" and method != "from scratch" else method,
        f"{results[0]['parameters'] / 1e6:.2f}",
        f"{results[0]['bytes'] / 1e6:.1f}",
        f"{results[0]['flops'] / 1e9:.2f}",
        column(lambda r: r["masked_loss"], 1, 3),
    ]
    for probe in PROBES:
        row.append(column(lambda r, p=probe: r[p]["accuracy"], 100, 1))  # type: ignore[misc]
        row.append(words(against_full(cells, modality, key, probe)))
    return row


def draw(folder: Path, out: Path) -> None:
    """Accuracy over parameters, a panel a modality: hollow before distillation, full after."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cells = read_cells(folder)
    figure, axes = plt.subplots(1, len(cells), figsize=(6 * len(cells), 4.2), squeeze=False)
    for axis, (modality, methods) in zip(axes[0], cells.items(), strict=True):
        names = list(dict.fromkeys(method for method, _ in methods))
        for (method, moment), by_seed in methods.items():
            values = [100 * r["linear"]["accuracy"] for r in by_seed.values()]
            axis.errorbar(
                _size(by_seed) / -1e6,
                np.mean(values),
                np.std(values, ddof=1) if len(values) > 1 else 0,
                fmt="o",
                color=f"C{names.index(method) % 10}",
                markerfacecolor="white" if moment == "before" else None,
                label=method if moment == "before" or (method, "before") not in methods else None,
            )
        axis.set(title=modality, xlabel="million parameters", xscale="log")
        axis.set_ylabel("linear probe, %")
        axis.legend(fontsize=8)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
