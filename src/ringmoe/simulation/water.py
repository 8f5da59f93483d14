"""Rivers, lakes and the coast with its harbour."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from ringmoe.simulation.plan import (
    BOATS,
    RIVER_TRAFFIC,
    SEA_TRAFFIC,
    SHIPS,
    Plan,
    Road,
    Stand,
)
from ringmoe.simulation.raster import Path
from ringmoe.simulation.site import Site
from ringmoe.simulation.terrain import fractal

Array = np.ndarray

QUAY = 2.5  # metres above the water
CONTAINER_COLOURS = ("red paint", "blue paint", "green paint", "rust", "grey paint", "white paint")


def carve_river(plan: Plan, width: float, bend: float = 1.1) -> float:
    """A meandering river through the middle of a plan, with its valley, banks and lane.

    The centre line is a sine-generated curve, whose direction swings as the sine of the distance
    along it (Langbein and Leopold 1966, USGS Professional Paper 422-H); meanders are about eleven
    widths long.

    Args:
        plan: Changed in place.
        width: In metres.
        bend: The largest angle between the river and the valley, radians.

    Returns:
        The heading of the valley, radians.
    """
    rng = plan.stream("river")
    rows, columns = plan.shape
    heading = rng.uniform(-np.pi, np.pi)
    length = 2.6 * np.hypot(rows, columns)
    along = np.arange(0, length, 1.0)
    swing = np.sin(2 * np.pi * along / (14 * width) + rng.uniform(0, 2 * np.pi))
    swing += 0.35 * np.sin(2 * np.pi * along / (25 * width) + rng.uniform(0, 2 * np.pi))
    direction = heading + bend * swing
    line = np.cumsum(np.stack([np.cos(direction), -np.sin(direction)], axis=1), axis=0)
    aside = rng.uniform(-0.12, 0.12) * min(rows, columns)
    middle = np.array([columns / 2 - aside * np.sin(heading), rows / 2 - aside * np.cos(heading)])
    line += middle - line[len(line) // 2]
    inside = (np.abs(line - (columns / 2, rows / 2)) < 0.75 * max(rows, columns)).all(axis=1)
    path = Path(line[inside])

    clear = np.ones(plan.shape, bool)
    cells = np.floor(path.points).astype(int)
    cells = cells[((cells >= 0) & (cells < (columns, rows))).all(axis=1)]
    clear[cells[:, 1], cells[:, 0]] = False
    away = distance_transform_edt(clear).astype(np.float32)
    bank = width / 2 * (1 + 0.10 * fractal(rng, plan.shape, 90.0))
    _fill(plan, away - bank, "river water", 0.22 * width, rng)
    if width > 40:
        plan.roads.append(Road(path, width, 4.0, RIVER_TRAFFIC, headway=260.0))
        for place in np.arange(30, path.length, 70):
            x, y, along_heading = path.pose(float(place), 0.5 * width - 7)
            plan.stands.append(Stand(BOATS, x, y, along_heading, 14.0, 0.35))
    return heading


def fill_lake(plan: Plan, radius: float) -> None:
    """A lake of about that radius, in metres, somewhere about the middle of a plan."""
    rng = plan.stream("lake")
    rows, columns = plan.shape
    x, y = (size * rng.uniform(0.3, 0.7) for size in (columns, rows))
    down, right = np.ogrid[:rows, :columns]
    away = np.hypot(right - x, (down - y) * rng.uniform(0.8, 1.4))
    shore = radius * (1 + 0.32 * fractal(rng, plan.shape, 2 * radius, 4.0))
    _fill(plan, (away - shore).astype(np.float32), "river water", 0.25 * radius, rng)
    for _ in range(3):
        plan.stands.append(
            Stand(BOATS, x + rng.normal(0, radius / 3), y + rng.normal(0, radius / 3),
                  rng.uniform(-np.pi, np.pi), 9.0, 0.6)
        )  # fmt: skip


def _fill(plan: Plan, beyond: Array, water: str, shelf: float, rng: np.random.Generator) -> None:
    """Put water where the distance beyond the shore is negative, and a shore around it.

    Args:
        plan: Changed in place.
        beyond: Distance from the shore in metres, negative in the water.
        water: The material.
        shelf: Width in metres over which the bottom falls away.
        rng: Source of randomness.
    """
    wet = beyond < 0
    ragged = fractal(rng, plan.shape, 35.0)
    level = np.quantile(plan.elevation[wet], 0.1) if wet.any() else 0.0
    valley = np.exp(-np.square(np.maximum(beyond - 4, 0) / 55)).astype(np.float32)
    plan.elevation += (level - plan.elevation) * valley
    plan.elevation[beyond < 4] = level
    plan.paint((beyond < 5 + 3 * ragged) & ~wet, "meadow", mix=0.3, trees=0.22)
    plan.paint((beyond < 4.5 * ragged - 2) & ~wet, "sand", mix=0.35)
    depth = np.exp(np.minimum(beyond, 0) / shelf) * (0.75 + 0.2 * ragged)
    clouded = 0.10 * fractal(rng, plan.shape, 110.0)
    plan.paint(wet, water, mix=np.clip(0.12 + 0.55 * depth + clouded, 0, 1).astype(np.float32))


def build_harbour(plan: Plan) -> None:
    """The sea along one side, a quay with piers, berths, sheds and stacks of containers."""
    rng = plan.stream("harbour")
    rows, columns = plan.shape
    seaward = rng.uniform(-np.pi, np.pi)
    site = Site(plan, columns / 2, rows / 2, seaward)
    site = Site(plan, *site.at(rng.uniform(-40, 0), 0), seaward)
    coast = 16 * fractal(rng, plan.shape, 140.0) + 3 * fractal(rng, plan.shape, 25.0)
    sea = site.ahead + coast
    built = np.abs(site.left) < 165
    land = np.where(built, site.ahead - 2, sea).astype(np.float32)
    _fill(plan, -land, "sea water", 32.0, rng)
    plan.elevation[built & (site.ahead < 0) & (site.ahead > -150)] = plan.elevation[land > 0].min()
    plan.elevation[built & (site.ahead < 2) & (site.ahead > -150)] += QUAY

    quay = site.box(-125, 2, -165, 165)
    plan.paint(quay, "yard", mix=np.float32(0.4) * (fractal(rng, plan.shape, 60.0) > 0.4))
    plan.paint(site.box(-14, 2, -165, 165), "concrete", mix=0.25)
    for left in (-118.0, -30.0, 62.0, 140.0):
        length = rng.uniform(115, 150)
        pier = site.box(0, length, left - 9, left + 9)
        plan.paint(pier, "concrete", mix=0.35)
        plan.elevation[pier & (site.ahead > 2)] += QUAY
        for side in (-1, 1):
            for start in (12.0, 78.0):
                site.stand(SHIPS, start + 32, left + side * 20, 64.0 if start < 50 else 60.0)
    for left in (75.0, -60.0):  # moored across, along the quay
        site.stand(("fishing boat",), 14.0, left - 25, 50.0, 0.5, turn=np.pi / 2)
    for _ in range(4):  # at anchor
        place = rng.uniform(150, 330), rng.uniform(-230, 230)
        site.stand(SHIPS, *place, 110.0, 0.75, turn=rng.uniform(-np.pi, np.pi))

    mole = site.ahead - 205 - 0.0012 * np.square(site.left)
    rubble = (np.abs(mole) < 6) & (site.left > -60)
    plan.paint(rubble, "gravel")
    plan.elevation[rubble] += 2.0 + 2.2 * (1 - np.abs(mole[rubble]) / 6)

    for left in (-110.0, 95.0):
        plan.buildings.append(
            site.building(-70, left, 74, 30, 9, roof="metal roof", turn=np.pi / 2)
        )
    plan.buildings.append(site.building(-108, -40, 60, 20, 8, roof="bitumen", turn=np.pi / 2))
    _stack_containers(plan, site, rng)
    lane = [site.at(ahead, left) for ahead, left in ((250, -420), (245, 0), (330, 420))]
    path = Path.through(np.array(lane))
    plan.roads.append(Road(path, 40.0, 5.0, SEA_TRAFFIC, headway=260.0))
    road = Path(np.array([site.at(-19, -160), site.at(-19, 160)]))
    plan.roads.append(Road(road, 7.0, 6.0))
    site.car_park(-95, 20, rows=3, bays=16)


def _stack_containers(plan: Plan, site: Site, rng: np.random.Generator) -> None:
    """Rows of 40-foot containers (12.2 x 2.44 x 2.6 m), up to four high."""
    for ahead in np.arange(-88, -40, 15.5):
        for left in np.arange(-46, 34, 3.2):
            tiers = rng.choice(5, p=[0.3, 0.2, 0.2, 0.2, 0.1])
            if tiers and round(left / 3.2) % 7:
                colour = str(rng.choice(CONTAINER_COLOURS))
                plan.buildings.append(
                    site.building(ahead, left, 12.2, 2.44, 2.6 * tiers, roof=colour)
                )
