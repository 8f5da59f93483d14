"""What a model says of images and of their pixels, beside what is there: parts of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ringmoe.reports import charts, pictures
from ringmoe.reports.maps import Colour, paint
from ringmoe.reports.page import Section, render

_STEPS = 6  # of a scale of heights


@dataclass(frozen=True, eq=False)
class NamedView:
    """An image and the class that a model gives it.

    Attributes:
        picture: `(H, W, 3)` uint8.
        said: The class that the model names.
        score: Its share, 0 to 1.
        truth: The class that it is of.
    """

    picture: np.ndarray
    said: str
    score: float
    truth: str


@dataclass(frozen=True, eq=False)
class MappedView:
    """Images of one place and what a model says of each pixel.

    Attributes:
        name: Of the example.
        images: What stands over it to `(H, W, 3)` uint8.
        said: `(H, W)` class indices, or metres.
        truth: The same; negative, or NaN, where nobody knows.
    """

    name: str
    images: Mapping[str, np.ndarray]
    said: np.ndarray
    truth: np.ndarray


def named_section(views: Sequence[NamedView], held_out: bool) -> Section:
    """Images with the class that each was given."""
    cells = []
    for view in views:
        right = view.said == view.truth
        verdict = "✓" if right else f"✗ it is {view.truth}"
        caption = f"{view.said}, {100 * view.score:.0f} % {verdict}"
        cells.append(
            {"picture": pictures.png(view.picture), "label": view.truth, "caption": caption}
        )
    columns = f"repeat({min(4, len(cells))}, 1fr)"
    return Section(
        "What it says",
        f"Images that it {learned(held_out)} from, with the class that it names and how sure it "
        "is of it.",
        render("tiles.html.j2", cells=cells, columns=columns),
    )


def classes_section(
    views: Sequence[MappedView], legend: Sequence[tuple[str, Colour]], held_out: bool
) -> Section:
    """Maps of classes beside the truth; white where there is no label."""
    colours = [colour for _, colour in legend]
    sheet = _sheet(views, lambda plane: paint(plane.astype(np.int64), colours))
    return Section(
        "What it maps",
        f"Images that it {learned(held_out)} from. The truth is white where nobody labelled.",
        sheet + render("legend.html.j2", classes=legend),
    )


def heights_section(views: Sequence[MappedView], held_out: bool) -> Section:
    """Maps of heights beside the truth, in one scale."""
    known = np.concatenate(
        [plane[np.isfinite(plane)] for view in views for plane in (view.said, view.truth)]
    )
    low, high = (0.0, 1.0) if not known.size else np.percentile(known, [0, 99.5]).tolist()
    high = max(high, low + 1e-6)

    def painted(plane: np.ndarray) -> np.ndarray:
        picture = charts.viridis((plane - low) / (high - low))
        picture[~np.isfinite(plane)] = 255
        return picture

    steps = np.linspace(low, high, _STEPS)
    legend = [
        (f"{step:.1f} m", tuple(painted(np.array([[step]]))[0, 0].tolist())) for step in steps
    ]
    return Section(
        "What it maps",
        f"Images that it {learned(held_out)} from. The truth is white where nobody measured.",
        _sheet(views, painted) + render("legend.html.j2", classes=legend),
    )


def _sheet(views: Sequence[MappedView], painted: Callable[[np.ndarray], np.ndarray]) -> str:
    """A row an example: its images, what the model says, what is there."""
    names = (*views[0].images, "what it says", "what is there")
    cells = [{"picture": "", "label": name} for name in names]
    for view in views:
        row = [*view.images.values(), painted(view.said), painted(view.truth)]
        for picture, name in zip(row, names, strict=True):
            caption = view.name if picture is row[0] else ""
            label = f"{view.name}: {name}"
            cells.append({"picture": pictures.png(picture), "label": label, "caption": caption})
    return render("tiles.html.j2", cells=cells, columns=f"repeat({len(names)}, 1fr)")


def learned(held_out: bool) -> str:
    """What it did with images: "Images that it ... from."."""
    return "did not learn" if held_out else "learned"
