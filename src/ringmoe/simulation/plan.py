"""The plan of a landscape: painted ground, and lists of what is built, grows or parks on it."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass, field

import numpy as np

from ringmoe.simulation.materials import CLASS_OF, INDEX, LAND_COVER
from ringmoe.simulation.raster import Patch, Path, frame
from ringmoe.simulation.terrain import fractal

Array = np.ndarray
Everywhere = (slice(None), slice(None))


def stream(seed: int, name: str) -> np.random.Generator:
    """Independent randomness for one purpose: what is drawn for another does not change it."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


# Models of `objects.MODELS` that stand or move somewhere, one drawn from each tuple.
CARS = ("car", "car", "car", "car", "car", "car", "car", "van")
LORRIES = ("lorry",)
ROAD_TRAFFIC = ("car", "car", "car", "car", "car", "van", "lorry", "lorry")
BOATS = ("motor boat",)
RIVER_TRAFFIC = ("barge", "motor boat")
SHIPS = ("cargo ship", "cargo ship", "cargo ship", "fishing boat")
SEA_TRAFFIC = ("cargo ship", "fishing boat", "motor boat")
AIRLINERS, TURBOPROPS = ("airliner",), ("turboprop",)


@dataclass(frozen=True)
class Road:
    """Where objects move along a path: a road, a taxiway, a shipping lane.

    Attributes:
        path: The centre line.
        width: In metres.
        speed: Of its traffic in m/s.
        models: That use it; none where nothing moves.
        headway: Mean distance between two of them, metres.
        both_ways: Traffic keeps to the right; else it follows the centre line one way.
    """

    path: Path
    width: float
    speed: float
    models: tuple[str, ...] = ROAD_TRAFFIC
    headway: float = 75.0
    both_ways: bool = True


@dataclass(frozen=True)
class Building:
    """A box with a roof, or a cylinder.

    Attributes:
        x: Centre, metres.
        y: Centre, metres.
        heading: Direction of the ridge, radians.
        length: Along the ridge, metres.
        width: Metres.
        eaves: Height of the walls, metres.
        ridge: Height of a gabled roof's ridge over the eaves; 0 for a flat roof.
        roof: Name of the roof's material.
        mix: How much of the material's partner shows.
        round: A cylinder of diameter `length`.
    """

    x: float
    y: float
    heading: float
    length: float
    width: float
    eaves: float
    ridge: float = 0.0
    roof: str = "clay tiles"
    mix: float = 0.0
    round: bool = False

    def footprint(self, shape: tuple[int, int]) -> tuple[Patch, Array, Array]:
        """A patch of cells, which of them it covers, and the height of its roof there."""
        where, ahead, left = frame(shape, self.x, self.y, self.heading, self.length, self.width)
        if self.round:
            covered = ahead**2 + left**2 <= (self.length / 2) ** 2
        else:
            covered = (np.abs(ahead) <= self.length / 2) & (np.abs(left) <= self.width / 2)
        pitch = 1 - np.abs(left) / (self.width / 2)
        return where, covered, self.eaves + self.ridge * pitch

    def stream(self, seed: int, purpose: str) -> np.random.Generator:
        """Randomness of its own, whatever else is built or pulled down between two dates."""
        return stream(seed, f"{purpose} {self.x:.1f} {self.y:.1f}")


@dataclass(frozen=True)
class Stand:
    """A place where an object may stand.

    Attributes:
        models: One of them stands there.
        x: Metres.
        y: Metres.
        heading: Radians.
        length: The longest object that fits, metres.
        occupied: The probability that something stands there.
    """

    models: tuple[str, ...]
    x: float
    y: float
    heading: float
    length: float
    occupied: float = 0.7


@dataclass
class Plan:
    """Everything that determines a landscape at one date.

    Attributes:
        seed: Of the landscape.
        elevation: Of the ground in metres, `(H, W)` float32, as all rasters on the grid of cells.
        material: Index into `MATERIALS`, uint8; without buildings and trees.
        mix: Share of the material's partner, in [0, 1].
        tone: Brightness relative to the material's spectrum.
        trees: The probability that a tree stands where one could, in [0, 1].
        conifers: The probability that it is a conifer.
        deck: Height of bridges over what they cross, metres.
        roads: Roads, taxiways and shipping lanes, with their traffic.
        buildings: All of them.
        stands: Where objects may stand.
        sites: Empty plots (x, y) where a later date may bring a house.
    """

    seed: int
    elevation: Array
    material: Array
    mix: Array
    tone: Array
    trees: Array
    conifers: Array
    deck: Array
    roads: list[Road] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    stands: list[Stand] = field(default_factory=list)
    sites: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def blank(cls, seed: int, shape: tuple[int, int], relief: float) -> Plan:
        """A meadow on hills whose heights have a standard deviation of `relief` metres."""
        hills = relief * fractal(stream(seed, "hills"), shape, 260.0, 5.5)
        zero = np.zeros(shape, np.float32)
        return cls(
            seed=seed,
            elevation=(hills - hills.min()).astype(np.float32),
            material=np.full(shape, INDEX["meadow"], np.uint8),
            mix=zero.copy(),
            tone=zero + 1,
            trees=zero.copy(),
            conifers=zero.copy(),
            deck=zero.copy(),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.material.shape[0], self.material.shape[1]

    def stream(self, name: str) -> np.random.Generator:
        """Randomness for one purpose."""
        return stream(self.seed, name)

    def copy(self) -> Plan:
        """A plan that can be changed without changing this one."""
        return copy.deepcopy(self)

    def paint(
        self,
        mask: Array,
        material: str,
        *,
        where: Patch = Everywhere,
        mix: Array | float = 0.0,
        tone: Array | float = 1.0,
        trees: float = 0.0,
    ) -> None:
        """Cover the cells of `where` that `mask` marks with a material.

        `mix` and `tone` are numbers or arrays of the patch's size; `trees` becomes the
        probability of trees there.
        """
        self.material[where][mask] = INDEX[material]
        self.trees[where][mask] = trees
        for raster, value in ((self.mix, mix), (self.tone, tone)):
            raster[where][mask] = value[mask] if isinstance(value, np.ndarray) else value

    def is_cover(self, *covers: str, where: Patch = Everywhere) -> Array:
        """Where the ground of a patch is one of these land covers, bool."""
        wanted = np.zeros(len(LAND_COVER), bool)
        wanted[[LAND_COVER.index(cover) for cover in covers]] = True
        return wanted[CLASS_OF][self.material[where]]

    def free(self, building: Building, margin: float = 2.0) -> bool:
        """Whether a building and a margin around it lie inside, on neither water nor pavement."""
        x, y = building.x, building.y
        if not (0 < x < self.shape[1] and 0 < y < self.shape[0]):
            return False
        where, ahead, left = frame(
            self.shape, x, y, building.heading,
            building.length + 2 * margin, building.width + 2 * margin,
        )  # fmt: skip
        inside = np.abs(ahead) <= building.length / 2 + margin
        inside &= np.abs(left) <= building.width / 2 + margin
        if (self.is_cover("water", "built-up", "roads", where=where) & inside).any():
            return False
        reach = (building.length + margin) / 2
        return all(
            np.hypot(x - other.x, y - other.y) > 0.85 * (reach + other.length / 2)
            for other in self.buildings
        )
