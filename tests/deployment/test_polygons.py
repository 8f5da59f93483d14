"""Polygons of maps, read back: each pixel in one of them, by the standards' rules."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.warp import transform as reproject
from scipy import ndimage
from shapely.geometry import Point, box
from tests.deployment.samples import CLASSES, PLACE, make_scene, one_pixel, read

from ringmoe.deployment import predict_scene
from ringmoe.deployment.polygons import trace, write_polygons
from ringmoe.errors import GeoreferenceError

GROUND = 100 / 0.9996**2  # square metres of a pixel of 10 m on the central meridian of UTM

LABELS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 2)
)


def strips_of(labels, height):
    return ((row, labels[row : row + height]) for row in range(0, len(labels), height))


def traced(labels, height, nodata=2):
    return [area for areas in trace(strips_of(labels, height), nodata) for area in areas]


@settings(max_examples=30)
@given(LABELS, st.integers(1, 6))
def test_areas_are_the_connected_areas_whatever_the_strips(labels, height):
    """As many as scipy labels in the whole map; valid; and painted back they give the map."""
    areas = traced(labels, height)
    assert len(areas) == sum(ndimage.label(labels == value)[1] for value in (0, 1))
    painted = np.full(labels.shape, 2, np.uint8)
    for value, geometry in areas:
        assert geometry.is_valid
        mask = rasterize([(geometry, 1)], labels.shape, dtype="uint8")
        assert geometry.area == mask.sum() and (painted[mask == 1] == 2).all()
        painted[mask == 1] = value
    assert (painted == labels).all()


def test_an_area_across_strips_has_no_corners_of_its_strips():
    """A ring 6 x 5 around a hole 4 x 3 in three strips: four corners outside, four inside."""
    labels = np.zeros((6, 5), np.uint8)
    labels[1:5, 1:4] = 2
    ((value, ring),) = traced(labels, 2)
    assert value == 0 and ring.equals(box(0, 0, 5, 6) - box(1, 1, 4, 5))
    assert len(shapely.get_coordinates(ring)) == 10


def test_areas_that_meet_below_are_one():
    """A U: two arms in the first strip, which the last row joins; the middle is another area."""
    labels = np.array([[0, 1, 0], [0, 1, 0], [0, 0, 0]], np.uint8)
    assert sorted((value, area.area) for value, area in traced(labels, 1)) == [(0, 7), (1, 2)]


def test_areas_are_given_as_soon_as_they_end():
    """What a large scene holds in memory: areas that end in a strip leave with it."""
    labels = np.zeros((4, 3), np.uint8)
    labels[::2] = 1
    assert [len(areas) for areas in trace(strips_of(labels, 1), 255)] == [0, 1, 1, 1, 1]


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path / "scene.tif", 70, 60)


def labelled(scene, seed=0):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, (scene.height // 5, scene.width // 5), dtype=np.uint8)
    labels = blocks.repeat(5, 0).repeat(5, 1)
    labels[:10, :30] = 255
    return labels


def test_geojson(tmp_path, scene):
    """RFC 7946: degrees, rings counter-clockwise outside; areas are those of the pixels.

    Positions against rasterio's reprojection of each area's points.
    """
    labels = labelled(scene)
    path = tmp_path / "areas.geojson"
    count = write_polygons(path, strips_of(labels, 16), scene, CLASSES, 255)
    found = json.loads(path.read_text())
    assert set(found) == {"type", "features"} and found["type"] == "FeatureCollection"
    assert len(found["features"]) == count == len(traced(labels, 70, nodata=255))
    areas = dict.fromkeys(CLASSES, 0.0)
    for feature in found["features"]:
        assert set(feature) == {"type", "properties", "geometry"} and feature["type"] == "Feature"
        about, geometry = feature["properties"], shapely.geometry.shape(feature["geometry"])
        assert geometry.is_valid and CLASSES[about["class_index"]] == about["class"]
        for part in shapely.get_parts(geometry):
            assert part.exterior.is_ccw and not any(ring.is_ccw for ring in part.interiors)
        inside = geometry.representative_point()
        x, y = reproject("EPSG:4326", scene.crs, [inside.x], [inside.y])
        column, row = ~PLACE @ (x[0], y[0])
        assert labels[int(row), int(column)] == about["class_index"]
        areas[about["class"]] += about["area_m2"]
    due = [GROUND * (labels == i).sum() for i in range(4)]
    assert list(areas.values()) == pytest.approx(due, rel=1e-6)


def test_geoparquet(tmp_path, scene):
    """Version 1.1: metadata with the CRS as PROJJSON, WKB in the scene's own coordinates."""
    labels = labelled(scene)
    path = tmp_path / "areas.parquet"
    count = write_polygons(path, strips_of(labels, 16), scene, CLASSES, 255)
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"geo"])
    assert (about["version"], about["primary_column"]) == ("1.1.0", "geometry")
    column = about["columns"]["geometry"]
    assert column["encoding"] == "WKB" and column["orientation"] == "counterclockwise"
    assert CRS.from_user_input(json.dumps(column["crs"])).to_epsg() == 32633
    geometries = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    assert len(geometries) == count and shapely.is_valid(geometries).all()
    assert {g.geom_type for g in geometries} <= set(column["geometry_types"])
    ground = shapely.area(geometries) / 100 * GROUND
    np.testing.assert_allclose(table["area_m2"].to_numpy(), ground, rtol=1e-7)
    painted = rasterize(
        zip(geometries, table["class_index"].to_pylist(), strict=True),
        labels.shape,
        fill=255,
        transform=PLACE,
        dtype="uint8",
    )
    assert (painted == labels).all()
    assert [CLASSES[i] for i in table["class_index"].to_pylist()] == table["class"].to_pylist()


