"""A task's metrics as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BY_CLASS = "ap50_"  # begins the names of metrics of which every class has one


def print_figures(title: str, figures: Mapping[str, Any], classes: Sequence[str] = ()) -> None:
    """Print metrics, and for classes what became of each.

    Args:
        title: Of the first table.
        figures: Metric to number; `confusion_matrix` as rows of counts, truth by prediction;
            `ap50_<class>`, of which objects have one a class.
        classes: Names, by index.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("", "", title=title, show_header=False)
    for name, value in figures.items():
        if (value is None or isinstance(value, float)) and not name.startswith(BY_CLASS):
            table.add_row(name.replace("_", " "), _number(value))
    console.print(table)
    precision = {name.removeprefix(BY_CLASS): name for name in figures if name.startswith(BY_CLASS)}
    if precision:
        each = Table("class", "AP50")
        each.columns[1].justify = "right"
        for name, key in precision.items():
            each.add_row(name, _number(figures[key]))
        console.print(each)
    matrix = figures.get("confusion_matrix")
    if matrix is not None and classes:
        console.print(_by_class(matrix, classes))


def _by_class(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Any:
    """Precision, recall and IoU of each class, and what it is most often taken for."""
    from rich.table import Table

    table = Table("class")
    for header in ("labelled", "precision", "recall", "IoU"):
        table.add_column(header, justify="right")
    table.add_column("most often taken for")
    for number, name in enumerate(classes):
        row = matrix[number]
        hit, truth, found = row[number], sum(row), sum(other[number] for other in matrix)
        wrong = max(
            (n for n in range(len(row)) if n != number), key=row.__getitem__, default=number
        )
        table.add_row(
            name,
            str(truth),
            _share(hit, found),
            _share(hit, truth),
            _share(hit, truth + found - hit),
            f"{classes[wrong]} ({row[wrong]})" if wrong != number and row[wrong] else "",
        )
    return table


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "none"
