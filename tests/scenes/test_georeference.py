"""Whether two grids are one."""

import pytest
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from ringmoe.scenes.georeference import Georeference

UTM = CRS.from_epsg(32633)
TURNED = Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(10, -10)
SIZE = (40, 60)


def points(east=0.0):
    rows = ((0, 0), (0, 60), (40, 0), (40, 60))
    return tuple(GroundControlPoint(r, c, 13 + c / 1e3 + east, 47 - r / 1e3) for r, c in rows)


def shifted(columns, rows, stretched=1.0):
    return TURNED @ Affine.translation(columns, rows) @ Affine.scale(stretched)


@pytest.mark.parametrize(
    ("transform", "meets"),
    [
        (TURNED, True),
        (shifted(0.4, -0.4), True),
        (shifted(0.6, 0), False),
        (shifted(0, -0.6), False),
        (shifted(0, 0, 1 + 0.4 / 60), True),  # 0.4 px at the far end of a row
        (shifted(0, 0, 1 + 0.6 / 60), False),
        (None, False),
    ],
)
def test_corners_agree_within_half_a_pixel(transform, meets):
    """In pixels, on a grid that is turned by 30 degrees."""
    place, other = Georeference(UTM, TURNED), Georeference(UTM, transform)
    assert place.meets(other, *SIZE) == other.meets(place, *SIZE) == meets


def test_points_are_compared():
    place = Georeference(UTM, None, points())
    assert place.meets(Georeference(UTM, None, points()), *SIZE)
    assert place.meets(Georeference(UTM, None, points()[::-1]), *SIZE)
    assert not place.meets(Georeference(UTM, None, points(100)), *SIZE)
    assert not place.meets(Georeference(UTM, None, points()[:3]), *SIZE)
    assert not place.meets(Georeference(UTM, TURNED), *SIZE)


def test_no_place_meets_no_place():
    assert Georeference().meets(Georeference(), *SIZE)
    assert not Georeference().meets(Georeference(UTM, TURNED), *SIZE)
    assert not Georeference(UTM, TURNED).meets(Georeference(CRS.from_epsg(32634), TURNED), *SIZE)
    assert not Georeference().is_placed and Georeference(UTM, None, points()).is_placed
