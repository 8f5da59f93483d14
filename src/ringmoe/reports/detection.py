"""The report of a detector: what it found beside what is there, and how it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ringmoe.reports import charts, pictures
from ringmoe.reports.objects import TRUTH, colour_of, draw_objects, draw_tracks
from ringmoe.reports.page import Page, Section, render

Curve = tuple[Sequence[int], Sequence[float]]

_CELL = 420  # pixels of a small picture on the page
_LINES = ("#3f5fa8", "#d1603d", "#3d8b54", "#8a6fa8", "#5b6775")


@dataclass(frozen=True, eq=False)
class FoundView:
    """An image with what a detector found in it.

    Attributes:
        name: Of the image.
        picture: `(H, W, 3)` uint8.
        boxes: `(N, 4)` xyxy or `(N, 5)` cxcywhr.
        classes: `(N,)` class indices.
        scores: `(N,)`.
        truth: `(M, 4)` or `(M, 5)`, what is there.
    """

    name: str
    picture: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, eq=False)
class TrackView:
    """The last image of a sequence with the tracks that lead there.

    Attributes:
        name: Of the sequence.
        picture: `(H, W, 3)` uint8.
        paths: Track to the centres `(T, 2)` that it went through.
        boxes: Track to its box in this image, `(4,)` or `(5,)`.
    """

    name: str
    picture: np.ndarray
    paths: Mapping[int, np.ndarray]
    boxes: Mapping[int, np.ndarray]


@dataclass(frozen=True, eq=False)
class DetectorResults:
    """Everything the report shows, as plain numbers and arrays.

    Attributes:
        title: The heading.
        lead: A sentence under it, HTML allowed.
        classes: Names.
        images: Those to look at.
        figures: Metric to value of the model that was kept.
        by_class: Class to its average precision at an IoU of 0.5; None where there was no object.
        loss: (steps, values) while it learned.
        validation: Metric to (steps, values).
        tracks: Of sequences.
        held_out: Whether the images are ones that it did not learn from.
        threshold: The score from which detections are drawn.
        details: (name, value) rows about model, data and training.
        footer: What made it, where and when.
    """

    title: str
    lead: str
    classes: Sequence[str]
    images: Sequence[FoundView]
    figures: Mapping[str, float]
    by_class: Mapping[str, float | None] = field(default_factory=dict)
    loss: Curve = ((), ())
    validation: Mapping[str, Curve] = field(default_factory=dict)
    tracks: Sequence[TrackView] = ()
    held_out: bool = True
    threshold: float = 0.5
    details: Sequence[tuple[str, str]] = ()
    footer: str = ""


NAMES = {
    "map50": "mAP at IoU 0.5",
    "map": "mAP, IoU 0.5 to 0.95",
    "map75": "mAP at IoU 0.75",
    "map50_voc07": "mAP at IoU 0.5, VOC 2007",
    "mota": "MOTA",
    "idf1": "IDF1",
    "hota": "HOTA",
}
"""Of metrics, for people."""


def write_detector_report(results: DetectorResults, path: Path) -> Path:
    """Write the report as one HTML file.

    Raises:
        WriteError: The file cannot be written.
    """
    large = [
        (f"{100 * results.figures[name]:.1f} %", title)
        for name, title in NAMES.items()
        if results.figures.get(name) is not None
    ]
    sections = [
        *([_images(results)] if results.images else []),
        *([_tracks(results)] if results.tracks else []),
        *([_classes(results)] if results.by_class else []),
        *([_learning(results)] if results.loss[0] else []),
        *([_details(results)] if results.details else []),
    ]
    page = Page(results.title, results.lead, large, sections, footer=results.footer)
    return page.write(path)


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
            if not any(value < 0 for _, values in lines.values() for value in values):
                axis.set_ylim(bottom=0)  # MOTA may be negative: more errors than objects
            if len(lines) > 1:
                axis.legend(frameon=False, loc="best")
        return charts.svg(figure)


def _images(results: DetectorResults) -> Section:
    cells = [
        {
            "picture": pictures.png(
                draw_objects(
                    view.picture,
                    view.boxes,
                    view.classes,
                    view.scores,
                    view.truth,
                    zoom=_zoom(view.picture),
                )
            ),
            "label": view.name,
            "caption": f"{view.name}: {len(view.boxes)} found, {len(view.truth)} there",
        }
        for view in results.images
    ]
    legend = [(name, colour_of(index)) for index, name in enumerate(results.classes)]
    return Section(
        "What it finds",
        f"Images that it {'did not learn' if results.held_out else 'learned'} from. Found with a "
        f"score of at least {100 * results.threshold:.0f} % in the colour of the class, with the "
        "score where there are not too many; what is there in white, dashed.",
        _sheet(cells, results.images)
        + render("legend.html.j2", classes=[*legend, ("the truth", TRUTH)]),
    )


def _tracks(results: DetectorResults) -> Section:
    cells = [
        {
            "picture": pictures.png(
                draw_tracks(view.picture, view.paths, view.boxes, zoom=_zoom(view.picture))
            ),
            "label": view.name,
            "caption": f"{view.name}: {len(view.paths)} tracks",
        }
        for view in results.tracks
    ]
    return Section(
        "What it follows",
        "The last image of each sequence, with the way that each object came; a number and a "
        "colour a track.",
        _sheet(cells, results.tracks),
    )


def _classes(results: DetectorResults) -> Section:
    rows = [
        (name, "no object" if value is None else f"{100 * value:.1f} %")
        for name, value in results.by_class.items()
    ]
    table = render("table.html.j2", header=("class", "average precision"), rows=rows)
    return Section("Class by class", "Average precision at an IoU of 0.5.", table)


def _learning(results: DetectorResults) -> Section:
    panels: dict[str, Mapping[str, Curve]] = {"training loss": {"loss": results.loss}}
    shown = {NAMES.get(name, name): curve for name, curve in results.validation.items()}
    if shown:
        panels["validation"] = shown
    return Section("Learning", "", curves(panels))


def _details(results: DetectorResults) -> Section:
    table = render("table.html.j2", header=("what", "value"), rows=results.details)
    return Section("Model, data, training", "", table)


def _sheet(cells: Sequence[Mapping[str, str]], views: Sequence[FoundView | TrackView]) -> str:
    small = max(max(view.picture.shape[:2]) for view in views) <= _CELL
    columns = f"repeat({min(3 if small else 2, len(cells))}, 1fr)"
    return render("tiles.html.j2", cells=cells, columns=columns, drawn=True)


def _zoom(picture: np.ndarray) -> int:
    """What makes a picture about as large as it is shown, so that lines keep their width."""
    return max(1, round(_CELL / max(picture.shape[:2])))
