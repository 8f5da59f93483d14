"""What the ground is made of: land cover, spectrum and radar scattering of each material.

Spectra are rounded figures for Sentinel-2's bands. Roofs, pavements, grass, crops, trees, soil,
sand and clear water follow the airborne spectra of the Berlin urban gradient library (Okujeni,
van der Linden and Hostert 2016, doi:10.5880/enmap.2016.008), brightened where its pixels lie in
partial shade; paints, gravel, ripe crops, rapeseed in flower and turbid water are chosen to be
plausible beside the USGS (Kokaly et al. 2017, doi:10.3133/ds1035) and ECOSTRESS (Meerdink et al.
2019, doi:10.1016/j.rse.2019.05.015) libraries. Band 10 sees no ground (`optical.py`).

Scattering powers are for C band at 35 degrees, chosen so that the totals lie within what Ulaby and
Dobson (1989, Handbook of Radar Scattering Statistics for Terrain) report, and so that water and
land stand as far apart as in Sentinel-1 scenes (VV -18 and -9 dB, VH below -25 and -16 dB).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The classes of the land cover masks; a class's number is its place.
LAND_COVER = ("water", "crops", "grass", "forest", "bare", "built-up", "roads")

# Colours of the masks, red green blue.
LAND_COVER_COLOURS = (
    (52, 116, 201), (232, 197, 82), (163, 206, 110), (44, 120, 62),
    (176, 146, 113), (205, 83, 76), (110, 110, 118),
)  # fmt: skip

SEA_WATER, FRESH_WATER = 66 - 37j, 72 - 22j  # relative permittivity at 5.4 GHz
MOIST_SOIL, DRY_SOIL, WOOD, MASONRY, METAL = 14 - 3j, 5 - 0.6j, 11 - 3.5j, 5 - 0.4j, 1 - 1e6j


@dataclass(frozen=True)
class Scattering:
    """Powers of the three mechanisms of Freeman and Durden (1998), in dB of sigma nought.

    Attributes:
        surface: VV power of rough-surface (Bragg) scattering.
        double: HH power of ground-wall or ground-trunk reflections; VV is weaker, the more so the
            nearer an angle of incidence is to Brewster's.
        volume: Co-polarised power of a cloud of random dipoles; HV is a third of it.
        ground: Relative permittivity of the surface.
        wall: Relative permittivity of what stands on it.
    """

    surface: float = -np.inf
    double: float = -np.inf
    volume: float = -np.inf
    ground: complex = MOIST_SOIL
    wall: complex = WOOD


@dataclass(frozen=True)
class Material:
    """One material.

    Attributes:
        name: What it is.
        land_cover: One of `LAND_COVER`.
        reflectance: Per cent in B01 ... B12 but B10: 12 numbers.
        radar: How it scatters.
        partner: The material it grades into where the landscape's `mix` is above 0: soil between
            the plants, ripe ears, the bottom of shallow water.
        patches: Relative standard deviation of brightness over some 15 m.
        grain: The same from cell to cell.
    """

    name: str
    land_cover: str
    reflectance: tuple[float, ...]
    radar: Scattering
    partner: str = ""
    patches: float = 0.05
    grain: float = 0.04


def _m(
    name: str,
    cover: str,
    spectrum: str,
    radar: Scattering,
    partner: str = "",
    patches: float = 0.05,
    grain: float = 0.04,
) -> Material:
    return Material(
        name, cover, tuple(map(float, spectrum.split())), radar, partner, patches, grain
    )


_FOREST = Scattering(-15, -14.5, -8.8)
_CONIFERS = Scattering(-16, -12.5, -9.4)
_ROOF = Scattering(-11.5, -13.5, -17, MASONRY, MASONRY)
_FLAT_ROOF = Scattering(-13.5, -15, -20, MASONRY, MASONRY)
_METAL_ROOF = Scattering(-14, -13, -21, METAL, METAL)
_HULL = Scattering(-11, -9, -18, METAL, METAL)
_PAVED = Scattering(-20, volume=-32, ground=MASONRY)


def _paint(name: str, spectrum: str) -> Material:
    return _m(name, "built-up", spectrum, _HULL, "", 0.02, 0.03)


MATERIALS: tuple[Material, ...] = (
    #                              B01  B02  B03  B04  B05  B06  B07  B08  B8A  B09  B11  B12
    _m("river water", "water",    "3.2  3.0  4.4  2.9  2.5  1.5  1.3  1.0  0.9  0.8  0.3  0.2",
       Scattering(-18, volume=-38, ground=FRESH_WATER), "shallows", 0.05, 0.05),
    _m("sea water", "water",      "3.9  3.4  2.9  1.3  1.0  0.7  0.6  0.5  0.5  0.4  0.2  0.1",
       Scattering(-16.5, volume=-36, ground=SEA_WATER), "shallows", 0.05, 0.07),
    _m("shallows", "water",       "6.0  6.8  8.8  7.6  6.8  3.6  3.0  2.4  2.1  1.4  0.5  0.3",
       Scattering(-18, volume=-38, ground=FRESH_WATER), "", 0.04, 0.03),
    _m("foam", "water",           "20   21   22   21   20   18   17   16   15   12   4    2",
       Scattering(-22, volume=-38, ground=SEA_WATER), "sea water", 0.1, 0.25),
    _m("wheat", "crops",          "2.6  3.3  6.4  4.0  11.0 27.0 36.0 38.0 39.0 38.0 19.0 9.0",
       Scattering(-16, -19, -14), "ripe cereal", 0.05, 0.03),
    _m("ripe cereal", "crops",    "7.0  8.8  13.0 17.5 21.0 25.0 28.0 30.5 32.0 33.0 35.0 24.0",
       Scattering(-15, -20, -16, DRY_SOIL), "stubble", 0.05, 0.03),
    _m("rapeseed", "crops",       "2.8  4.4  13.5 11.5 18.5 34.0 41.0 43.0 44.0 43.0 23.0 12.0",
       Scattering(-16, -22, -10.5), "green pods", 0.05, 0.04),
    _m("green pods", "crops",     "3.2  4.2  8.4  6.0  14.0 28.0 34.0 36.0 37.0 36.0 22.0 12.0",
       Scattering(-16, -22, -11), "", 0.05, 0.03),
    _m("maize", "crops",          "2.8  3.4  6.0  4.2  12.5 25.0 33.0 35.0 36.0 35.0 17.5 8.5",
       Scattering(-14.5, -15.5, -12), "soil", 0.05, 0.03),
    _m("sugar beet", "crops",     "3.4  4.4  8.4  5.4  15.0 31.0 38.0 40.0 41.0 39.0 19.0 10.0",
       Scattering(-13, -20, -12), "soil", 0.05, 0.03),
    _m("stubble", "crops",        "7.5  9.4  12.8 16.8 19.0 21.0 23.0 24.5 26.0 27.5 33.0 26.0",
       Scattering(-12, volume=-19, ground=DRY_SOIL), "soil", 0.05, 0.04),
    _m("meadow", "grass",         "3.0  3.7  6.9  4.7  13.8 27.5 35.0 37.0 38.5 38.5 22.5 10.5",
       Scattering(-15, -24, -15), "dry grass", 0.08, 0.06),
    _m("lawn", "grass",           "3.0  3.6  6.6  4.4  14.0 27.5 36.0 38.5 40.0 40.0 23.0 11.0",
       Scattering(-16.5, -26, -18), "dry grass", 0.06, 0.06),
    _m("dry grass", "grass",      "5.5  7.0  10.2 12.2 16.0 21.0 24.5 26.5 28.0 30.0 33.0 21.5",
       Scattering(-15, volume=-18, ground=DRY_SOIL), "", 0.08, 0.06),
    _m("forest floor", "forest",  "2.0  2.4  3.9  3.0  7.5  14.0 18.0 19.5 20.0 20.0 14.0 7.5",
       _FOREST, "", 0.12, 0.15),
    _m("broadleaf", "forest",     "2.1  2.6  4.9  3.0  10.5 24.0 32.0 34.0 35.0 34.5 16.5 7.2",
       _FOREST, "light broadleaf", 0.08, 0.10),
    _m("light broadleaf", "forest", "2.6 3.4 7.2 4.4  14.0 30.0 38.0 40.0 41.0 40.0 20.0 9.0",
       _FOREST, "", 0.08, 0.10),
    _m("conifer", "forest",       "1.9  2.3  3.5  2.5  7.0  14.0 18.5 20.0 20.5 20.5 9.5  4.2",
       _CONIFERS, "broadleaf", 0.08, 0.12),
    _m("soil", "bare",            "7.4  9.2  12.4 16.2 17.6 19.0 20.4 21.6 22.6 24.2 31.0 29.0",
       Scattering(-10.5, volume=-21), "wet soil", 0.05, 0.05),
    _m("wet soil", "bare",        "4.4  5.4  7.4  9.6  10.6 11.6 12.4 13.2 13.8 14.6 18.0 15.5",
       Scattering(-9.5, volume=-20, ground=22 - 5j), "", 0.05, 0.05),
    _m("sand", "bare",            "15.5 18.5 25.0 31.0 33.0 34.5 36.0 37.0 38.0 39.5 46.0 43.0",
       Scattering(-13, volume=-24, ground=DRY_SOIL), "soil", 0.06, 0.05),
    _m("gravel", "bare",          "16.0 18.0 21.5 24.5 25.5 26.5 27.5 28.0 28.5 29.5 32.0 29.0",
       Scattering(-9.5, volume=-20, ground=DRY_SOIL), "sand", 0.07, 0.10),
    _m("asphalt", "roads",        "7.0  7.6  8.6  9.4  9.8  10.2 10.5 10.7 10.8 11.2 13.0 12.6",
       Scattering(-19.5, volume=-31, ground=MASONRY), "old asphalt", 0.05, 0.04),
    _m("old asphalt", "roads",    "10.5 12.0 13.6 15.0 15.6 16.2 16.8 17.2 17.4 18.0 20.0 19.5",
       Scattering(-19, volume=-30, ground=MASONRY), "", 0.05, 0.04),
    _m("dirt road", "roads",      "11.0 13.0 17.0 21.0 22.5 23.5 24.5 25.5 26.0 27.0 33.0 31.0",
       Scattering(-14, volume=-25, ground=DRY_SOIL), "dry grass", 0.06, 0.06),
    _m("runway", "built-up",      "8.0  9.0  10.2 11.2 11.6 12.0 12.3 12.5 12.6 13.0 15.0 14.6",
       _PAVED, "asphalt", 0.04, 0.03),
    _m("white marking", "built-up", "44  47   50   52   52   52   52   52   52   51   46   38",
       _PAVED, "", 0.02, 0.04),
    _m("yellow marking", "built-up", "7  9    22   29   30   31   31   31   31   31   31   28",
       _PAVED, "", 0.02, 0.04),
    _m("concrete", "built-up",    "16.0 18.5 21.8 24.6 25.2 25.6 26.4 27.0 27.4 28.0 30.0 24.0",
       Scattering(-17.5, volume=-29, ground=MASONRY), "old asphalt", 0.05, 0.04),
    _m("yard", "built-up",        "11.0 12.6 14.4 16.0 16.8 17.6 18.2 18.8 19.2 19.8 22.5 20.5",
       Scattering(-14, volume=-24, ground=MASONRY), "concrete", 0.08, 0.06),
    _m("clay tiles", "built-up",  "6.0  6.9  10.2 20.0 22.0 23.6 24.6 24.4 24.4 27.0 42.0 43.0",
       _ROOF, "brown tiles", 0.05, 0.06),
    _m("brown tiles", "built-up", "4.6  5.2  7.2  12.0 13.0 14.0 14.8 15.2 15.4 18.0 36.0 36.0",
       _ROOF, "", 0.05, 0.06),
    _m("slate", "built-up",       "6.6  7.2  8.0  8.6  8.9  9.2  9.4  9.6  9.7  10.0 12.0 12.0",
       _ROOF, "", 0.04, 0.06),
    _m("bitumen", "built-up",     "7.6  8.4  9.2  9.6  9.9  10.3 10.7 10.9 11.0 11.6 16.0 16.0",
       _FLAT_ROOF, "pale roof", 0.08, 0.04),
    _m("pale roof", "built-up",   "26.0 30.0 33.5 36.0 35.6 35.0 34.6 34.4 34.2 34.0 36.0 32.0",
       _FLAT_ROOF, "", 0.03, 0.03),
    _m("metal roof", "built-up",  "22.0 25.0 27.5 29.0 29.5 29.5 30.0 30.0 30.0 30.0 30.0 27.0",
       _METAL_ROOF, "", 0.03, 0.03),
    _paint("white paint",         "52   56   60   62   62   62   62   62   62   61   55   46"),
    _paint("grey paint",          "21   23   25   26   26   26   27   27   27   27   27   25"),
    _paint("dark paint",          "4.2  4.4  4.6  4.8  5.0  5.2  5.6  6.0  6.2  6.6  8.0  8.0"),
    _paint("red paint",           "4.5  4.6  5.5  27   33   36   38   39   40   41   43   40"),
    _paint("blue paint",          "15   20   13   6.0  5.6  6.0  9.0  14   17   21   26   24"),
    _paint("green paint",         "4.0  6.0  12   6.0  5.4  8.0  14   20   23   26   28   24"),
    _paint("yellow paint",        "6.0  9.0  36   48   50   51   52   52   52   52   50   44"),
    _paint("rust",                "4.6  5.4  7.8  14   16   18   19   19   19   21   27   24"),
)  # fmt: skip

INDEX = {material.name: number for number, material in enumerate(MATERIALS)}

# Tables with a row per material.
CLASS_OF = np.array([LAND_COVER.index(m.land_cover) for m in MATERIALS], np.uint8)
PATCHES = np.array([m.patches for m in MATERIALS], np.float32)
GRAIN = np.array([m.grain for m in MATERIALS], np.float32)
PARTNER = np.array([INDEX[m.partner or m.name] for m in MATERIALS])

_WITHOUT_B10 = np.array([m.reflectance for m in MATERIALS], np.float32) / 100
REFLECTANCE = np.insert(_WITHOUT_B10, 10, 0.0, axis=1)  # (materials, 13) in Sentinel-2's order
