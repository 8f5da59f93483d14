"""What a detector or a tracker found, beside what is there: parts of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ringmoe.reports import pictures
from ringmoe.reports.labels import learned
from ringmoe.reports.objects import TRUTH, colour_of, draw_objects, draw_tracks
from ringmoe.reports.page import Section, render

_CELL = 420  # pixels of a small picture on the page


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
        ignored: How many of these the metrics ignore.
    """

    name: str
    picture: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    truth: np.ndarray
    ignored: int = 0

    @property
    def caption(self) -> str:
        """What is found and there, in numbers."""
        ignored = f", {self.ignored} of them ignored" if self.ignored else ""
        return f"{self.name}: {len(self.boxes)} found, {len(self.truth)} there{ignored}"


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


def found_section(
    views: Sequence[FoundView], classes: Sequence[str], threshold: float, held_out: bool
) -> Section:
    """Images with what was found in each.

    Args:
        views: The images.
        classes: Names.
        threshold: The score from which detections are drawn.
        held_out: Whether the images are ones that it did not learn from.
    """
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
            "caption": view.caption,
        }
        for view in views
    ]
    legend = [(name, colour_of(index)) for index, name in enumerate(classes)]
    return Section(
        "What it finds",
        f"Images that it {learned(held_out)} from. Found with a score of at least "
        f"{100 * threshold:.0f} % in the colour of the class, with the score where there are not "
        "too many; what is there in white, dashed.",
        _sheet(cells, views) + render("legend.html.j2", classes=[*legend, ("the truth", TRUTH)]),
    )


def tracks_section(views: Sequence[TrackView]) -> Section:
    """The ends of sequences with the tracks that lead there."""
    cells = [
        {
            "picture": pictures.png(
                draw_tracks(view.picture, view.paths, view.boxes, zoom=_zoom(view.picture))
            ),
            "label": view.name,
            "caption": f"{view.name}: {len(view.paths)} tracks",
        }
        for view in views
    ]
    return Section(
        "What it follows",
        "The last image of each sequence, with the way that each object came; a number and a "
        "colour a track.",
        _sheet(cells, views),
    )


def precision_section(by_class: Mapping[str, float | None]) -> Section:
    """Class to its average precision at an IoU of 0.5; None where there was no object."""
    rows = [
        (name, "no object" if value is None else f"{100 * value:.1f} %")
        for name, value in by_class.items()
    ]
    table = render("table.html.j2", header=("class", "average precision"), rows=rows)
    return Section("Class by class", "Average precision at an IoU of 0.5.", table)


def _sheet(cells: Sequence[Mapping[str, str]], views: Sequence[FoundView | TrackView]) -> str:
    small = max(max(view.picture.shape[:2]) for view in views) <= _CELL
    columns = f"repeat({min(3 if small else 2, len(cells))}, 1fr)"
    return render("tiles.html.j2", cells=cells, columns=columns, drawn=True)


def _zoom(picture: np.ndarray) -> int:
    """What makes a picture about as large as it is shown, so that lines keep their width."""
    return max(1, round(_CELL / max(picture.shape[:2])))
