"""Cells of `benchmarks.compression` as markdown tables and as a picture."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bootstrap import Difference, paired_difference
from benchmarks.real_table import markdown, spread
from ringmoe.sensors import MODALITIES

Result = dict[str, Any]
Key = tuple[str, str]
"""Method, moment."""
Methods = dict[Key, dict[int, Result]]
"""By seed."""

PROBES = {"linear": "linear probe", "knn": "k-NN"}
FULL, SCRATCH = ("full", "before"), ("from scratch", "after")
HEADER = ["method", "M parameters", "MB", "GFLOPs", "masked loss", "masked loss, less full"] + [
    f"{name}{what}" for name in PROBES.values() for what in ("", ", less full [95 %]")
]


def read_cells(folder: Path) -> dict[str, Methods]:
    """All cells under a folder, by modality."""
    cells: dict[str, Methods] = defaultdict(lambda: defaultdict(dict))
    for path in sorted(folder.glob("*/*/*.json")):
        cell = json.loads(path.read_text())
        key = cell["method"], cell["moment"]
        cells[cell["modality"]][key][cell["seed"]] = cell["result"]
    return cells


def hits(results: list[Result], probe: str) -> np.ndarray:
    """`(seeds, images)` of 0 and 1: which test images were told right."""
    rows = []
    for result in results:
        packed = np.frombuffer(bytes.fromhex(result[probe]["hits"]), np.uint8)
        rows.append(np.unpackbits(packed)[: result["test_images"]])
    return np.stack(rows)


def against(methods: Methods, key: Key, other: Key, probe: str) -> Difference | None:
    """A method's accuracy less another's, on the seeds that both have."""
    ours, others = paired(methods, key, other)
    if not ours or key == other:
        return None
    return paired_difference(hits(ours, probe), hits(others, probe))


def paired(methods: Methods, key: Key, other: Key) -> tuple[list[Result], list[Result]]:
    """Results of two methods, of the seeds that both have."""
    own, theirs = methods[key], methods.get(other, {})
    seeds = sorted(set(own) & set(theirs))
    return [own[seed] for seed in seeds], [theirs[seed] for seed in seeds]


def words(difference: Difference | None) -> str:
    """Points with their interval, or that they are not resolved."""
    if difference is None:
        return ""
    mean, low, high = (100 * x for x in (difference.mean, difference.low, difference.high))
    text = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    exact = difference.low == difference.high == 0
    return text if difference.resolved or exact else f"{text} not resolved"


def table(folder: Path) -> str:
    """Two tables a modality: all methods beside the full model, the dense ones beside scratch."""
    parts = []
    for modality, methods in read_cells(folder).items():
        order = sorted(methods, key=lambda key: (_size(methods[key]), key[0].lower(), _name(key)))
        rows = [_row(methods, key) for key in order]
        parts += [f"**{modality}**", markdown(HEADER, rows)]
        if SCRATCH in methods:
            small = [key for key in order if _size(methods[key]) == _size(methods[SCRATCH])]
            header = ["method"] + [f"{n}, less from scratch [95 %]" for n in PROBES.values()]
            rows = [
                [_name(key), *(words(against(methods, key, SCRATCH, p)) for p in PROBES)]
                for key in small
                if key != SCRATCH
            ]
            parts.append(markdown(header, rows))
    return "\n\n".join(parts)


def _size(by_seed: dict[int, Result]) -> int:
    return -max(result["parameters"] for result in by_seed.values())


def _name(key: Key) -> str:
    method, moment = key
    return f"{method}, distilled" if moment == "after" and key != SCRATCH else method


def _row(methods: Methods, key: Key) -> list[str]:
    results = list(methods[key].values())

    def column(pick: Callable[[Result], float], scale: float, digits: int) -> str:
        return spread([pick(result) for result in results], scale, digits)

    pairs = zip(*paired(methods, key, FULL), strict=True)
    losses = [ours["masked_loss"] - full["masked_loss"] for ours, full in pairs]
    row = [
        _name(key),
        f"{results[0]['parameters'] / 1e6:.2f}",
        f"{results[0]['bytes'] / 1e6:.1f}",
        f"{results[0]['flops'] / 1e9:.2f}",
        column(lambda r: r["masked_loss"], 1, 3),
        spread(losses, 1, 3) if losses and key != FULL else "",
    ]
    for probe in PROBES:
        row.append(column(lambda r, p=probe: r[p]["accuracy"], 100, 1))  # type: ignore[misc]
        row.append(words(against(methods, key, FULL, probe)))
    return row


def draw(folder: Path, out: Path) -> None:
    """Accuracy of each method beside the full model's: hollow before distillation, full after.

    Those in 8 bits, which lie on the others, are left out.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cells = {
        modality: {key: own for key, own in methods.items() if "int8" not in key[0]}
        for modality, methods in read_cells(folder).items()
    }
    panels = [(modality, probe) for modality in cells for probe in PROBES]
    sizes = {key[0]: _size(own) for methods in cells.values() for key, own in methods.items()}
    names = sorted(sizes, key=lambda method: (-sizes[method], method.lower()))
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 4.6), sharey=True)
    for axis, (modality, probe) in zip(np.atleast_1d(axes), panels, strict=True):
        methods = cells[modality]
        for (method, moment), by_seed in methods.items():
            values = [100 * result[probe]["accuracy"] for result in by_seed.values()]
            spread_ = np.std(values, ddof=1) if len(values) > 1 else 0
            style = {"fmt": "o", "color": "#1f5f8b", "markersize": 6, "elinewidth": 1}
            style |= {"markerfacecolor": "white"} if moment == "before" else {}
            shift = 0.14 if moment == "before" else -0.14
            axis.errorbar(np.mean(values), names.index(method) + shift, xerr=spread_, **style)
        full = methods[FULL].values()
        axis.axvline(
            np.mean([100 * r[probe]["accuracy"] for r in full]), color="#999", lw=1, zorder=0
        )
        labels = [f"{name}  {sizes[name] / -1e6:.1f} M" for name in names]
        axis.set_yticks(range(len(names)), labels)
        axis.set(title=MODALITIES[modality].title, xlabel=f"{PROBES[probe]}, %")
        axis.grid(axis="y", color="#eee")
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
