"""The kinds of scene, each a recipe of what is put where."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ringmoe.simulation.facilities import build_airfield, build_industry, dig_quarry
from ringmoe.simulation.fields import lay_out_fields
from ringmoe.simulation.plan import Plan
from ringmoe.simulation.raster import Path
from ringmoe.simulation.roads import (
    build_farm,
    build_village,
    cross_country,
    line_with_houses,
    pave,
)
from ringmoe.simulation.site import Site
from ringmoe.simulation.water import build_harbour, carve_river, fill_lake


def _farmland(plan: Plan) -> None:
    lay_out_fields(plan, woods=0.08, block=200.0)
    rng = plan.stream("farmland")
    if rng.random() < 0.5:
        carve_river(plan, rng.uniform(8, 14))
    road = pave(plan, cross_country(plan, "country road"), 6.5, 19.0, avenue=rng.random() < 0.6)
    pave(plan, cross_country(plan, "track", aside=rng.uniform(-120, 120)), 3.5, 0.0)
    middle = road.path.length / 2
    build_farm(plan, road, middle + rng.uniform(-140, -60), 1)
    build_farm(plan, road, middle + rng.uniform(60, 160), -1)


def _forest(plan: Plan) -> None:
    lay_out_fields(plan, woods=0.72, block=190.0)
    rng = plan.stream("forest")
    if rng.random() < 0.6:
        fill_lake(plan, rng.uniform(0.12, 0.2) * min(plan.shape))
    road = pave(plan, cross_country(plan, "forest road", curve=0.2), 6.0, 16.0)
    pave(plan, cross_country(plan, "ride", aside=rng.uniform(-150, 150), curve=0.05), 3.5, 0.0)
    middle = road.path.length / 2
    line_with_houses(plan, road, "cottages", middle - 60, middle + 60, plot=34.0, built=0.4)


def _river(plan: Plan) -> None:
    lay_out_fields(plan, woods=0.16)
    rng = plan.stream("river scene")
    heading = carve_river(plan, rng.uniform(55, 80))
    across = cross_country(
        plan, "bridge road", heading + np.pi / 2 + rng.normal(0, 0.2), curve=0.05
    )
    road = pave(plan, across, 7.5, 17.0)
    for first, last in ((0.16, 0.38), (0.62, 0.84)):
        length = road.path.length
        line_with_houses(plan, road, f"houses {first}", first * length, last * length, built=0.55)


def _village(plan: Plan) -> None:
    lay_out_fields(plan, woods=0.10, block=150.0)
    rng = plan.stream("village scene")
    if rng.random() < 0.35:
        carve_river(plan, rng.uniform(7, 11))
    road = pave(plan, cross_country(plan, "main road", curve=0.1), 7.0, 12.0)
    build_village(plan, road, 0.85 * min(plan.shape))


def _industrial(plan: Plan) -> None:
    lay_out_fields(plan, woods=0.08)
    build_industry(plan)


def _harbour(plan: Plan) -> None:
    lay_out_fields(plan, woods=0.12, block=150.0)
    build_harbour(plan)
    # A town road behind the quay, parallel to the coast.
    berth = plan.stands[0]
    site = Site(plan, plan.shape[1] / 2, plan.shape[0] / 2, berth.heading)
    road = pave(plan, Path(np.array([site.at(-165, -700), site.at(-165, 700)])), 7.5, 13.0)
    middle = road.path.length / 2
    line_with_houses(plan, road, "harbour town", middle - 230, middle + 230, plot=20.0, built=0.9)


def _airfield(plan: Plan) -> None:
    lay_out_fields(plan, woods=0.10)
    build_airfield(plan)


def _quarry(plan: Plan) -> None:
    lay_out_fields(plan, woods=0.3)
    dig_quarry(plan)


# The scene classes: name, recipe, and the standard deviation of the hills' heights in metres.
KINDS: dict[str, tuple[Callable[[Plan], None], float]] = {
    "airfield": (_airfield, 2.0),
    "farmland": (_farmland, 9.0),
    "forest": (_forest, 14.0),
    "harbour": (_harbour, 4.0),
    "industrial": (_industrial, 3.0),
    "quarry": (_quarry, 9.0),
    "river": (_river, 6.0),
    "village": (_village, 7.0),
}


def draw_plan(seed: int, shape: tuple[int, int], kind: str) -> Plan:
    """The plan of a landscape of some kind on a grid of cells."""
    recipe, relief = KINDS[kind]
    plan = Plan.blank(seed, shape, relief)
    recipe(plan)
    return plan
