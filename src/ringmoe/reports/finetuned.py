"""The report of a fine-tuned model: what it says beside what is there, and how it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.reports import charts
from ringmoe.reports.page import Page, Section, render

Curve = tuple[Sequence[int], Sequence[float]]

_LINES = ("#3f5fa8", "#d1603d", "#3d8b54", "#8a6fa8", "#5b6775")
_NUMBERED = 12  # classes up to which shares stand in the squares of a confusion matrix
_LISTED = 200  # problems with labels
_NAMED = 40  # classes up to which their names stand beside it

METRICS = {
    "map50": ("mAP at IoU 0.5", "%"),
    "map": ("mAP, IoU 0.5 to 0.95", "%"),
    "map75": ("mAP at IoU 0.75", "%"),
    "map50_voc07": ("mAP at IoU 0.5, VOC 2007", "%"),
    "mota": ("MOTA", "%"),
    "idf1": ("IDF1", "%"),
    "hota": ("HOTA", "%"),
    "f1": ("F1 of what changed", "%"),
    "iou": ("IoU of what changed", "%"),
    "precision": ("precision", "%"),
    "recall": ("recall", "%"),
    "miou": ("mean IoU", "%"),
    "overall_accuracy": ("overall accuracy", "%"),
    "mean_accuracy": ("mean accuracy", "%"),
    "mf1": ("mean F1", "%"),
    "rmse": ("RMSE", "m"),
    "mae": ("mean absolute error", "m"),
    "rel": ("Rel", ""),
    "delta1": ("heights within a factor of 1.25", "%"),
}
"""Metric to its name for people and its unit, those that stand on the page, in order."""

_FOLLOWED = ("map50", "hota", "mota", "idf1", "f1", "miou", "overall_accuracy", "rmse")


@dataclass(frozen=True, eq=False)
class RunResults:
    """Everything the report shows, as plain numbers and arrays.

    Attributes:
        title: The heading.
        lead: A sentence under it, HTML allowed.
        views: Pictures of what it says, see `ringmoe.reports.labels` and
            `ringmoe.reports.detection`.
        figures: Metric to value; those that `METRICS` does not know are left out.
        classes: Names.
        confusion: Rows of counts, truth by prediction; empty for none.
        loss: (steps, values) while it learned.
        validation: Metric to (steps, values).
        details: (name, value) rows about model, data and training.
        problems: (kind, file, reason) of what is wrong with the labels.
        footer: What made it, where and when.
    """

    title: str
    lead: str
    views: Sequence[Section]
    figures: Mapping[str, Any]
    classes: Sequence[str] = ()
    confusion: Sequence[Sequence[float]] = ()
    loss: Curve = ((), ())
    validation: Mapping[str, Curve] = field(default_factory=dict)
    details: Sequence[tuple[str, str]] = ()
    problems: Sequence[tuple[str, str, str]] = ()
    footer: str = ""


def write_run_report(results: RunResults, path: Path) -> Path:
    """Write the report as one HTML file.

    Raises:
        WriteError: The file cannot be written.
    """
    large = [
        (shown(results.figures[name], unit), title)
        for name, (title, unit) in METRICS.items()
        if results.figures.get(name) is not None
    ]
    sections = [
        *results.views,
        *([_confusion(results)] if len(results.confusion) else []),
        *([_learning(results)] if results.loss[0] else []),
        *([_problems(results.problems)] if results.problems else []),
        *([_details(results)] if results.details else []),
    ]
    page = Page(results.title, results.lead, large, sections, footer=results.footer)
    return page.write(path)


def shown(value: float, unit: str) -> str:
    """A figure as people read it: shares as per cent, metres with two decimals."""
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{value:.2f} {unit}".strip()


def curves(panels: Mapping[str, Mapping[str, Curve]]) -> str:
    """Charts side by side over the steps.

    Args:
        panels: Of each chart its title to its lines, each a name to (steps, values). One of many
            points is smoothed, and drawn thin beneath as it is.

    Returns:
        An `<svg>` element.
    """
    with charts.style() as plt:
        size = (4.6 * len(panels), 2.9)
        figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False)
        for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
            for colour, (name, (steps, values)) in zip(_LINES, lines.items(), strict=False):
                if len(steps) > 40:
                    axis.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
                    axis.plot(steps, charts.smooth(values), color=colour, linewidth=2, label=name)
                else:
                    axis.plot(steps, values, "o-", color=colour, linewidth=2, ms=4, label=name)
            axis.set_title(title, loc="left")
            axis.set_xlabel("step")
            axis.xaxis.get_major_locator().set_params(integer=True)
            highest = max(max(values) for _, values in lines.values())
            if not any(value < 0 for _, values in lines.values() for value in values):
                axis.set_ylim(0, 1.05 * highest or 1)  # MOTA may be negative: many false objects
            if len(lines) > 1:
                axis.legend(frameon=False, loc="best")
        return charts.svg(figure)


def confusion_chart(counts: np.ndarray, classes: Sequence[str]) -> str:
    """What became of each class, as shares of its row.

    Args:
        counts: `(K, K)`, truth by prediction.
        classes: K names.

    Returns:
        An `<svg>` element.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = min(8.5, 2.4 + 0.42 * len(classes))
    with charts.style() as plt:
        figure, axis = plt.subplots(figsize=(side + 1, side))
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(classes) <= _NAMED:
            axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
            axis.set_yticks(range(len(classes)), classes)
        if len(classes) <= _NUMBERED:
            for (row, column), share in np.ndenumerate(shares):
                colour = "white" if share > 0.55 else charts.INK
                text = f"{100 * share:.0f}" if totals[row] else ""
                axis.text(column, row, text, ha="center", va="center", color=colour)
        axis.set(xlabel="what it says", ylabel="what is there")
        axis.grid(False)
        return charts.svg(figure)


