"""Large facilities: an airfield, an industrial estate, a quarry."""

from __future__ import annotations

import numpy as np

from ringmoe.simulation.materials import INDEX
from ringmoe.simulation.plan import AIRLINERS, CARS, LORRIES, TURBOPROPS, Plan, Road, Stand
from ringmoe.simulation.raster import Path
from ringmoe.simulation.roads import cross_country, pave
from ringmoe.simulation.site import Site
from ringmoe.simulation.terrain import fractal


def build_airfield(plan: Plan) -> None:
    """A runway, a parallel taxiway, an apron with stands, hangars and a terminal.

    The runway is 45 m and the taxiway 23 m wide, as where airliners land.
    """
    rng = plan.stream("airfield")
    rows, columns = plan.shape
    heading = rng.uniform(-np.pi, np.pi)
    site = Site(plan, columns / 2, rows / 2, heading)
    field = site.box(-1e4, 1e4, -215, 62)
    plan.elevation += 0.9 * (plan.elevation[field].mean() - plan.elevation) * field
    dry = np.clip(0.3 + 0.2 * fractal(rng, plan.shape, 70.0), 0, 1).astype(np.float32)
    plan.paint(field, "lawn", mix=dry, tone=1 + 0.035 * np.sign(np.sin(site.left / 3.2)))

    end = rng.uniform(150, 260)
    _runway(plan, site, -150.0, end)
    worn = np.clip(0.35 + 0.2 * fractal(rng, plan.shape, 50.0), 0, 1).astype(np.float32)
    taxiway = site.box(-1e4, end, -11.5, 11.5)
    for ahead in (end - 12, -60.0, -330.0):
        taxiway |= site.box(ahead - 11, ahead + 11, -150, 0)
    plan.paint(taxiway & (plan.material != INDEX["runway"]), "asphalt", mix=worn)
    line = site.box(-1e4, end - 12, -0.5, 0.5)
    plan.paint(line, "yellow marking")
    centre = Path(np.array([site.at(-700, 0), site.at(end - 12, 0)]))
    plan.roads.append(Road(centre, 23.0, 8.0, AIRLINERS, headway=400.0, both_ways=False))

    apron = site.box(-185, 175, 8, 118)
    slabs = 1 + 0.05 * np.where((site.ahead % 20 < 1) | (site.left % 20 < 1), -1.5, 0.4)
    plan.paint(apron, "concrete", mix=worn * 0.7, tone=slabs.astype(np.float32))
    for number, ahead in enumerate(np.arange(-155, 160, 52.0)):
        site.stand(AIRLINERS, ahead, 84, 45.0, 0.75, turn=np.pi / 2)
        guide = site.box(ahead - 0.5, ahead + 0.5, 12, 90)
        plan.paint(guide, "yellow marking")
        for left in (106, 113):
            turn = rng.uniform(-np.pi, np.pi)
            site.stand(LORRIES, ahead + 17 + 5 * (number % 2), left, 9.0, 0.5, turn)
    for ahead in np.arange(-170, 170, 26.0):
        site.stand(TURBOPROPS, ahead, 30, 22.0, 0.12)
    _hangars(plan, site)
    pave(plan, Path(np.array([site.at(-700, 196), site.at(700, 196)])), 7.0, 13.0, avenue=True)
    site.car_park(-10, 172, rows=2, bays=34)


def _runway(plan: Plan, site: Site, left: float, end: float) -> None:
    """Pavement and markings of a runway that ends at `end` and goes on behind."""
    worn = np.exp(-np.square((site.left - left) / 7)) * 0.3  # rubber on the wheel tracks
    plan.paint(site.box(-1e4, end + 60, left - 22.5, left + 22.5), "runway", tone=1.1 - worn)
    dashes = site.box(-1e4, end - 60, left - 0.9, left + 0.9) & (site.ahead % 50 < 30)
    edges = site.box(-1e4, end, left - 21.5, left + 21.5) & ~site.box(
        -1e4, end, left - 20.5, left + 20.5
    )
    bars = site.box(end - 36, end - 6, left - 20, left + 20) & ((site.left - left) % 3.6 < 1.8)
    aiming = site.box(end - 200, end - 150, left - 13, left + 13)
    aiming &= np.abs(site.left - left) > 7
    for marking in (dashes, edges, bars, aiming):
        plan.paint(marking, "white marking")


