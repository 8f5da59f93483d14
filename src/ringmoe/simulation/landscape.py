"""`Landscape`: everything that a simulated sensor can see, and every label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ringmoe.errors import ConfigError
from ringmoe.simulation.change import six_weeks_later
from ringmoe.simulation.fields import draw_crowns, grow_trees
from ringmoe.simulation.kinds import KINDS, draw_plan
from ringmoe.simulation.materials import CLASS_OF, GRAIN, INDEX, LAND_COVER, PATCHES
from ringmoe.simulation.objects import SceneObject, draw_objects
from ringmoe.simulation.plan import Building, Plan, stream
from ringmoe.simulation.raster import CELLS_PER_PIXEL
from ringmoe.simulation.terrain import Illumination, fractal
from ringmoe.simulation.traffic import Traffic, in_sight

Array = np.ndarray

SMALLEST = 32  # pixels
FRAMES, FRAME_INTERVAL = 8, 1.0  # of the video; seconds


@dataclass(frozen=True)
class Landscape:
    """A piece of land at one moment.

    Rasters are on cells of 1 m, two to a pixel (`raster.py`); labels are on pixels.

    Attributes:
        seed: It came from.
        kind: The scene class, one of `KINDS`.
        elevation: Of the ground in metres, `(2H, 2W)` float32.
        base_material: Index into `MATERIALS` without objects, `(2H, 2W)` uint8.
        base_height: Height above ground without objects in metres, `(2H, 2W)` float32.
        deck: Height of bridges above ground or water, `(2H, 2W)` float32.
        base_mix: Share of the material's partner without objects, `(2H, 2W)` float32 in [0, 1].
        tone: Brightness relative to the material's spectrum, `(2H, 2W)` float32.
        buildings: For their walls, which reflect radar waves.
        objects: Ships, aircraft, vehicles of which something is inside the image.
        sun: Where the sun stands.
        radar: Where the radar stands.
        later: The same land at the later date; None of the later one itself.
        frames: The objects in each frame of the video; the first is `objects`.
    """

    seed: int
    kind: str
    elevation: Array
    base_material: Array
    base_height: Array
    deck: Array
    base_mix: Array
    tone: Array
    buildings: tuple[Building, ...]
    objects: tuple[SceneObject, ...]
    sun: Illumination
    radar: Illumination
    later: Landscape | None = None
    frames: tuple[tuple[SceneObject, ...], ...] = field(default=())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        rows, columns = self.elevation.shape
        return rows // CELLS_PER_PIXEL, columns // CELLS_PER_PIXEL

    @cached_property
    def _drawn(self) -> tuple[Array, Array, Array, Array]:
        material, height = self.base_material.copy(), self.base_height.copy()
        mix = self.base_mix.copy()
        water = CLASS_OF[material] == LAND_COVER.index("water")
        ids = draw_objects(self.objects, material, height, mix, self.deck, water)
        return material, height, mix, ids

    @property
    def material(self) -> Array:
        """Index into `MATERIALS` with objects, `(2H, 2W)` uint8."""
        return self._drawn[0]

    @property
    def height(self) -> Array:
        """Height above ground with objects in metres, `(2H, 2W)` float32."""
        return self._drawn[1]

    @property
    def mix(self) -> Array:
        """Share of the material's partner with objects, `(2H, 2W)` float32 in [0, 1]."""
        return self._drawn[2]

    @property
    def cell_ids(self) -> Array:
        """The id of the object on each cell, 0 for none: `(2H, 2W)` int32."""
        return self._drawn[3]

    @property
    def solid(self) -> Array:
        """Where the highest thing stops radar waves (all but trees), `(2H, 2W)` bool."""
        return CLASS_OF[self.material] != LAND_COVER.index("forest")

    @cached_property
    def land_cover(self) -> Array:
        """The commonest class of each pixel's ground, under any object: `(H, W)` uint8."""
        classes = CLASS_OF[self.base_material]
        counts = [block_mean((classes == c).astype(np.float32)) for c in range(len(LAND_COVER))]
        return np.argmax(counts, axis=0).astype(np.uint8)

    @cached_property
    def height_above_ground(self) -> Array:
        """Of the highest thing in each pixel, in metres (nDSM): `(H, W)` float32."""
        return _blocks(self.height).max(axis=(1, 3))

    @cached_property
    def object_ids(self) -> Array:
        """The id of the object that covers at least half of each pixel, 0 for none: `(H, W)`."""
        cells = np.sort(_blocks(self.cell_ids).transpose(0, 2, 1, 3).reshape(*self.size, -1), -1)
        return cells[..., cells.shape[-1] // 2]

    @cached_property
    def change(self) -> Array:
        """Where land cover or objects differ at the later date, `(H, W)` bool."""
        if self.later is None:
            raise ConfigError("this landscape is the later date itself: it has no change mask")
        return (self.land_cover != self.later.land_cover) | (
            self.object_ids != self.later.object_ids
        )

    def at_frame(self, number: int) -> Landscape:
        """The landscape at one frame of its video."""
        return replace(self, objects=self.frames[number], later=None, frames=())


def simulate_landscape(
    seed: int,
    size: int = 256,
    kind: str | None = None,
    frames: int = FRAMES,
    interval: float = FRAME_INTERVAL,
) -> Landscape:
    """Make a landscape with its later date and its video.

    Args:
        seed: At least 0; the same seed gives the same landscape.
        size: Height and width in pixels of 2 m, at least 32.
        kind: One of `KINDS`; None: the seed decides.
        frames: Of its video.
        interval: Seconds between two of them.

    Returns:
        The landscape at the first date.

    Raises:
        ConfigError: `seed` is negative, `size` is below 32, or `kind` is none of `KINDS`.
    """
    check_landscape(seed, size, kind)
    rng = stream(seed, "landscape")
    kind = kind or str(rng.choice(list(KINDS)))
    cells = CELLS_PER_PIXEL * size
    plan = draw_plan(seed, (cells, cells), kind)
    sun = Illumination(rng.uniform(125, 175), rng.uniform(38, 56))
    later_sun = Illumination(sun.azimuth + rng.normal(0, 9), sun.elevation + rng.normal(0, 3))
    radar = Illumination(rng.choice([80.0, 280.0]) + rng.normal(0, 3), 55.0)
    times = [number * interval for number in range(frames)]
    now = _render(plan, kind, sun, radar, 0, times)
    return replace(now, later=_render(six_weeks_later(plan), kind, later_sun, radar, 1, [0.0]))


def check_landscape(seed: int, size: int, kind: str | None) -> None:
    """Refuse what `simulate_landscape` cannot make, before any of it is made.

    Raises:
        ConfigError: `seed` is negative, `size` is below 32, or `kind` is none of `KINDS`.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}: it must be 0 or more")
    if size < SMALLEST:
        raise ConfigError(f"size is {size} pixels: a landscape needs at least {SMALLEST}")
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"no scenes of kind {kind!r}: choose one of {', '.join(KINDS)}")


def _render(
    plan: Plan,
    kind: str,
    sun: Illumination,
    radar: Illumination,
    date: int,
    times: Sequence[float],
) -> Landscape:
    """Build, plant and populate what a plan describes."""
    material, mix, tone = plan.material.copy(), plan.mix.copy(), plan.tone.copy()
    height = plan.deck.copy()
    _raise_buildings(plan, material, mix, tone, height)
    blocked = height > plan.deck
    _raise_trees(plan, material, mix, tone, height)
    noise = plan.stream("texture")
    tone *= 1 + PATCHES[material] * fractal(noise, plan.shape, 15.0)
    tone *= 1 + GRAIN[material] * noise.standard_normal(plan.shape, dtype=np.float32)
    traffic = Traffic(plan, material, blocked, date)
    pixels = (plan.shape[0] // CELLS_PER_PIXEL, plan.shape[1] // CELLS_PER_PIXEL)
    moments = tuple(in_sight(traffic.at(time), pixels) for time in times)
    return Landscape(
        plan.seed, kind, plan.elevation, material, height, plan.deck, mix, np.maximum(tone, 0.2),
        tuple(plan.buildings), moments[0], sun, radar, frames=moments,
    )  # fmt: skip


def _raise_buildings(plan: Plan, material: Array, mix: Array, tone: Array, height: Array) -> None:
    for building in plan.buildings:
        where, covered, roof = building.footprint(plan.shape)
        covered &= plan.deck[where] + roof > height[where]
        material[where][covered] = INDEX[building.roof]
        mix[where][covered] = building.mix
        tone[where][covered] = np.exp(building.stream(plan.seed, "roof").normal(0, 0.08))
        height[where][covered] = (plan.deck[where] + roof)[covered]


def _raise_trees(plan: Plan, material: Array, mix: Array, tone: Array, height: Array) -> None:
    trees = grow_trees(plan)
    canopy, tree = draw_crowns(trees, plan.shape)
    seen = canopy > height
    number = tree[seen]
    material[seen] = np.where(trees.conifer, INDEX["conifer"], INDEX["broadleaf"])[number]
    mix[seen] = np.where(trees.conifer, 0.1, trees.light)[number]
    tone[seen] = trees.shade[number]
    height[seen] = canopy[seen]


def _blocks(raster: Array) -> Array:
    """Cells grouped by pixel: `(H, 2, W, 2)`."""
    rows, columns = (length // CELLS_PER_PIXEL for length in raster.shape)
    return raster.reshape(rows, CELLS_PER_PIXEL, columns, CELLS_PER_PIXEL)


def block_mean(raster: Array) -> Array:
    """The mean of each pixel's cells, over the last two axes: `(..., 2H, 2W)` to `(..., H, W)`."""
    step = CELLS_PER_PIXEL
    parts = [raster[..., row::step, column::step] for row in range(step) for column in range(step)]
    return sum(parts[1:], parts[0]) * np.float32(1 / step**2)
