"""Fields, woods and trees: the open country that every landscape begins with."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter

from ringmoe.simulation.materials import CLASS_OF, INDEX, LAND_COVER
from ringmoe.simulation.plan import Plan
from ringmoe.simulation.raster import largest
from ringmoe.simulation.terrain import fractal

Array = np.ndarray


@dataclass(frozen=True)
class Use:
    """What a parcel can be used for.

    Attributes:
        material: Its name in `MATERIALS`.
        weight: How often, relative to the others.
        early: Mean share of the material's partner at the first date (early June).
        late: The same at the later date (mid July): ears ripen, rows close, meadows dry.
        rows: Relative contrast of the rows.
        tramlines: Whether sprayers' wheel tracks show.
    """

    material: str
    weight: float
    early: float
    late: float
    rows: float
    tramlines: bool


USES = (
    Use("wheat", 0.26, 0.10, 0.60, 0.04, True),
    Use("rapeseed", 0.10, 0.08, 0.75, 0.04, True),
    Use("maize", 0.14, 0.42, 0.12, 0.07, False),
    Use("sugar beet", 0.10, 0.25, 0.05, 0.06, False),
    Use("ripe cereal", 0.08, 0.10, 0.65, 0.05, True),
    Use("stubble", 0.04, 0.25, 0.40, 0.08, False),
    Use("soil", 0.09, 0.25, 0.15, 0.05, False),
    Use("meadow", 0.19, 0.18, 0.35, 0.02, False),
)
_SOWN = np.array([use.tramlines for use in USES])
_CONTRAST = np.array([use.rows for use in USES], np.float32)
_MATERIAL = np.array([INDEX[use.material] for use in USES], np.uint8)


def lay_out_fields(plan: Plan, woods: float, block: float = 170.0) -> None:
    """Cover a plan with parcels, woods and hedges.

    Args:
        plan: Changed in place.
        woods: Share of woodland, in [0, 1].
        block: Typical length of a parcel in metres.
    """
    rng = plan.stream("fields")
    parcel, edge, across, along = _parcels(rng, plan.shape, block)
    count = int(parcel.max()) + 1
    weights = np.array([use.weight for use in USES])
    use = rng.choice(len(USES), count, p=weights / weights.sum())
    cover = rng.normal(0, 0.10, count).astype(np.float32)
    shade = np.exp(rng.normal(0, 0.10, count)).astype(np.float32)
    phase = rng.uniform(0, 24, count).astype(np.float32)
    period = rng.uniform(3.5, 6.0, count).astype(np.float32)
    hedged = rng.random(count) < 0.22

    used = use[parcel]
    plan.material[:] = _MATERIAL[used]
    soil = 0.07 * fractal(rng, plan.shape, 60.0, 4.0)  # where the ground is poor, more of it shows
    plan.mix[:] = np.array([u.early for u in USES], np.float32)[used] + cover[parcel] + soil

    # Near its ends a field is worked across.
    worked = np.where(edge[1] < 11, along, across) + phase[parcel]
    rows = np.sin(2 * np.pi * worked / period[parcel])
    plan.tone[:] = shade[parcel] * (1 + _CONTRAST[used] * rows)
    tracks = _SOWN[used] & (np.abs(worked % 24 - 12) < 1.7) & (np.abs(worked % 24 - 12) > 0.6)
    plan.mix[tracks] += 0.28

    near = np.minimum(edge[0], edge[1])
    margin = near < 1.4
    plan.paint(margin, "meadow", mix=0.35 + soil)
    plan.trees[margin & hedged[parcel]] = 0.75
    plan.trees[_MATERIAL[used] == INDEX["meadow"]] += np.float32(0.008)
    _plant_woods(plan, rng, woods, parcel, use)
    np.clip(plan.mix, 0, 1, out=plan.mix)


def _parcels(
    rng: np.random.Generator, shape: tuple[int, int], block: float
) -> tuple[Array, tuple[Array, Array], Array, Array]:
    """Parcel numbers, distances to the sides and to the ends, and places across and along rows.

    Blocks of parallel strips, as land consolidation leaves them, turned at random and warped so
    that the boundaries bend with the land.
    """
    turn = rng.uniform(0, np.pi)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along = x * cos + y * sin + 10 * fractal(rng, shape, 220.0, 8.0)
    across = y * cos - x * sin + 10 * fractal(rng, shape, 220.0, 8.0)
    ends = _boundaries(rng, along.min(), along.max(), 0.7 * block, 1.4 * block)
    in_block = np.searchsorted(ends, along) - 1
    parcel = np.zeros(shape, np.int32)
    bounds: list[tuple[float, ...]] = []
    for number in range(len(ends) - 1):
        sides = _boundaries(rng, across.min(), across.max(), 0.22 * block, 0.75 * block)
        mine = in_block == number
        parcel[mine] = len(bounds) + np.searchsorted(sides, across[mine]) - 1
        bounds += [(ends[number], ends[number + 1], *pair) for pair in pairwise(sides)]
    first, last, left, right = np.array(bounds, np.float32).T
    to_sides = np.minimum(across - left[parcel], right[parcel] - across)
    to_ends = np.minimum(along - first[parcel], last[parcel] - along)
    return parcel, (to_sides, to_ends), across, along


def _boundaries(
    rng: np.random.Generator, low: float, high: float, least: float, most: float
) -> Array:
    """Increasing numbers from below `low` to above `high`, steps between `least` and `most`."""
    steps = rng.uniform(least, most, int((high - low) / least) + 3)
    return low - rng.uniform(0.1, 1) * least + np.concatenate([[0], np.cumsum(steps)])


def _plant_woods(
    plan: Plan, rng: np.random.Generator, share: float, parcel: Array, use: Array
) -> None:
    """Woods where fractal noise is high, and on some whole parcels (straight edges)."""
    noise = fractal(rng, plan.shape, 150.0, 4.6)
    planted = rng.random(len(use)) < 0.35 * share
    score = noise + 3 * planted[parcel]
    wood = score > np.quantile(score, 1 - share)
    clearing = fractal(rng, plan.shape, 30.0) > 1.9
    plan.paint(wood, "forest floor")
    plan.trees[wood] = 0.97
    plan.paint(wood & clearing, "meadow", mix=0.3, trees=0.15)
    conifers = gaussian_filter((rng.random(len(use)) < 0.35).astype(np.float32)[parcel], 3)
    plan.conifers[:] = np.clip(0.9 * conifers + 0.12 * (fractal(rng, plan.shape, 80.0) > 0.8), 0, 1)


@dataclass(frozen=True)
class Trees:
    """Trees that stand on a plan, one entry each in every array.

    Attributes:
        x: Metres.
        y: Metres.
        radius: Of the crown, metres.
        height: Metres.
        conifer: bool.
        shade: Brightness of the crown relative to its kind.
        light: Share of the lighter kind of leaves.
    """

    x: Array
    y: Array
    radius: Array
    height: Array
    conifer: Array
    shade: Array
    light: Array


SPACING = 5.0  # metres between trees in a closed wood
LARGEST_CROWN = 5.0  # metres of radius


def grow_trees(plan: Plan) -> Trees:
    """The trees of a plan: candidates on a jittered grid, of which each stands or does not.

    The candidates depend on the seed alone, so that a later plan with other probabilities keeps
    the trees that are not felled.
    """
    rng = plan.stream("trees")
    rows, columns = (int(np.ceil(size / SPACING)) + 2 for size in plan.shape)
    count = rows * columns
    y, x = (axis.ravel() for axis in np.mgrid[:rows, :columns] * SPACING - SPACING / 2)
    y, x = y + rng.uniform(0, SPACING, count), x + rng.uniform(0, SPACING, count)
    chance, kind = rng.random(count), rng.random(count)
    vigour = np.clip(rng.normal(1, 0.18, count), 0.5, 1.5)
    shade, light = np.exp(rng.normal(0, 0.13, count)), rng.beta(0.9, 1.1, count)
    cell = (
        np.clip(y, 0, plan.shape[0] - 1).astype(int),
        np.clip(x, 0, plan.shape[1] - 1).astype(int),
    )
    stand_age = 1 + 0.16 * fractal(rng, plan.shape, 120.0)[cell]
    in_wood = CLASS_OF[plan.material[cell]] == LAND_COVER.index("forest")
    conifer = kind < plan.conifers[cell]
    height = np.where(in_wood, np.where(conifer, 21.0, 17.0), 8.5) * vigour * stand_age
    radius = np.where(conifer, 2.7, 3.7) * np.where(in_wood, 1.0, 0.8) * vigour
    stands = chance < plan.trees[cell]
    parts = (x, y, np.minimum(radius, LARGEST_CROWN), height, conifer, shade, light)
    return Trees(*(part[stands] for part in parts))


def draw_crowns(trees: Trees, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Crowns on the grid: the height of the canopy, and the number of the tree, -1 for none.

    Broad-leaved crowns are half ellipsoids, conifers are cones; where crowns meet the higher one
    is seen.
    """
    reach = int(LARGEST_CROWN)
    offsets = np.arange(-reach, reach + 1)
    rows = (np.floor(trees.y).astype(int)[:, None] + offsets)[:, :, None]
    columns = (np.floor(trees.x).astype(int)[:, None] + offsets)[:, None, :]
    down = (rows + 0.5 - trees.y[:, None, None]).astype(np.float32) ** 2
    right = (columns + 0.5 - trees.x[:, None, None]).astype(np.float32) ** 2
    away = (down + right) / (trees.radius[:, None, None] ** 2).astype(np.float32)
    seen = (away < 1) & (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    number = np.nonzero(seen)[0]
    away, cells = away[seen], (rows * shape[1] + columns)[seen]
    cone, dome = 1 - 0.75 * np.sqrt(away), 0.45 + 0.55 * np.sqrt(1 - away)
    height = trees.height[number] * np.where(trees.conifer[number], cone, dome)
    canopy = np.zeros(shape, np.float32)
    np.maximum.at(canopy.reshape(-1), cells, height.astype(np.float32))
    return canopy, largest(shape, cells, height, number)
