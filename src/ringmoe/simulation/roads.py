"""Roads with the houses along them."""

from __future__ import annotations

import numpy as np

from ringmoe.simulation.plan import CARS, LORRIES, ROAD_TRAFFIC, Building, Plan, Road
from ringmoe.simulation.raster import Path, to_world
from ringmoe.simulation.site import Site
from ringmoe.simulation.terrain import fractal

ROOFS = ("clay tiles", "clay tiles", "clay tiles", "brown tiles", "slate")


def cross_country(
    plan: Plan, name: str, heading: float | None = None, aside: float = 0.0, curve: float = 0.12
) -> Path:
    """A smooth line from edge to edge of a plan, not yet built.

    Args:
        plan: For its size and randomness.
        name: Of the stream of randomness.
        heading: Its general direction in radians; None: any.
        aside: How far to the left of the middle it passes, metres.
        curve: How much it winds, relative to the size of the plan.
    """
    rng = plan.stream(name)
    rows, columns = plan.shape
    size = float(max(rows, columns))
    turn = rng.uniform(-np.pi, np.pi) if heading is None else heading
    along = np.linspace(-0.85, 0.85, 6) * size
    left = aside + rng.normal(0, curve * size / 2, 6)
    cos, sin = np.cos(turn), np.sin(turn)
    x = columns / 2 + along * cos - left * sin
    y = rows / 2 - along * sin - left * cos
    return Path.through(np.stack([x, y], axis=1))


def pave(plan: Plan, path: Path, width: float, speed: float, *, avenue: bool = False) -> Road:
    """Build a road along a path: carriageway, verges, a bridge where there is water."""
    away, along = path.distance(plan.shape, width / 2 + 7)
    water = plan.is_cover("water")
    rng = plan.stream(f"road {len(plan.roads)}")
    verge = (away < width / 2 + 2.5) & ~water & ~plan.is_cover("built-up", "roads")
    plan.paint(verge, "meadow", mix=0.25)
    if avenue:
        lined = (away > width / 2 + 2) & (away < width / 2 + 5.5) & ~water
        plan.trees[lined] = np.where(np.sin(along[lined] / 90) > -0.2, 0.55, 0.0)
    bridge = (away < width / 2 + 1.5) & water
    plan.deck[bridge] = 6.0
    plan.paint(bridge, "concrete", mix=0.1)
    worn = np.clip(0.3 + 0.25 * fractal(rng, plan.shape, 40.0), 0, 1)
    plan.paint(away < width / 2, "asphalt" if width > 4.5 else "dirt road", mix=worn)
    road = Road(path, width, speed, ROAD_TRAFFIC if speed else ())
    plan.roads.append(road)
    return road


def line_with_houses(
    plan: Plan, road: Road, name: str, first: float, last: float, *, plot: float = 22.0,
    built: float = 0.85,
) -> None:  # fmt: skip
    """Houses with gardens on both sides of a stretch of road.

    Args:
        plan: Changed in place.
        road: Already paved.
        name: Of the stream of randomness.
        first: Start of the stretch, metres along the road.
        last: Its end.
        plot: Mean width of a plot in metres.
        built: Share of the plots that are built on.
    """
    rng = plan.stream(name)
    for side in (-1, 1):
        along = first + rng.uniform(0, plot)
        while along < last:
            size = plot * rng.uniform(0.8, 1.3)
            if rng.random() < built:
                _house(plan, rng, road, along, side, size)
            else:
                x, y, _ = road.path.pose(along, side * (road.width / 2 + 13))
                plan.sites.append((x, y))
            along += size


def _house(
    plan: Plan, rng: np.random.Generator, road: Road, along: float, side: int, plot: float
) -> None:
    """One plot: garden, drive, house, sometimes a shed, sometimes a car before the door."""
    x, y, heading = road.path.pose(along, side * (road.width / 2 + rng.uniform(11, 15)))
    gable_to_road = rng.random() < 0.35
    house = Building(
        x, y, heading + rng.normal(0, 0.04) + (np.pi / 2 if gable_to_road else 0),
        length=rng.uniform(10, 15), width=rng.uniform(8, 10.5), eaves=rng.uniform(3.5, 6.5),
        ridge=rng.uniform(2.5, 4), roof=str(rng.choice(ROOFS)), mix=float(rng.beta(1, 2.5)),
    )  # fmt: skip
    if not plan.free(house):
        return
    turn = heading if side > 0 else heading + np.pi  # left is away from the road
    site = Site(plan, x, y, turn, reach=40)
    garden = site.box(-plot / 2 + 0.7, plot / 2 - 0.7, -9, rng.uniform(17, 28))
    garden &= site.is_land()
    site.paint(garden, "lawn", mix=float(rng.beta(1.5, 4)), tone=rng.uniform(0.9, 1.1), trees=0.09)
    ahead = rng.choice([-1, 1]) * (plot / 2 - 3)
    drive = site.box(ahead - 1.7, ahead + 1.7, -road.width / 2 - 12, 2)
    drive &= ~site.is_cover("roads", "water")
    site.paint(drive, "yard", mix=0.4)
    plan.buildings.append(house)
    site.stand(CARS, ahead, -6, 5.2, 0.5, turn=np.pi / 2)
    if rng.random() < 0.35:
        shed = site.building(-ahead, 12, rng.uniform(5, 8), rng.uniform(4, 5), 2.6,
                             ridge=1.2, roof="brown tiles")  # fmt: skip
        if plan.free(shed, 0.5):
            plan.buildings.append(shed)


