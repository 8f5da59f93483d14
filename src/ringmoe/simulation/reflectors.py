"""Bright points: the corners and edges of metal and walls that outshine their surroundings.

Each is a dihedral or trihedral of a certain radar cross section (in square metres) whose echo
stands at a point; the sensor spreads it by its impulse response. A dihedral whose fold is turned
by psi about the line of sight has the scattering matrix [[cos 2psi, sin 2psi], [sin 2psi,
-cos 2psi]], a trihedral the unit matrix (Lee and Pottier 2009, Polarimetric Radar Imaging).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ringmoe.simulation.objects import SceneObject
from ringmoe.simulation.plan import Building
from ringmoe.simulation.raster import rectangle, to_world
from ringmoe.simulation.terrain import Illumination

Array = np.ndarray

WALL_SPACING = 2.5  # metres between the points that stand for a wall
WALL_LOBE = math.radians(12.0)  # half width of a rough wall's reflection in azimuth

# Radar cross section per metre of length (ships, whose broadside is brighter), or altogether.
SHIP_RCS = 14.0  # m2 per metre: a 60 m ship has 29 dBsm
AIRCRAFT_RCS = 4.0
VEHICLE_RCS = 22.0  # m2 altogether: 13 dBsm


@dataclass(frozen=True)
class Reflectors:
    """Bright points, one entry each in every array.

    Attributes:
        x: Metres on the grid of cells.
        y: Metres.
        power: Radar cross section in square metres.
        turn: psi of a dihedral, radians.
        even: Whether it is a dihedral (else a trihedral).
        height: Of the object or the wall that it belongs to, metres above the ground.
    """

    x: Array
    y: Array
    power: Array
    turn: Array
    even: Array
    height: Array

    @classmethod
    def joined(cls, parts: Iterable[Reflectors]) -> Reflectors:
        """All points of several sets."""
        sets = list(parts)
        if not sets:
            nothing = np.zeros(0)
            return cls(nothing, nothing, nothing, nothing, nothing.astype(bool), nothing)
        names = ("x", "y", "power", "turn", "even", "height")
        return cls(*(np.concatenate([getattr(one, name) for one in sets]) for name in names))

    def dimmed(self, share: Array) -> Reflectors:
        """The same points with a share of their power each, `(N,)` in [0, 1]."""
        return replace(self, power=self.power * share)

    def scattering(self) -> Array:
        """HH, HV, VH, VV amplitudes in metres, `(4, N)`: the root of the cross section."""
        cos, sin = np.cos(2 * self.turn), np.sin(2 * self.turn)
        hh, hv = np.where(self.even, cos, 1.0), np.where(self.even, sin, 0.0)
        vv = np.where(self.even, -cos, 1.0)
        return np.sqrt(self.power) * np.stack([hh, hv, hv, vv])


def of_object(thing: SceneObject, radar: Illumination) -> Reflectors:
    """The bright points of a ship, an aircraft or a vehicle.

    They lie at places of the object that its seed determines (a ship's along the side that faces
    the radar and on its superstructure), so that they move and turn with it.
    """
    rng = np.random.default_rng(thing.shape_seed)
    facing = math.remainder(math.pi / 2 - math.radians(radar.azimuth) - thing.heading, 2 * math.pi)
    broadside = math.sin(facing)
    if thing.kind == "ship":
        count = max(4, int(thing.length / 3))
        total = SHIP_RCS * thing.length * (0.4 + 1.6 * broadside**2)
        side = np.sign(broadside) * 0.42 * (rng.random(count) < 0.6)
        left = np.where(side == 0, rng.uniform(-0.4, 0.4, count), side)
        ahead = rng.uniform(-0.48, 0.42, count)
    elif thing.kind == "aircraft":
        count = max(6, int(thing.length / 2))
        total = AIRCRAFT_RCS * thing.length
        on_body = rng.random(count) < 0.6
        ahead = np.where(on_body, rng.uniform(-0.48, 0.46, count), rng.normal(0, 0.05, count))
        left = np.where(on_body, rng.normal(0, 0.02, count), rng.uniform(-0.42, 0.42, count))
    else:
        count = max(2, int(thing.length / 3))
        total = VEHICLE_RCS * (0.5 + broadside**2) * thing.length / 5
        ahead, left = rng.uniform(-0.45, 0.45, count), rng.uniform(-0.45, 0.45, count)
    share = rng.exponential(1.0, count)
    places = np.stack([ahead * thing.length, left * thing.width], axis=1)
    x, y = to_world(places, thing.x, thing.y, thing.heading).T
    return Reflectors(
        x, y, total * share / share.sum(), rng.normal(0, 0.25, count), rng.random(count) < 0.6,
        np.full(count, thing.height),
    )  # fmt: skip


def of_buildings(buildings: Iterable[Building], radar: Illumination, seed: int) -> Reflectors:
    """The dihedrals between the ground and the walls that face the radar.

    A wall reflects back in a narrow lobe around its normal, and turned walls are weaker and more
    cross-polarised (Franceschetti, Iodice and Riccio 2002, IEEE TGRS 40(8)).
    """
    towards = np.array(radar.towards)
    found = []
    for building in buildings:
        rng = building.stream(seed, "walls")
        width = building.length if building.round else building.width
        corners = to_world(
            rectangle(building.length, width), building.x, building.y, building.heading
        )
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            along = end - start
            span = float(np.hypot(*along))
            normal = np.array([along[1], -along[0]]) / span  # outward: corners run clockwise
            cosine = float(normal @ towards)
            if cosine < 0.3:
                continue
            off = math.acos(min(cosine, 1.0))
            lobe = 0.35 if building.round else 0.02 + math.exp(-((off / WALL_LOBE) ** 2))
            count = max(1, int(span / WALL_SPACING))
            power = 1.6 * building.eaves * WALL_SPACING * lobe * rng.exponential(1.0, count)
            place = (np.arange(count) + rng.uniform(0.2, 0.8, count)) / count
            x, y = (start + place[:, None] * along + 0.6 * normal).T
            turn = rng.normal(0, 0.08 + 0.35 * math.sin(off), count)
            tops = np.full(count, float(building.eaves))
            found.append(Reflectors(x, y, power, turn, np.ones(count, bool), tops))
    return Reflectors.joined(found)
