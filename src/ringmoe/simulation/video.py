"""How a landscape is filmed: in its own pixels, or a part of it in finer ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import zoom as resampled

from ringmoe.errors import ConfigError
from ringmoe.simulation.landscape import FRAME_INTERVAL, FRAMES, Landscape
from ringmoe.simulation.object_models import OBJECT_CLASSES
from ringmoe.simulation.objects import SceneObject
from ringmoe.simulation.raster import CELLS_PER_PIXEL, GSD
from ringmoe.simulation.traffic import in_sight

Array = np.ndarray
SMALLEST_VIEW = 16  # pixels of the landscape that a close view shows, at least


@dataclass(frozen=True)
class Film:
    """A camera over a landscape.

    Attributes:
        frames: How many.
        interval: Seconds between two of them.
        zoom: 1 shows the whole landscape in its own pixels of 2 m. More shows the part where most
            moves, as large in pixels, each so many times finer: 4 gives 0.5 m.
        of: The class of objects that a close view is of; none: any, and any where there is no such
            object.
    """

    frames: int = FRAMES
    interval: float = FRAME_INTERVAL
    zoom: int = 1
    of: str = ""

    def check(self, size: int) -> None:
        """Refuse what cannot be filmed of a landscape of that size.

        Raises:
            ConfigError: A number is not positive, or the view is no whole number of pixels, or of
                too few, or there is no such class.
        """
        if self.frames < 1:
            raise ConfigError(f"frames is {self.frames}: a video has at least one")
        if not 0 < self.interval < float("inf"):
            raise ConfigError(f"interval is {self.interval:g}: frames are some seconds apart")
        if self.zoom < 1 or size % self.zoom or size // self.zoom < SMALLEST_VIEW:
            raise ConfigError(
                f"zoom is {self.zoom}: expected a whole number that divides the size ({size}) and "
                f"leaves {SMALLEST_VIEW} pixels of it or more"
            )

        if self.of not in ("", *OBJECT_CLASSES):
            known = ", ".join(OBJECT_CLASSES)
            raise ConfigError(f"a video of {self.of!r}: expected one of {known}")

    @property
    def gsd(self) -> float:
        """Metres of a frame's pixel."""
        return GSD / self.zoom


def close_up(landscape: Landscape, film: Film) -> tuple[Landscape, int, int]:
    """The part of a landscape that a film shows, and where it begins.

    All lengths grow with the zoom, heights too: slopes and shadows stay as they are, a cell is just
    a smaller part of a metre. Edges of what stands on the ground keep the steps of 1 m that the
    landscape was drawn with; what moves is drawn anew.

    Returns:
        The landscape, without a later date unless it is all of it, and the row and column of its
        first pixel.

    Raises:
        ConfigError: The film cannot be made of this landscape.
    """
    film.check(landscape.size[0])
    if film.zoom == 1:
        return landscape, 0, 0
    things = [thing for frame in landscape.frames for thing in frame]
    subjects = [thing for thing in things if thing.kind == film.of] or things
    row, column = _busiest(subjects, landscape.size, landscape.size[0] // film.zoom)
    top, left = row * CELLS_PER_PIXEL, column * CELLS_PER_PIXEL
    cells = CELLS_PER_PIXEL * landscape.size[0] // film.zoom
    view = np.s_[top : top + cells, left : left + cells]

    def near(raster: Array) -> Array:
        return raster[view].repeat(film.zoom, 0).repeat(film.zoom, 1)

    def smooth(raster: Array) -> Array:
        return resampled(raster[view], film.zoom, order=1, mode="nearest", grid_mode=True)

    def nearer(thing: SceneObject) -> SceneObject:
        return replace(
            thing,
            x=(thing.x - left) * film.zoom,
            y=(thing.y - top) * film.zoom,
            length=thing.length * film.zoom,
            width=thing.width * film.zoom,
        )

    frames = tuple(
        in_sight([nearer(thing) for thing in frame], landscape.size) for frame in landscape.frames
    )
    shown = replace(
        landscape,
        elevation=smooth(landscape.elevation) * np.float32(film.zoom),
        base_material=near(landscape.base_material),
        base_height=near(landscape.base_height) * np.float32(film.zoom),
        deck=near(landscape.deck) * np.float32(film.zoom),
        base_mix=smooth(landscape.base_mix),
        tone=smooth(landscape.tone),
        objects=frames[0],
        frames=frames,
        later=None,
    )
    return shown, row, column


def _busiest(things: Sequence[SceneObject], size: tuple[int, int], view: int) -> tuple[int, int]:
    """Row and column where a square view begins that shows most of what moves, and else stands."""
    weights = np.zeros((size[0] + 1, size[1] + 1))
    for thing in things:
        column, row = np.clip(thing.rotated_box[:2], 0, (size[1] - 1, size[0] - 1))
        weights[int(row) + 1, int(column) + 1] += 1 if thing.speed > 0 else 0.1
    sums = weights.cumsum(0).cumsum(1)
    shown = sums[view:, view:] - sums[:-view, view:] - sums[view:, :-view] + sums[:-view, :-view]
    row, column = np.unravel_index(np.round(shown, 6).argmax(), shown.shape)
    return int(row), int(column)
