"""A place with its own axes, on which something is built."""

from __future__ import annotations

import math

import numpy as np

from ringmoe.simulation.plan import CARS, Building, Plan, Stand
from ringmoe.simulation.raster import frame, to_world

Array = np.ndarray


class Site:
    """A frame of reference on a plan: metres ahead of and to the left of its origin.

    Attributes:
        plan: Built upon.
        x: The origin on the plan, metres.
        y: The origin on the plan, metres.
        heading: Where "ahead" points, radians.
        where: The patch of the plan that the site covers.
        ahead: Of each cell of the patch.
        left: Of each cell of the patch.
    """

    def __init__(
        self, plan: Plan, x: float, y: float, heading: float, reach: float = math.inf
    ) -> None:
        """A site that extends `reach` metres to all sides, or over the whole plan."""
        self.plan, self.x, self.y, self.heading = plan, x, y, heading
        if math.isinf(reach):
            reach = float(np.hypot(*plan.shape)) + abs(x) + abs(y)
        self.where, ahead, left = frame(plan.shape, x, y, heading, 2 * reach, 2 * reach)
        self.ahead, self.left = ahead.astype(np.float32), left.astype(np.float32)

    def at(self, ahead: float, left: float) -> tuple[float, float]:
        """X and y of a place."""
        x, y = to_world(np.array([ahead, left], float), self.x, self.y, self.heading)
        return float(x), float(y)

    def box(self, first: float, last: float, right: float, left: float) -> Array:
        """The cells between two distances ahead and two to the left, bool."""
        along = (self.ahead >= first) & (self.ahead <= last)
        return along & (self.left >= right) & (self.left <= left)

    def is_cover(self, *covers: str) -> Array:
        """Where the ground is one of these land covers, bool."""
        return self.plan.is_cover(*covers, where=self.where)

    def is_land(self) -> Array:
        """Where the ground is open: neither water nor paved nor built upon, bool."""
        return self.is_cover("crops", "grass", "forest", "bare")

    def paint(
        self, mask: Array, material: str, *, mix: Array | float = 0.0, tone: Array | float = 1.0,
        trees: float = 0.0,
    ) -> None:  # fmt: skip
        """Cover the cells of a mask with a material, as `Plan.paint`."""
        self.plan.paint(mask, material, where=self.where, mix=mix, tone=tone, trees=trees)

    def building(
        self,
        ahead: float,
        left: float,
        length: float,
        width: float,
        eaves: float,
        *,
        ridge: float = 0.0,
        roof: str = "bitumen",
        mix: float = 0.0,
        turn: float = 0.0,
        round: bool = False,
    ) -> Building:
        """A building at a place of the site, its ridge turned from "ahead" by `turn` radians."""
        x, y = self.at(ahead, left)
        return Building(x, y, self.heading + turn, length, width, eaves, ridge, roof, mix, round)

    def stand(
        self, models: tuple[str, ...], ahead: float, left: float, length: float,
        occupied: float = 0.7, turn: float = 0.0,
    ) -> None:  # fmt: skip
        """Add a stand for an object at a place of the site."""
        x, y = self.at(ahead, left)
        self.plan.stands.append(Stand(models, x, y, self.heading + turn, length, occupied))

    def car_park(self, ahead: float, left: float, rows: int, bays: int) -> None:
        """Pave a car park with its middle at a place; rows of bays run along "left"."""
        depth, span = 9.0 * rows / 2 + 3, 2.8 * bays / 2 + 2
        mask = self.box(ahead - depth, ahead + depth, left - span, left + span)
        self.paint(mask, "asphalt", mix=0.35)
        for row in range(rows):
            for bay in range(bays):
                place = ahead + 9.0 * (row - (rows - 1) / 2), left + 2.8 * (bay - (bays - 1) / 2)
                self.stand(CARS, *place, 5.2, 0.55)