def build_village(plan: Plan, road: Road, size: float) -> None:
    """A village along a road: houses, side streets, a church.

    Args:
        plan: Changed in place.
        road: The main road, already paved.
        size: Length in metres of the built-up stretch.
    """
    rng = plan.stream("village")
    middle = road.path.length / 2
    church = _church(plan, rng, road, middle)
    streets = []
    for number, along in enumerate(
        np.arange(middle - 0.36 * size, middle + 0.4 * size, 0.25 * size)
    ):
        side = 1 if number % 2 else -1
        x, y, heading = road.path.pose(float(along))
        turn = heading + side * (np.pi / 2 + rng.normal(0, 0.15))
        ahead = np.linspace(0, rng.uniform(0.3, 0.5) * size, 4)
        left = np.concatenate([[0], np.cumsum(rng.normal(0, 7, 3))])
        street = Path.through(to_world(np.stack([ahead, left], axis=1), x, y, turn))
        if not _in_water(plan, street):
            streets.append(pave(plan, street, 5.5, 7.0))
    line_with_houses(plan, road, "main street", middle - size / 2, middle + size / 2)
    for number, street_road in enumerate(streets):
        line_with_houses(plan, street_road, f"street {number}", 22, street_road.path.length - 4)
    plan.buildings += church


def _in_water(plan: Plan, path: Path) -> bool:
    columns, rows = np.floor(path.points).astype(int).T
    inside = (rows >= 0) & (rows < plan.shape[0]) & (columns >= 0) & (columns < plan.shape[1])
    return bool(plan.is_cover("water")[rows[inside], columns[inside]].any())


def _church(plan: Plan, rng: np.random.Generator, road: Road, along: float) -> list[Building]:
    """Nave and tower in a churchyard beside the road; nothing if there is no room."""
    x, y, _ = road.path.pose(along, 32.0)
    nave = Building(x, y, rng.normal(0, 0.1), 27, 13, 9, 7, "slate")
    if not plan.free(nave, 4):
        return []
    site = Site(plan, x, y, nave.heading, reach=35)
    yard = site.box(-28, 24, -17, 17) & site.is_land()
    site.paint(yard, "lawn", mix=0.15, trees=0.12)
    tower = site.building(-16, 0, 7.5, 7.5, 24, ridge=9, roof="slate")
    for part in (nave, tower):  # so that no house is put there
        where, covered, _ = part.footprint(plan.shape)
        plan.paint(covered, "yard", where=where)
    return [nave, tower]


def build_farm(plan: Plan, road: Road, along: float, side: int) -> None:
    """A farmstead: house, barns around a yard, a drive to the road."""
    rng = plan.stream(f"farm {along:.0f}")
    x, y, heading = road.path.pose(along, side * (road.width / 2 + 45))
    site = Site(plan, x, y, heading, reach=60)
    parts = [
        site.building(0, side * 18, 34, 15, 6, ridge=3.5, roof="brown tiles", mix=0.3),
        site.building(-22, -side * 6, 26, 12, 5, ridge=3, roof="clay tiles", turn=np.pi / 2),
        site.building(21, -side * 8, 15, 10, 5.5, ridge=4, roof="clay tiles", turn=np.pi / 2),
        site.building(34, side * 16, 11, 11, 9, roof="metal roof", round=True),
    ]
    if not all(plan.free(part) for part in parts):
        return
    land = ~site.is_cover("water", "roads")
    site.paint(site.box(-42, 46, -36, 36) & land, "lawn", mix=0.3, trees=0.05)
    site.paint(site.box(-15, 14, -20, 20) & land, "yard", mix=0.3)
    site.paint(site.box(-2.5, 2.5, -45 if side > 0 else 0, 0 if side > 0 else 45) & land, "yard")
    plan.buildings += parts
    for ahead in (-8, 2, 8):
        turn = rng.uniform(-np.pi, np.pi)
        site.stand(LORRIES, ahead, rng.uniform(-9, 9), 9.0, 0.6, turn)
