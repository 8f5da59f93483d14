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

    10 m pixels: 100 m2 each. Positions against rasterio's reprojection of each area's points.
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
    assert list(areas.values()) == [100 * (labels == i).sum() for i in range(4)]


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
    np.testing.assert_allclose(table["area_m2"].to_numpy(), shapely.area(geometries))
    painted = rasterize(
        zip(geometries, table["class_index"].to_pylist(), strict=True),
        labels.shape,
        fill=255,
        transform=PLACE,
        dtype="uint8",
    )
    assert (painted == labels).all()
    assert [CLASSES[i] for i in table["class_index"].to_pylist()] == table["class"].to_pylist()


def test_degrees_and_feet(tmp_path):
    """No area in degrees; in US survey feet (EPSG:2263) a pixel of 10 ft has (3.048006)^2 m2."""
    for crs, area in (("EPSG:4326", None), ("EPSG:2263", (1200 / 3937 * 10) ** 2)):
        place = Affine(1e-4, 0, 10, 0, -1e-4, 50) if area is None else PLACE
        scene = make_scene(tmp_path / "s.tif", 4, 4, crs=crs, transform=place)
        path = tmp_path / "a.parquet"
        write_polygons(
            path, [(0, np.pad(np.zeros((1, 1), "u1"), 1, constant_values=255))], scene, CLASSES, 255
        )
        assert pq.read_table(path)["area_m2"].to_pylist() == [area and pytest.approx(area)]


def test_ground_control_points(tmp_path):
    """Points on the plane x = 10 + column / 100, y = 50 - row / 100: so lie the corners."""
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
    assert feature["properties"] == {"class": "forest", "class_index": 1, "area_m2": None}
    bounds = shapely.geometry.shape(feature["geometry"]).bounds
    np.testing.assert_allclose(bounds, (10.3, 49.8, 10.5, 49.9), atol=1e-6)


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
    """Written beside the map, they cover its pixels: 100 m2 each."""
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
        assert sum(areas) == 100 * (labels == index).sum()
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