@pytest.mark.parametrize(
    ("crs", "pixel", "corner"),
    [
        ("EPSG:3857", 10.0, (1_113_194.9, 8_399_737.9)),  # 10 E, 60 N: four times too large
        ("EPSG:4326", 0.5, (179.0, 84.0)),  # across the antimeridian
        ("EPSG:2263", 10.0, (980_000.0, 200_000.0)),  # US survey feet, in New York
        ("EPSG:3413", 25_000.0, (-50_000.0, 50_000.0)),  # the pole inside
        ("EPSG:3031", 25_000.0, (400_000.0, 50_000.0)),
    ],
)
def test_areas_are_those_on_the_ground(tmp_path, crs, pixel, corner):
    """A block of 4 x 3 pixels and its hole of one, in an equal-area projection around it (Lambert).

    Of feet the map's own area is right to a part in 10000: (10 x 1200 / 3937)^2 m2 a pixel.
    """
    place = Affine(pixel, 0, corner[0], 0, -pixel, corner[1])
    scene = make_scene(tmp_path / "s.tif", 3, 4, crs=crs, transform=place)
    labels = np.zeros((3, 4), "u1")
    labels[1, 1] = 255
    write_polygons(tmp_path / "a.parquet", [(0, labels)], scene, CLASSES, 255)
    write_polygons(tmp_path / "a.geojson", [(0, labels)], scene, CLASSES, 255)
    shape = shapely.segmentize(box(0, 0, 4, 3) - box(1, 1, 2, 2), 0.01)
    middle = reproject(crs, "EPSG:4326", *([value] for value in place @ (2, 1.5)))
    near = f"+proj=laea +lon_0={middle[0][0]} +lat_0={middle[1][0]} +datum=WGS84"
    flat = shapely.transform(
        shape, lambda p: np.transpose(reproject(crs, near, *(place @ tuple(p.T))))
    )
    (found,) = pq.read_table(tmp_path / "a.parquet")["area_m2"].to_pylist()
    assert found == pytest.approx(flat.area, rel=1e-4)
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert feature["properties"]["area_m2"] == found
    if crs == "EPSG:2263":
        assert found == pytest.approx(11 * (10 * 1200 / 3937) ** 2, rel=1e-3)


def test_ground_control_points(tmp_path):
    """Points on the plane x = 10 + column / 100, y = 50 - row / 100: so lie the corners.

    By the radii of the ellipsoid (Snyder 4-18, 4-20) a degree at 49.85 N is 111.227 km by 71.916
    km: 0.2 by 0.1 degrees are 159.98 km2.
    """
    points = [
        GroundControlPoint(row=r, col=c, x=10 + c / 100, y=50 - r / 100)
        for r in (0, 20, 40)
        for c in (0, 30, 60)
    ]
    scene = make_scene(tmp_path / "s.tif", 40, 60, crs="EPSG:4326", transform=None, gcps=points)
    labels = np.full((40, 60), 255, np.uint8)
    labels[10:20, 30:50] = 1
    write_polygons(tmp_path / "a.geojson", [(0, labels)], scene, CLASSES, 255)
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    area = feature["properties"].pop("area_m2")
    assert area == pytest.approx(159.98e6, rel=1e-4)
    assert feature["properties"] == {"class": "forest", "class_index": 1}
    bounds = shapely.geometry.shape(feature["geometry"]).bounds
    np.testing.assert_allclose(bounds, (10.3, 49.8, 10.5, 49.9), atol=1e-6)