def _hangars(plan: Plan, site: Site) -> None:
    rng = plan.stream("hangars")
    for ahead, length in ((-150, 58), (-78, 66), (70, 62), (140, 46)):
        depth = rng.uniform(34, 42)
        roof = str(rng.choice(["metal roof", "pale roof", "bitumen"]))
        left = 122 + depth / 2
        plan.buildings.append(site.building(ahead, left, length, depth, 12, ridge=4, roof=roof))
        ground = site.box(ahead - length / 2 - 5, ahead + length / 2 + 5, 112, left + depth / 2 + 5)
        plan.paint(ground & site.is_land(), "yard", mix=0.4)
    plan.buildings.append(site.building(-4, 134, 62, 20, 14, roof="pale roof"))  # terminal
    plan.buildings.append(site.building(36, 134, 8, 8, 32, roof="pale roof", round=True))  # tower
    forecourt = site.box(-42, 45, 116, 150) & site.is_land()
    plan.paint(forecourt, "concrete", mix=0.4)


def build_industry(plan: Plan) -> None:
    """An industrial estate along a road: halls, yards, car parks, tanks."""
    rng = plan.stream("industry")
    rows, columns = plan.shape
    heading = rng.uniform(-np.pi, np.pi)
    site = Site(plan, columns / 2, rows / 2, heading)
    site = Site(plan, *site.at(0, rng.uniform(-35, 35)), heading)
    plan.elevation += 0.85 * (plan.elevation.mean() - plan.elevation)
    estate = site.box(-225, 225, -135, 135)
    plan.paint(estate & ~plan.is_cover("water"), "lawn", mix=0.35, trees=0.03)
    pave(plan, Path(np.array([site.at(-700, 0), site.at(700, 0)])), 9.0, 12.0)
    for side in (-1, 1):
        ahead = -215.0
        while ahead < 200:
            length = rng.uniform(62, 105)
            _works(plan, site, rng, ahead, min(length, 222 - ahead), side)
            ahead += length + rng.uniform(10, 20)