def _confusion(results: RunResults) -> Section:
    counts = np.asarray(results.confusion, np.float64)
    true = np.diag(counts)
    there, said = counts.sum(1), counts.sum(0)
    rows = [
        (
            name,
            f"{int(there[k]):,}".replace(",", " "),
            _per_cent(true[k], there[k]),
            _per_cent(true[k], said[k]),
            _per_cent(2 * true[k], there[k] + said[k]),
            _per_cent(true[k], there[k] + said[k] - true[k]),
        )
        for k, name in enumerate(results.classes)
    ]
    header = ("class", "count", "recall", "precision", "F1", "IoU")
    return Section(
        "Class by class",
        "Of each row's class, the share in per cent that was taken for each class.",
        confusion_chart(counts, results.classes)
        + render("table.html.j2", header=header, rows=rows),
    )


def _per_cent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _learning(results: RunResults) -> Section:
    panels: dict[str, Mapping[str, Curve]] = {"training loss": {"loss": results.loss}}
    followed = {
        METRICS[name][0]: results.validation[name]
        for name in _FOLLOWED
        if name in results.validation
    }
    if followed:
        only = f": {next(iter(followed))}" if len(followed) == 1 else ""
        panels[f"validation{only}"] = followed
    return Section("Learning", "", curves(panels))


def _problems(problems: Sequence[tuple[str, str, str]]) -> Section:
    count = len(problems)
    text = f"{count} labels or images, the rest was used." if count > 1 else "The rest was used."
    more = f"and {count - _LISTED} more" if count > _LISTED else ""
    header = ("kind", "file", "reason")
    table = render("table.html.j2", header=header, rows=problems[:_LISTED])
    return Section("What is wrong with the labels", text, table, more)


def _details(results: RunResults) -> Section:
    table = render("table.html.j2", header=("what", "value"), rows=results.details)
    return Section("Model, data, training", "", table)
