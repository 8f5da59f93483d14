"""What fidelity costs, as a picture: every candidate, the front, and the one that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.files import replacing
from ringmoe.reports.charts import INK, style

AXES = {
    "bytes": ("weights on disk, MB", 1e-6),
    "parameters": ("parameters, million", 1e-6),
    "flops": ("work per image, GFLOP", 1e-9),
    "latency": ("time per image, ms", 1e3),
}
"""Costs: the axis's label, and what a cost is multiplied by."""

METHODS = {
    "submodel": "#1d2733",
    "ep": "#3f5fa8",
    "function-aware": "#3d8b54",
    "neurons": "#d1603d",
    "ka": "#8a6fa8",
    "kc": "#c59b2d",
    "ks": "#8b949e",
}
_DEFAULT = "#555555"


def pareto_picture(
    candidates: Sequence[Mapping[str, Any]], path: Path, budget: tuple[str, float] | None = None
) -> Path:
    """Draw fidelity over each cost, as PNG.

    Filled points are models in floating weights, open ones in 8 bits; a line joins the front; a
    ring marks the choice. Fidelity below 0 is drawn as a triangle at 0.

    Args:
        candidates: Of each `method`, `int8`, `fidelity`, `chosen`, `front` (names of the costs on
            whose front it is) and the costs of `AXES`; costs that are None are not drawn.
        path: The file.
        budget: Name of a cost, and the most it may be.

    Returns:
        The file.

    Raises:
        WriteError: It cannot be written.
    """
    known = [a for a in AXES if all(candidate[a] is not None for candidate in candidates)]
    with style() as plt:
        figure, axes = plt.subplots(
            1, len(known), figsize=(3.3 * len(known), 3.6), squeeze=False, sharey=True
        )
        for name, axis in zip(known, axes[0], strict=True):
            _panel(axis, candidates, name)
            if budget is not None and budget[0] == name:
                axis.axvline(budget[1] * AXES[name][1], color=INK, linewidth=1, linestyle="--")
        axes[0][0].set_ylabel("fidelity of the features")
        for method in dict.fromkeys(candidate["method"] for candidate in candidates):
            axes[0][0].scatter([], [], s=30, color=METHODS.get(method, _DEFAULT), label=method)
        figure.legend(loc="lower center", ncol=len(METHODS), frameon=False)
        figure.tight_layout(rect=(0, 0.09, 1, 1))
        with replacing(path) as unfinished:
            figure.savefig(unfinished, format="png", dpi=150, metadata={"Software": None})
    return path


def _panel(axis: Any, candidates: Sequence[Mapping[str, Any]], name: str) -> None:
    """One cost: its points and its front."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    label, factor = AXES[name]
    front = sorted((c for c in candidates if name in c["front"]), key=lambda c: c[name])
    costs = [factor * c[name] for c in front]
    axis.step(
        costs, np.maximum([c["fidelity"] for c in front], 0), where="post", color=INK, alpha=0.4
    )
    for c in candidates:
        colour = METHODS.get(c["method"], _DEFAULT)
        place = factor * c[name], max(c["fidelity"], 0)
        face = "white" if c["int8"] else colour
        marker = "o" if c["fidelity"] >= 0 else "v"
        axis.scatter(*place, s=30, marker=marker, facecolor=face, edgecolor=colour, zorder=3)
        if c["chosen"]:
            axis.scatter(*place, s=160, facecolor="none", edgecolor=INK, linewidth=1.5, zorder=4)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_ylim(-0.05, 1.05)
    axis.set_xlabel(label)