def _works(
    plan: Plan, site: Site, rng: np.random.Generator, ahead: float, length: float, side: int
) -> None:
    """One works: a paved lot with a hall, or tanks, and places for lorries and cars."""

    def box(first: float, last: float, near: float, far: float) -> np.ndarray:
        return site.box(first, last, *sorted((side * near, side * far)))

    if length < 45:
        return
    depth = rng.uniform(95, 122)
    dry = ~plan.is_cover("water")
    plan.paint(box(ahead, ahead + length, 10, 10 + depth) & dry, "yard", mix=rng.uniform(0, 0.7))
    plan.paint(box(ahead + length / 2 - 5, ahead + length / 2 + 5, 4, 12) & dry, "asphalt", mix=0.4)
    middle = ahead + length / 2
    if rng.random() < 0.25:
        for row in (0, 1, 2):
            for column in range(int(length // 24)):
                place = ahead + 14 + 24 * column, side * (30 + 27 * row)
                plan.buildings.append(
                    site.building(*place, 19, 19, 13, roof="pale roof", round=True)
                )
        return
    deep = rng.uniform(38, 55)
    wide = length - rng.uniform(12, 22)
    roof = str(rng.choice(["bitumen", "pale roof", "metal roof"]))
    eaves, mix = rng.uniform(8, 14), float(rng.uniform(0, 0.5))
    hall = site.building(middle, side * (depth - deep / 2), wide, deep, eaves, roof=roof, mix=mix)
    plan.buildings.append(hall)
    near_hall = depth - deep
    if rng.random() < 0.6:
        annex = site.building(ahead + wide / 3, side * (near_hall - 7), 22, 14, 7.5, roof="bitumen")
        plan.buildings.append(annex)
    for bay in np.arange(ahead + 8, ahead + length - 6, 4.6):  # lorries at the ramps
        if abs(bay - (ahead + wide / 3)) > 15:
            site.stand(LORRIES, bay, side * (near_hall - 9.5), 16.5, 0.35, side * np.pi / 2)
    for bay in np.arange(ahead + 6, ahead + length - 6, 2.9):  # cars along the road
        if abs(bay - middle) > 8:
            site.stand(CARS, bay, side * 17, 5.2, 0.6, np.pi / 2)


def dig_quarry(plan: Plan) -> None:
    """A sand and gravel pit in terraces, with a haul road, stockpiles and a pond."""
    rng = plan.stream("quarry")
    rows, columns = plan.shape
    x, y = (size * rng.uniform(0.42, 0.58) for size in (columns, rows))
    down, right = np.ogrid[:rows, :columns]
    away = np.hypot((right - x) * rng.uniform(0.8, 1.2), (down - y) * rng.uniform(0.8, 1.2))
    rim = 0.33 * min(rows, columns) * (1 + 0.22 * fractal(rng, plan.shape, 220.0, 5.5))
    inward = (rim - away).astype(np.float32)
    ragged = 3 * fractal(rng, plan.shape, 40.0, 5.0)
    pit = inward > 0
    terraces = np.clip((inward + ragged) / 20, 0, 3)
    floor = np.clip((inward - 20) / 40, 0, 1)
    level = plan.elevation[inward > 50].mean() if (inward > 50).any() else 0.0
    plan.elevation += 0.95 * floor * (level - plan.elevation)
    steep = np.clip((terraces % 1) * 4.0, 0, 1)  # a quarter of each terrace is its face
    plan.elevation -= np.where(pit, 6 * (np.floor(terraces) + steep), 0).astype(np.float32)
    plan.paint((inward > -12) & ~pit, "meadow", mix=0.5, trees=0.12)
    damp = np.clip(0.3 + 0.3 * fractal(rng, plan.shape, 60.0) + 0.4 * (steep < 1), 0, 1)
    plan.paint(pit, "sand", mix=damp.astype(np.float32))
    rock = pit & (fractal(rng, plan.shape, 70.0) > 0.5)
    plan.paint(rock, "gravel", mix=0.3)
    ponds = fractal(rng, plan.shape, 110.0, 5.0)
    pond = (inward > 72) & (ponds > 0.5)
    if pond.any():
        plan.elevation[pond] = plan.elevation[pond].min()
        plan.paint(pond, "shallows", tone=1.0)
    for _ in range(6):
        _stockpile(plan, rng, x + rng.uniform(-60, 60), y + rng.uniform(-60, 60))
    away_from_pit = cross_country(plan, "haul road", curve=0.1)
    dry = len(away_from_pit.points) // 2 + 40
    columns_rows = np.clip(away_from_pit.points[:dry].astype(int), 0, min(plan.shape) - 1)
    wet = plan.is_cover("water")[columns_rows[:, 1], columns_rows[:, 0]]
    dry = int(np.argmax(wet)) - 12 if wet.any() else dry
    road = pave(plan, Path(away_from_pit.points[:dry]), 8.0, 8.0)
    haul = road.path.distance(plan.shape, 4.0)[0] < 4.0
    plan.paint(haul & pit, "dirt road", mix=0.1)
    for place in np.arange(road.path.length - 120, road.path.length, 17):
        aside = rng.uniform(-14, 14)
        x, y, turn = road.path.pose(float(place), aside)
        plan.stands.append(Stand(LORRIES, x, y, turn + rng.normal(0, 0.7), 9.0, 0.5))


def _stockpile(plan: Plan, rng: np.random.Generator, x: float, y: float) -> None:
    """A cone of sand or gravel at its angle of repose, 33 degrees."""
    radius = rng.uniform(7, 15)
    rows, columns = plan.shape
    down, right = np.ogrid[:rows, :columns]
    away = np.hypot(right - x, down - y)
    heap = (away < radius) & plan.is_cover("bare")
    plan.elevation[heap] += (np.tan(np.radians(33)) * (radius - away[heap])).astype(np.float32)
    plan.paint(heap, str(rng.choice(["sand", "gravel"])), mix=0.1)
