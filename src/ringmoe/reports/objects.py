"""Boxes and tracks drawn on the image they were found in."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ringmoe.boxes.forms import cxcywhr_to_corners, xyxy_to_corners
from ringmoe.errors import ConfigError
from ringmoe.files import replacing
from ringmoe.reports.charts import style

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (255, 196, 0),
    (0, 214, 255),
    (255, 92, 138),
    (126, 232, 92),
    (255, 128, 40),
    (178, 140, 255),
)
"""Of classes: bright, as images of the ground are dull. Further classes have darker ones."""

TRUTH: Colour = (255, 255, 255)
"""Of what is there, drawn dashed."""

_SHORT = 640  # pixels: a smaller image is enlarged until its longer side has about as many
_LABELLED = 60  # objects of an image that get their scores written beside them
_LINE = 16  # pixels of a line of text
_MOST_NAMES, _LONGEST = 12, 40  # classes in a legend, and letters of a name
_SHADE: Colour = (11, 16, 22)  # of rims: what is bright stands out on bright ground too


def colour_of(index: int) -> Colour:
    """The colour of a class."""
    shade = (1.0, 0.62, 0.8)[index // len(COLOURS) % 3]
    red, green, blue = COLOURS[index % len(COLOURS)]
    return round(red * shade), round(green * shade), round(blue * shade)


def draw_objects(
    picture: np.ndarray,
    boxes: np.ndarray,
    classes: np.ndarray,
    scores: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    *,
    names: Sequence[str] = (),
    zoom: int | None = None,
) -> np.ndarray:
    """Draw boxes on an image, in the colours of their classes.

    Args:
        picture: `(H, W, 3)` uint8.
        boxes: `(N, 4)` xyxy or `(N, 5)` cxcywhr in its pixels, see `ringmoe.boxes`.
        classes: `(N,)` class indices.
        scores: `(N,)`, written beside the boxes where these are not too many.
        truth: `(M, 4)` or `(M, 5)`, what is there: white and dashed, under the others.
        names: Of the classes, for a legend of those that are there and how many they are; none for
            no legend.
        zoom: How many times to enlarge the image, by whole pixels; None chooses.

    Returns:
        `(H * zoom, W * zoom, 3)` uint8.
    """
    with _canvas(picture, zoom) as (axis, drawn):
        if truth is not None and len(truth):
            _outline(axis, truth, _rgb([TRUTH]), width=1.4, dashes=(0, (4, 2.5)))
        if len(boxes):
            colours = _rgb([colour_of(int(index)) for index in classes])
            _outline(axis, boxes, colours, width=1.7)
            if scores is not None and len(boxes) <= _LABELLED:
                _label(axis, boxes, [f"{100 * score:.0f}" for score in scores], colours)
            if names:
                _legend(axis, classes, names)
        return drawn()


def draw_tracks(
    picture: np.ndarray,
    paths: Mapping[int, np.ndarray],
    boxes: Mapping[int, np.ndarray] | None = None,
    *,
    zoom: int | None = None,
) -> np.ndarray:
    """Draw where things came from on the image in which they are now.

    Args:
        picture: `(H, W, 3)` uint8.
        paths: Of each track its number to the centres `(T, 2)` x and y, the oldest first; older
            ones are fainter.
        boxes: Of each track that is in this image, its box, `(4,)` or `(5,)`.
        zoom: How many times to enlarge the image, by whole pixels; None chooses.

    Returns:
        `(H * zoom, W * zoom, 3)` uint8.
    """
    from matplotlib.collections import LineCollection

    with _canvas(picture, zoom) as (axis, drawn):
        for number, points in paths.items():
            colour = _rgb([_track_colour(number)])
            steps = np.stack([points[:-1], points[1:]], axis=1)
            fading = np.linspace(0.1, 1, len(steps))[:, None]
            for shade, width in ((_rgb([_SHADE]), 3.4), (colour, 2.0)):
                shades = np.concatenate([shade.repeat(len(steps), 0), fading], axis=1)
                axis.add_collection(LineCollection(list(steps), colors=shades, linewidths=width))
            now = boxes.get(number) if boxes is not None else None
            if now is not None:
                _outline(axis, now[None], colour, width=1.7)
            else:
                axis.plot(
                    *points[-1],
                    marker="o",
                    color=colour[0],
                    markeredgecolor=_rgb([_SHADE])[0],
                    markersize=5,
                )
                now = np.concatenate([points[-1] - 3, points[-1] + 3])
            _label(axis, now[None], [str(number)], colour)
        return drawn()


def write_picture(path: Path, picture: np.ndarray) -> Path:
    """Write `(H, W, 3)` uint8 to a file that `check_picture` takes.

    Raises:
        ConfigError: See `check_picture`.
        WriteError: The file cannot be written; an older one stands untouched.
    """
    with replacing(path) as partial:
        Image.fromarray(picture).save(partial, format=check_picture(path), quality=92)
    return path


def check_picture(path: Path) -> str:
    """The format of a picture's file, by its ending.

    Raises:
        ConfigError: It is none of PNG and JPEG.
    """
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in formats:
        raise ConfigError(f"{path}: a picture is a {', '.join(formats)}: choose one")
    return formats[path.suffix.lower()]


@contextmanager
def _canvas(picture: np.ndarray, zoom: int | None) -> Iterator[tuple[Any, Any]]:
    """Axes over the image, in its pixels; and what gives the pixels of both."""
    height, width = picture.shape[:2]
    zoom = zoom or max(1, round(_SHORT / max(height, width)))
    dots = 100
    with style() as plt:
        figure = plt.figure(figsize=(width * zoom / dots, height * zoom / dots), dpi=dots)
        axis = figure.add_axes((0, 0, 1, 1))
        axis.imshow(picture, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
        axis.set_axis_off()
        axis.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)

        def drawn() -> np.ndarray:
            figure.canvas.draw()
            return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()

        yield axis, drawn


def _outline(
    axis: Any, boxes: np.ndarray, colours: np.ndarray, width: float, dashes: Any = "solid"
) -> None:
    """Boxes as lines with a dark rim, so that they are seen on bright ground too."""
    from matplotlib.collections import PolyCollection

    shapes = _corners(boxes).reshape(-1, 4, 2)
    rim: dict[str, Any] = {"edgecolors": [(*_rgb([_SHADE])[0], 0.6)], "linewidths": width + 1.6}
    for look in (rim, {"edgecolors": colours, "linewidths": width, "linestyles": [dashes]}):
        axis.add_collection(
            PolyCollection(list(shapes), facecolors="none", joinstyle="miter", **look)
        )


def _label(axis: Any, boxes: np.ndarray, texts: Sequence[str], colours: np.ndarray) -> None:
    """A text above the topmost corner of each box; inside the picture where that is not."""
    from matplotlib.patheffects import withStroke

    (_, width), (height, _) = axis.get_xlim(), axis.get_ylim()
    line = _LINE * width / (axis.figure.get_figwidth() * axis.figure.dpi)
    rim = [withStroke(linewidth=2.2, foreground=_rgb([_SHADE])[0])]
    for corners, text, colour in zip(
        _corners(boxes).reshape(-1, 4, 2), texts, colours, strict=True
    ):
        x, y = min(corners.tolist(), key=lambda corner: (corner[1], corner[0]))
        axis.annotate(
            text,
            (min(max(x, 0), width - 1.5 * line), min(max(y, line), height)),
            xytext=(0, 2.5),
            textcoords="offset points",
            color=colour,
            fontsize=7.5,
            fontweight="bold",
            path_effects=rim,
            annotation_clip=True,
        )


def _legend(axis: Any, classes: np.ndarray, names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    counts = np.bincount(classes, minlength=len(names))
    common = np.sort(np.argsort(-counts, kind="stable")[: min(_MOST_NAMES, (counts > 0).sum())])
    handles = [
        Patch(
            color=_rgb([colour_of(i)])[0],
            label=f"{_short(names[i])}  {counts[i]}",
        )
        for i in common
    ]
    if rest := np.delete(counts, common).sum():
        handles.append(Patch(alpha=0, label=f"others  {rest}"))
    legend = axis.legend(
        handles=handles,
        loc="lower left",
        facecolor=tuple(_rgb([_SHADE])[0]),
        edgecolor="none",
        labelcolor="white",
        framealpha=0.75,
        handlelength=1,
        handleheight=1,
        fontsize=9,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a class may be called $1


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."


def _corners(boxes: np.ndarray) -> np.ndarray:
    return (xyxy_to_corners if boxes.shape[1] == 4 else cxcywhr_to_corners)(boxes)


def _track_colour(number: int) -> Colour:
    """Hues a golden section apart: neighbours in number differ most."""
    red, green, blue = colorsys.hsv_to_rgb((0.13 + number * 0.618034) % 1, 0.6, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _rgb(colours: Sequence[Colour]) -> np.ndarray:
    return np.array(colours) / 255
