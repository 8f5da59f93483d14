"""What happens between the two dates: seasons, and changes that a map would show."""

from __future__ import annotations

import numpy as np

from ringmoe.simulation.fields import USES
from ringmoe.simulation.materials import INDEX, MATERIALS
from ringmoe.simulation.plan import Building, Plan
from ringmoe.simulation.site import Site
from ringmoe.simulation.terrain import fractal

SEASON = np.zeros(len(MATERIALS), np.float32)
for _use in USES:
    SEASON[INDEX[_use.material]] = _use.late - _use.early
SEASON[INDEX["lawn"]] = 0.12


def six_weeks_later(plan: Plan) -> Plan:
    """The plan at the later date: crops have grown on, and people have changed the land.

    The season alone (ears ripen, rows close) changes no land cover: it is what a change detector
    must see through. Changes of land cover are felled woods, houses built and pulled down, a
    building site on open land.
    """
    later = plan.copy()
    rng = plan.stream("change")
    later.mix = np.clip(plan.mix + SEASON[plan.material], 0, 1)
    _fell(later, rng)
    _pull_down(later, rng)
    _open_building_site(later, rng)
    for x, y in _chosen(rng, plan.sites, 3):
        _build_house(later, rng, x, y)
    return later


def _fell(plan: Plan, rng: np.random.Generator) -> None:
    """Clear some wood with ragged edges."""
    wood = np.argwhere(plan.material == INDEX["forest floor"])
    if len(wood) < 2000:
        return
    row, column = wood[rng.integers(len(wood))]
    down, right = np.ogrid[: plan.shape[0], : plan.shape[1]]
    radius = rng.uniform(0.07, 0.14) * min(plan.shape)
    away = np.hypot(right - column, down - row) + 9 * fractal(rng, plan.shape, 40.0)
    cleared = (away < radius) & (plan.material == INDEX["forest floor"])
    ruts = np.sin((right * np.cos(row) + down * np.sin(row)) / 1.6)
    plan.paint(
        cleared, "soil", mix=np.clip(0.4 + 0.25 * ruts, 0, 1).astype(np.float32), trees=0.004
    )


def _pull_down(plan: Plan, rng: np.random.Generator) -> None:
    """Remove a few buildings and leave rubble."""
    standing = [b for b in plan.buildings if b.length > 9]
    for building in _chosen(rng, standing, 1 + len(standing) // 20):
        plan.buildings.remove(building)
        where, covered, _ = building.footprint(plan.shape)
        plan.paint(covered, "gravel", where=where, mix=0.3)


def _open_building_site(plan: Plan, rng: np.random.Generator) -> None:
    """Strip the soil of a piece of open land and put up the first hall."""
    for _ in range(30):
        x, y = rng.uniform(0.15, 0.85) * plan.shape[1], rng.uniform(0.15, 0.85) * plan.shape[0]
        length, width = rng.uniform(34, 60), rng.uniform(26, 42)
        hall = Building(x, y, rng.uniform(-np.pi, np.pi), 0.55 * length, 0.5 * width,
                        rng.uniform(6, 10), roof="metal roof")  # fmt: skip
        plot = Building(x, y, hall.heading, length, width, 0)
        where, covered, _ = plot.footprint(plan.shape)
        if plan.free(plot) and plan.is_cover("crops", "grass")[where][covered].all():
            plan.paint(covered, "soil", where=where, mix=0.1)
            plan.buildings.append(hall)
            return


def _build_house(plan: Plan, rng: np.random.Generator, x: float, y: float) -> None:
    """Build a house in a plot of open soil."""
    size = rng.uniform(10, 14)
    house = Building(x, y, rng.uniform(-np.pi, np.pi), size, 0.75 * size, 5, 3, "clay tiles")
    if not plan.free(house):
        return
    site = Site(plan, x, y, house.heading, reach=1.5 * size)
    site.paint(site.box(-size, size, -size, size) & site.is_land(), "soil", mix=0.2)
    plan.buildings.append(house)


def _chosen(rng: np.random.Generator, things: list, most: int) -> list:
    """At most so many of a list, without replacement."""
    count = min(most, len(things))
    return [things[i] for i in rng.choice(len(things), count, replace=False)] if count else []
