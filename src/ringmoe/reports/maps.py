"""A map beside the images it was made of, as a picture to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.files import replacing
from ringmoe.reports.charts import style

Colour = tuple[int, int, int]

PANEL = 4.6  # inches of a panel's width
DOTS = 140  # an inch
_HANDLE, _PAD, _SPACING = 1.0, 0.8, 1.4  # of a legend, in sizes of its letters


@dataclass(frozen=True)
class ClassPanel:
    """A map of classes.

    Attributes:
        name: What stands over it.
        classes: `(H, W)` class indices, negative where there is none.
        colours: Red, green and blue of each class, 0 to 255.
    """

    name: str
    classes: np.ndarray
    colours: Sequence[Colour]


@dataclass(frozen=True)
class ValuePanel:
    """A map of values.

    Attributes:
        name: What stands over it.
        values: `(H, W)`, NaN where there is none.
        unit: Of the values, for the colour bar.
    """

    name: str
    values: np.ndarray
    unit: str


Panel = ClassPanel | ValuePanel


def write_map_picture(
    path: Path,
    images: Mapping[str, np.ndarray],
    panels: Sequence[Panel],
    legend: Sequence[tuple[str, Colour]] = (),
) -> Path:
    """Draw images and maps side by side, all of one shape, to a PNG, JPEG, SVG or PDF.

    Args:
        path: Where to; the ending chooses.
        images: What stands over it to `(H, W, 3)` uint8.
        panels: The maps; those of values share one colour scale.
        legend: (class, colour) pairs.

    Raises:
        WriteError: The file cannot be written.
    """
    count = len(images) + len(panels)
    height, width = next(iter(images.values())).shape[:2]
    with style() as plt:
        columns, depth = _legend_grid(plt, [name for name, _ in legend], PANEL * count)
        size = (PANEL * count, PANEL * min(height / width, 2.0) + 0.35 + depth)
        figure, axes = plt.subplots(1, count, figsize=size, squeeze=False, layout="constrained")
        for axis, (name, image) in zip(axes[0], images.items(), strict=False):
            _show(axis, name, image)
        values = [panel.values for panel in panels if isinstance(panel, ValuePanel)]
        limits = _limits(values)
        for axis, panel in zip(axes[0][len(images) :], panels, strict=True):
            if isinstance(panel, ClassPanel):
                _show(axis, panel.name, paint(panel.classes, panel.colours))
                continue
            shown = _show(axis, panel.name, panel.values, cmap="viridis", **limits)
            figure.colorbar(shown, ax=axis, label=panel.unit, fraction=0.045, pad=0.02)
        if legend:
            _legend(figure, plt, legend, columns)
        with replacing(path) as partial:
            figure.savefig(partial, format=path.suffix[1:].lower(), dpi=DOTS)
    return path


def paint(classes: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """Class indices `(H, W)` in their colours, `(H, W, 3)` uint8; white where there is none."""
    table = np.array([*colours, (255, 255, 255)], np.uint8)
    known = (classes >= 0) & (classes < len(colours))
    return table[np.where(known, classes, len(colours))]


def _show(axis: Any, name: str, picture: np.ndarray, **options: Any) -> Any:
    axis.set_title(name, loc="left")
    axis.set_axis_off()
    return axis.imshow(picture, interpolation="nearest", **options)


def _limits(values: Sequence[np.ndarray]) -> dict[str, float]:
    """One scale for all: from the least to the 99.5th percentile of what is known."""
    known = np.concatenate([plane[np.isfinite(plane)] for plane in values] or [np.zeros(0)])
    if not known.size:
        return {}
    return {"vmin": float(known.min()), "vmax": float(np.percentile(known, 99.5))}


def _legend_grid(plt: Any, names: Sequence[str], width: float) -> tuple[int, float]:
    """Columns of a legend as wide as its longest name that fit, and its height; inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not names:
        return 0, 0.0
    size = FontProperties(size=plt.rcParams["legend.fontsize"]).get_size_in_points()
    longest = max(TextPath((0, 0), name, size=size).get_extents().width for name in names)
    beside = (_HANDLE + _PAD + _SPACING) * size
    # The last column has no space after it, the border of the legend's box is as wide.
    columns = max(1, min(len(names), int(72 * width / (longest + beside))))
    rows = math.ceil(len(names) / columns)
    return columns, 0.3 + (rows - 1) * 1.5 * size / 72  # lines half a line apart


def _legend(figure: Any, plt: Any, legend: Sequence[tuple[str, Colour]], columns: int) -> None:
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=np.array(colour) / 255, label=name)
        for name, colour in legend
    ]
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        handlelength=_HANDLE,
        handletextpad=_PAD,
        columnspacing=_SPACING,
        labelspacing=0.5,
    )
