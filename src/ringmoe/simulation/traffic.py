"""Which objects stand and move on a plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ringmoe.simulation.materials import CLASS_OF, LAND_COVER
from ringmoe.simulation.objects import SceneObject, new_object
from ringmoe.simulation.plan import Plan, Road, Stand
from ringmoe.simulation.raster import Path, polygon, rectangle, to_world

Array = np.ndarray

HEADWAY = 75.0  # metres between vehicles on a road, on average
SHIP_HEADWAY = 260.0


@dataclass(frozen=True)
class Mover:
    """An object that follows a path at constant speed.

    Attributes:
        thing: The object; its place and heading at time 0.
        path: The line it follows.
        along: Where on it at time 0, metres.
        direction: 1 along the path, -1 against it.
        left: Its distance to the left of the path, in the path's own direction, metres.
    """

    thing: SceneObject
    path: Path
    along: float
    direction: int
    left: float

    def at(self, time: float) -> SceneObject | None:
        """The object after some seconds; None where the path does not lead."""
        place = self.along + self.direction * self.thing.speed * time
        if not 0 <= place <= self.path.length:
            return None
        x, y, heading = self.path.pose(place, self.left)
        if self.direction < 0:
            heading += math.pi
        turned = math.remainder(heading, 2 * math.pi)
        return replace(self.thing, x=x, y=y, heading=turned)


class Traffic:
    """The objects of a plan at one date, those that stand and those that move.

    An object is there only if it has room: ships float, nothing stands in a building, no two
    objects overlap.

    Attributes:
        parked: They do not move.
        movers: They do.
    """

    def __init__(self, plan: Plan, material: Array, blocked: Array, date: int) -> None:
        """Fill a plan with objects.

        Args:
            plan: Its stands, roads, lanes and taxiways.
            material: Of the ground, with buildings and trees, `(H, W)`.
            blocked: Where buildings are, `(H, W)` bool.
            date: 0 for the first, 1 for the later: about half of what stands stays.
        """
        self._water = CLASS_OF[material] == LAND_COVER.index("water")
        self._taken = blocked.copy()
        self._numbers = 1
        self.parked: list[SceneObject] = []
        self.movers: list[Mover] = []
        rng = plan.stream(f"movers {date}")
        for roads, kind, gap in (
            (plan.lanes, "ship", SHIP_HEADWAY),
            (plan.taxiways, "aircraft", 400.0),
            (plan.roads, "vehicle", HEADWAY),
        ):
            for road in roads:
                self._drive(plan, rng, road, kind, gap, date)
        for number, stand in enumerate(plan.stands):
            self._park(plan, number, stand, date)

    def at(self, time: float) -> tuple[SceneObject, ...]:
        """All objects after some seconds."""
        moved = (mover.at(time) for mover in self.movers)
        return (*self.parked, *(thing for thing in moved if thing is not None))

    def _park(self, plan: Plan, number: int, stand: Stand, date: int) -> None:
        """Whether and what stands on a stand; the same as at the first date in half the cases."""
        stays = plan.stream(f"stays {number}").random() < 0.5
        epoch = 0 if stays else date
        rng = plan.stream(f"stand {epoch} {number}")
        if rng.random() >= stand.occupied:
            return
        model = _model(rng, stand.kind, stand.length, river=bool(plan.lanes) and not _harbour(plan))
        turned = stand.heading + (math.pi if stand.kind != "aircraft" and rng.random() < 0.5 else 0)
        heading = math.remainder(turned + rng.normal(0, 0.02), 2 * math.pi)
        identity = 1 + number + (100_000 if epoch else 0)
        thing = new_object(rng, identity, model, stand.x, stand.y, heading, stand.length)
        if self._claim(thing):
            self.parked.append(thing)

    def _drive(
        self, plan: Plan, rng: np.random.Generator, road: Road, kind: str, gap: float, date: int
    ) -> None:
        """Moving objects on a road, on the right-hand side."""
        if road.speed == 0:
            return
        for direction in (1, -1):
            speed = road.speed * rng.uniform(0.85, 1.15)
            left = -direction * (road.width / 4 if kind != "aircraft" else 0.0)
            along = rng.exponential(gap)
            while along < road.path.length:
                model = _model(rng, kind, 100.0, river=not _harbour(plan), moving=True)
                self._numbers += 1
                identity = self._numbers + 10_000 * (1 + 10 * date)
                thing = new_object(rng, identity, model, 0, 0, 0, road.width * 1.6 + 8, speed)
                mover = Mover(thing, road.path, along, direction, left)
                along += thing.length + 12 + rng.exponential(gap)
                now = mover.at(0.0)
                if now is not None and self._claim(now):
                    self.movers.append(replace(mover, thing=now))
            if kind == "aircraft":
                return

    def _claim(self, thing: SceneObject) -> bool:
        """Take the room of an object if it is free and of the right kind."""
        size = rectangle(thing.length + 1.5, thing.width + 1.5)
        outline = to_world(size, thing.x, thing.y, thing.heading)
        where, inside = polygon((self._taken.shape[0], self._taken.shape[1]), outline)
        wet = self._water[where][inside]
        floats = wet.all() if thing.kind == "ship" else not wet.any()
        if (self._taken[where] & inside).any() or not floats:
            return False
        self._taken[where] |= inside
        return True


def _harbour(plan: Plan) -> bool:
    return any(stand.kind == "ship" and stand.length > 40 for stand in plan.stands)


def _model(
    rng: np.random.Generator, kind: str, longest: float, *, river: bool, moving: bool = False
) -> str:
    """A model that fits a stand."""
    if kind == "aircraft":
        return "airliner" if longest >= 31 else "turboprop"
    if kind == "vehicle":
        if longest < 9:
            return "van" if rng.random() < 0.12 else "car"
        if moving:
            return str(rng.choice(["car", "van", "lorry"], p=[0.62, 0.13, 0.25]))
        return "lorry"
    if longest < 16:
        return "motor boat"
    if moving:
        choices = ["barge", "motor boat"] if river else ["cargo ship", "fishing boat", "motor boat"]
        return str(rng.choice(choices))
    if longest >= 58 and rng.random() < 0.75:
        return "cargo ship"
    return "fishing boat"


def in_sight(objects: Sequence[SceneObject], size: tuple[int, int]) -> tuple[SceneObject, ...]:
    """Those objects whose horizontal box reaches into an image of that height and width."""
    limits = np.array([size[1], size[0]])
    found = []
    for thing in objects:
        box = thing.horizontal_box
        if (box[2:] > 0).all() and (box[:2] < limits).all():
            found.append(thing)
    return tuple(found)