@pytest.mark.parametrize("name", ["a.geojson", "a.parquet"])
def test_edges_follow_what_control_points_bend(tmp_path, name):
    """y = 50 - row / 100 + (column / 60)^2 / 10: the upper edge is a parabola, off its chord by
    0.1 / 4 degrees, 2.5 pixels, in the middle.
    """
    points = [
        GroundControlPoint(row=r, col=c, x=10 + c / 100, y=50 - r / 100 + (c / 60) ** 2 / 10)
        for r in (0, 20, 40)
        for c in (0, 30, 60)
    ]
    scene = make_scene(tmp_path / "s.tif", 40, 60, crs="EPSG:4326", transform=None, gcps=points)
    path = tmp_path / name
    write_polygons(path, [(0, np.zeros((40, 60), "u1"))], scene, CLASSES, 255)
    if name == "a.parquet":
        (whole,) = shapely.from_wkb(pq.read_table(path)["geometry"].to_pylist())
    else:
        (feature,) = json.loads(path.read_text())["features"]
        whole = shapely.geometry.shape(feature["geometry"])
    columns = np.linspace(0, 60, 121)
    edge = shapely.points(10 + columns / 100, 50 + (columns / 60) ** 2 / 10)
    assert shapely.distance(whole.exterior, edge).max() < 0.01 / 16
    assert len(whole.exterior.coords) < 60


def test_long_edges_follow_the_scene(tmp_path):
    """A strip of 100 km in UTM at 54 N, whose edges bend by 5 pixels in longitude and latitude.

    What lies between vertices, back in UTM, is within a tenth of a pixel of the strip; a small area
    has its corners alone.
    """
    place = Affine(50, 0, 300_000, 0, -50, 6_000_000)
    scene = make_scene(tmp_path / "s.tif", 20, 2000, transform=place)
    labels = np.zeros((20, 2000), "u1")
    labels[5:9, 40:50] = 1
    write_polygons(tmp_path / "a.geojson", [(0, labels)], scene, CLASSES, 255)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    shapes = {f["properties"]["class"]: shapely.geometry.shape(f["geometry"]) for f in features}
    fine = shapely.segmentize(shapes["water"].exterior, 1e-4)
    back = shapely.transform(fine, lambda p: np.transpose(reproject("EPSG:4326", scene.crs, *p.T)))
    strip = box(300_000, 6_000_000 - 1000, 400_000, 6_000_000).exterior
    assert shapely.hausdorff_distance(back, strip) < 5 + 5  # vertices of `fine` are up to 10 m off
    assert shapely.distance(shapely.points(back.coords), strip).max() < 5
    assert 9 < len(shapes["water"].exterior.coords) < 80
    assert len(shapes["forest"].exterior.coords) == 5


POLAR = np.zeros((20, 20), "u1")
POLAR[3:17, 4:15] = 1  # a ring around the pole, in it another and an area that holds it
POLAR[6:13, 7:13] = 2
POLAR[8:12, 8:11] = 255
POLAR[9:11, 9:11] = 3
BESIDE = np.where(np.arange(20)[None] < 10, 0, 1).repeat(20, 0).astype("u1")  # an edge through it
WIDE = np.zeros((18, 36), "u1")
WIDE[4:10, 3:30] = 1


