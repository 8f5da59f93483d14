"""Which objects stand and move on a plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ringmoe.simulation.materials import CLASS_OF, LAND_COVER
from ringmoe.simulation.object_models import MODEL
from ringmoe.simulation.objects import SceneObject, new_object
from ringmoe.simulation.plan import Plan, Road, Stand
from ringmoe.simulation.raster import Path, polygon, rectangle, to_world

Array = np.ndarray


@dataclass(frozen=True)
class Mover:
    """An object that follows a path at constant speed.

    Attributes:
        thing: The object; its place and heading at time 0.
        path: The line it follows.
        along: Where on it at time 0, metres.
        direction: 1 along the path, -1 against it.
    """

    thing: SceneObject
    path: Path
    along: float
    direction: int

    def at(self, time: float) -> SceneObject | None:
        """The object after some seconds; None where the path does not lead."""
        place = self.along + self.direction * self.thing.speed * time
        if not 0 <= place <= self.path.length:
            return None
        x, y, heading = self.path.pose(place)
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
            plan: Its stands and roads.
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
        for road in plan.roads:
            self._drive(rng, road, date)
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
        model = str(rng.choice(stand.models))
        backwards = MODEL[model].kind != "aircraft" and rng.random() < 0.5
        turned = stand.heading + math.pi * backwards
        heading = math.remainder(turned + rng.normal(0, 0.02), 2 * math.pi)
        identity = 1 + number + (100_000 if epoch else 0)
        thing = new_object(rng, identity, model, stand.x, stand.y, heading, stand.length)
        if self._claim(thing):
            self.parked.append(thing)

    def _drive(self, rng: np.random.Generator, road: Road, date: int) -> None:
        """Fill a road with what moves on it."""
        for direction in (1, -1) if road.both_ways else (1,):
            speed = road.speed * rng.uniform(0.85, 1.15)
            lane = road.path.beside(-direction * road.width / 4) if road.both_ways else road.path
            along = rng.exponential(road.headway)
            while road.models and along < lane.length:
                model = str(rng.choice(road.models))
                self._numbers += 1
                identity = self._numbers + 10_000 * (1 + 10 * date)
                thing = new_object(rng, identity, model, 0, 0, 0, road.width * 1.6 + 8, speed)
                mover = Mover(thing, lane, along, direction)
                along += thing.length + 12 + rng.exponential(road.headway)
                now = mover.at(0.0)
                if now is not None and self._claim(now):
                    self.movers.append(replace(mover, thing=now))

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


def in_sight(objects: Sequence[SceneObject], size: tuple[int, int]) -> tuple[SceneObject, ...]:
    """Those objects whose horizontal box reaches into an image of that height and width."""
    limits = np.array([size[1], size[0]])
    found = []
    for thing in objects:
        box = thing.horizontal_box
        if (box[2:] > 0).all() and (box[:2] < limits).all():
            found.append(thing)
    return tuple(found)