@pytest.mark.parametrize(
    ("crs", "place", "labels"),
    [
        ("EPSG:4326", Affine(10, 0, -180, 0, -10, 90), WIDE),
        ("EPSG:4326", Affine(10, 0, 0, 0, -10, 90), WIDE),
        ("EPSG:3857", Affine(1113194.9, 0, -20037508.3, 0, -1113194.9, 10018754.1), WIDE),
        ("EPSG:3413", Affine(1e5, 0, -1.02e6, 0, -1e5, 0.97e6), POLAR),
        ("EPSG:3031", Affine(1e5, 0, -1.02e6, 0, -1e5, 0.97e6), POLAR),
        ("EPSG:3413", Affine(1e3, 0, -1e4, 0, -1e3, 1e4), BESIDE),
        ("EPSG:3031", Affine(7e2, 7e2, -1.43e4, 7e2, -7e2, 3e2), BESIDE),
    ],
)
def test_wide_areas_and_areas_around_a_pole(tmp_path, crs, place, labels):
    """Points all over the map lie in the areas of the class that they have there, and no other.

    Those within a tenth of a pixel of a border, or outside of the map, are left out.
    """
    height, width = labels.shape
    scene = make_scene(tmp_path / "s.tif", height, width, crs=crs, transform=place)
    write_polygons(tmp_path / "a.geojson", [(0, labels)], scene, CLASSES, 255)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    pixels = np.random.default_rng(0).uniform((0, 0), (width, height), (4000, 2))
    near = [np.floor(pixels + shift).astype(int) for shift in 0.1 * np.array([[-1, -1], [1, 1]])]
    clear = ((near[0] >= 0) & (near[1] < (width, height))).all(axis=1)
    clear[clear] = (
        labels[near[0][clear].T[1], near[0][clear].T[0]]
        == (labels[near[1][clear].T[1], near[1][clear].T[0]])
    )
    pixels, near = pixels[clear], near[0][clear]
    longitude, latitude = reproject(crs, "EPSG:4326", *(place @ tuple(pixels.T)))
    longitude = (np.array(longitude) + 180) % 360 - 180
    inside = np.full(len(pixels), 255)
    for feature in features:
        shape = shapely.geometry.shape(feature["geometry"])
        west, south, east, north = shape.bounds
        assert shape.is_valid and west >= -180 and east <= 180 and south >= -90 and north <= 90
        found = shapely.contains_xy(shape, longitude, latitude)
        assert (inside[found] == 255).all()
        inside[found] = feature["properties"]["class_index"]
    assert len(pixels) > 2000
    np.testing.assert_array_equal(inside, labels[near.T[1], near.T[0]])


@pytest.mark.parametrize("crs", ["EPSG:4326", "+proj=eqc +lon_0=177 +R=6378137"])
def test_the_antimeridian_cuts(tmp_path, crs):
    """A pixel of one degree around 180 E becomes two parts of half a degree each.

    Plate carree: a degree is 6378137 pi / 180 m; from 177 E, 180 E is three of these away.
    """
    degree, west = (1, 179.5) if crs == "EPSG:4326" else (6378137 * np.pi / 180, 2.5)
    place = Affine(degree, 0, west * degree, 0, -degree, degree)
    scene = make_scene(tmp_path / "s.tif", 2, 2, crs=crs, transform=place)
    path, labels = tmp_path / "a.geojson", np.array([[0, 255], [255, 255]], "u1")
    write_polygons(path, [(0, labels)], scene, CLASSES, 255)
    (feature,) = json.loads(path.read_text())["features"]
    parts = shapely.geometry.shape(feature["geometry"])
    assert parts.is_valid and all(part.exterior.is_ccw for part in parts.geoms)
    bounds = sorted(part.bounds for part in parts.geoms)
    np.testing.assert_allclose(bounds[0], (-180, 0, -179.5, 1), atol=1e-6)
    np.testing.assert_allclose(bounds[1], (179.5, 0, 180, 1), atol=1e-6)


def test_polygons_of_a_map(tmp_path, scene):
    """Written beside the map, they cover its pixels."""
    result = predict_scene(
        one_pixel,
        scene,
        tmp_path / "m.tif",
        kind="classes",
        classes=CLASSES,
        tile_size=32,
        polygons=tmp_path / "areas.parquet",
    )
    table = pq.read_table(result.polygons).to_pydict()
    labels = read(result.path)[0]
    assert len(table["class"]) == result.polygon_count
    for index in range(4):
        areas = [
            a for a, i in zip(table["area_m2"], table["class_index"], strict=True) if i == index
        ]
        assert sum(areas) == pytest.approx(GROUND * (labels == index).sum(), rel=1e-6)
    where = Point(PLACE @ (30.5, 40.5))
    (at,) = (i for i, g in enumerate(shapely.from_wkb(table["geometry"])) if g.contains(where))
    assert table["class_index"][at] == labels[40, 30]


def test_an_error_leaves_the_old_file(tmp_path, scene):
    path = tmp_path / "areas.geojson"
    path.write_text("old")

    def broken():
        yield 0, labelled(scene)[:20]
        raise GeoreferenceError("stop")

    with pytest.raises(GeoreferenceError, match="stop"):
        write_polygons(path, broken(), scene, CLASSES, 255)
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["areas.geojson", "scene.tif"]
