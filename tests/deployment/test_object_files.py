"""Objects on disk: read back by the standards' rules, and measured on the ground."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.warp import transform as reproject
from tests.deployment.oracle import Oracle, apart, blank, polygons

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.deployment import journal, object_journal, predict_objects
from ringmoe.deployment.object_writing import measured, write_objects
from ringmoe.errors import (
    ConfigError,
    GeoreferenceError,
    ShapeError,
    ValueRangeError,
    WriteError,
)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

CLASSES = ("ship", "vehicle")
UTM = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
TILES = {"classes": CLASSES, "tile_size": 32, "overlap": 16, "batch_size": 3}


def ships(rotated=True):
    """Six that meet no other, and fit into an overlap of 16 pixels."""
    turned = [
        [12, 20, 9, 3, 0.3],
        [40, 22, 8, 4, -1.2],
        [60, 60, 10, 2, 1.5],
        [20, 70, 6, 5, 0.0],
        [75, 40, 9, 3, -0.8],
        [48, 85, 7, 3, 0.9],
    ]
    array = boxes.canonical(turned)
    if not rotated:
        array = boxes.cxcywhr_to_xyxy(array)
    return Objects(array, np.array([0, 1, 0, 0, 1, 0]), np.linspace(0.95, 0.55, 6))


@pytest.fixture
def scene(tmp_path):
    return blank(tmp_path / "scene.tif", 96, 90, **UTM)


def features(path):
    return json.loads(path.read_text())["features"]


@pytest.mark.parametrize("rotated", [True, False])
def test_geojson(tmp_path, scene, rotated):
    """Corners of the truth through the scene's transform, then rasterio's degrees.

    On the central meridian of UTM a metre of the map is 1 / 0.9996 m: 10 m pixels are 10.004 m.
    """
    truth = ships(rotated)
    out = tmp_path / "ships.geojson"
    result = predict_objects(Oracle(scene, truth), scene, out, **TILES)
    collection = json.loads(out.read_text())
    assert set(collection) == {"type", "features"} and len(collection["features"]) == 6
    assert result.counts == {"ship": 4, "vehicle": 2} and len(result.objects) == 6
    for i, feature in enumerate(collection["features"]):  # both by falling score
        about, shape = feature["properties"], shapely.geometry.shape(feature["geometry"])
        assert shape.exterior.is_ccw and len(shape.exterior.coords) == 5
        x, y = UTM["transform"] @ shapely.get_coordinates(polygons(truth)[i]).T
        expected = shapely.Polygon(np.transpose(reproject(UTM["crs"], "EPSG:4326", x, y)))
        assert shape.symmetric_difference(expected).area < 1e-5 * expected.area
        box = truth.boxes[i] if rotated else boxes.xyxy_to_cxcywhr(truth.boxes[i])
        assert about["class"] == CLASSES[truth.classes[i]]
        assert about["class_index"] == truth.classes[i]
        assert about["score"] == pytest.approx(truth.scores[i])
        np.testing.assert_allclose([about["column"], about["row"]], box[:2], atol=1e-4)
        assert about["angle"] == pytest.approx(box[4], abs=1e-6)
        lengths = about["length_m"], about["width_m"]
        np.testing.assert_allclose(lengths, box[2:4] * 10 / 0.9996, rtol=1e-5)
        # North is up in the middle of the zone: the angle from east, counter-clockwise, is 90
        # degrees less the azimuth.
        difference = (np.degrees(box[4]) + about["azimuth_deg"] - 90) % 180
        assert min(difference, 180 - difference) < 0.05


def test_geoparquet(tmp_path, scene):
    """Version 1.1, with the CRS as PROJJSON, in the scene's own coordinates."""
    truth, out = ships(), tmp_path / "ships.parquet"
    predict_objects(Oracle(scene, truth), scene, out, **TILES)
    table = pq.read_table(out)
    about = json.loads(table.schema.metadata[b"geo"])
    assert about["version"] == "1.1.0"
    crs = about["columns"]["geometry"]["crs"]
    assert CRS.from_user_input(json.dumps(crs)).to_epsg() == 32633
    shapes = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    for shape, pixel in zip(shapes, polygons(truth), strict=True):
        x, y = UTM["transform"] @ shapely.get_coordinates(pixel).T
        assert shape.symmetric_difference(shapely.Polygon(np.stack([x, y], axis=1))).area < 1e-3
    assert table["class"].to_pylist() == [CLASSES[i] for i in truth.classes]
    np.testing.assert_allclose(table["score"].to_numpy(), truth.scores)
    np.testing.assert_allclose(table["angle"].to_numpy(), truth.boxes[:, 4], atol=1e-6)
    for column, edges in zip(("length_m", "width_m"), truth.boxes[:, 2:4].T, strict=True):
        np.testing.assert_allclose(table[column].to_numpy(), edges * 10 / 0.9996, rtol=1e-5)


def test_no_object(tmp_path, scene):
    """Files without a feature, which readers open."""
    none = Objects.none(True, scored=True)
    for name in ("a.geojson", "a.parquet"):
        result = predict_objects(Oracle(scene, none), scene, tmp_path / name, **TILES)
        assert result.counts == {"ship": 0, "vehicle": 0}
    assert features(tmp_path / "a.geojson") == []
    assert len(pq.read_table(tmp_path / "a.parquet")) == 0


def test_a_scene_without_a_place(tmp_path):
    """Pixels, and `"crs": null` to say so; nothing is known in metres."""
    scene, truth = blank(tmp_path / "scene.tif", 96, 90), ships()
    predict_objects(Oracle(scene, truth), scene, tmp_path / "a.geojson", **TILES)
    predict_objects(Oracle(scene, truth), scene, tmp_path / "a.parquet", **TILES)
    found = json.loads((tmp_path / "a.geojson").read_text())
    assert found["crs"] is None
    for feature, pixel in zip(found["features"], polygons(truth), strict=True):
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.symmetric_difference(pixel).area < 1e-3
        about = feature["properties"]
        assert about["length_m"] is about["width_m"] is about["azimuth_deg"] is None
    table = pq.read_table(tmp_path / "a.parquet")
    about = json.loads(table.schema.metadata[b"geo"])
    assert about["columns"]["geometry"]["crs"] is None
    assert table["length_m"].to_pylist() == [None] * 6


def test_ground_control_points(tmp_path):
    """Points on the plane x = 10 + column / 1000, y = 50 - row / 1000, in degrees.

    At 50 degrees of latitude, by the radii of the ellipsoid of WGS 84, a thousandth of a degree of
    longitude is 71.6958 m and one of latitude 111.229 m (Wikipedia, Latitude: 71.696 and 111.229
    km for a degree). A box 9 x 3 pixels along x is 645 m x 334 m, its middle at 49.9985 degrees.
    """
    points = [
        GroundControlPoint(row=r, col=c, x=10 + c / 1000, y=50 - r / 1000)
        for r in (0, 48, 96)
        for c in (0, 45, 90)
    ]
    scene = blank(tmp_path / "scene.tif", 96, 90, crs="EPSG:4326", transform=None, gcps=points)
    truth = Objects(np.array([[40.0, 1.5, 9, 3, 0]]), np.zeros(1, int), np.ones(1))
    predict_objects(Oracle(scene, truth), scene, tmp_path / "a.geojson", **TILES)
    (feature,) = features(tmp_path / "a.geojson")
    about = feature["properties"]
    assert about["length_m"] == pytest.approx(9 * 71.696, rel=1e-4)
    assert about["width_m"] == pytest.approx(3 * 111.229, rel=1e-4)
    assert about["azimuth_deg"] == pytest.approx(90, abs=1e-3)
    shape = shapely.geometry.shape(feature["geometry"])
    np.testing.assert_allclose(shape.centroid.coords[0], (10.04, 49.9985), atol=1e-6)


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", "EPSG:32633", "EPSG:3413"])
@pytest.mark.parametrize("latitude", [61.0, 75.0])
def test_lengths_are_those_on_the_ground(crs, latitude):
    """Boxes of 400 m x 60 m laid out around a point in an azimuthal equidistant projection.

    There, distances and directions from the centre are the geodesic ones. In Web Mercator at 75
    degrees the same box is 3.9 times as long on the map. Azimuths from -85 to 80 degrees.
    """
    lon = 14.5
    here = f"+proj=aeqd +lat_0={latitude} +lon_0={lon} +datum=WGS84 +units=m"
    azimuths = np.arange(-85.0, 90, 15)
    flat = np.column_stack([np.zeros((len(azimuths), 2)), np.full(len(azimuths), 400.0)])
    flat = np.column_stack([flat, np.full(len(azimuths), 60.0), np.radians(90 - azimuths)])
    corners = boxes.cxcywhr_to_corners(flat).reshape(-1, 4, 2) * (1, -1)  # y up
    x, y = reproject(here, crs, *corners.reshape(-1, 2).T)
    length, width, azimuth = measured(np.stack([x, y], 1).reshape(-1, 4, 2), CRS.from_string(crs))
    np.testing.assert_allclose(length, 400, rtol=1e-5)
    np.testing.assert_allclose(width, 60, rtol=1e-5)
    np.testing.assert_allclose((azimuth - azimuths + 90) % 180, 90, atol=0.01)


@pytest.mark.parametrize("distance", [0.0, 1000.0, 50_000.0])
def test_lengths_are_those_on_the_ground_at_a_pole(distance):
    """A box of 600 m x 120 m so far from it, laid out in the polar plane, which is true there."""
    flat = np.array([[0.0, distance, 600, 120, 0.7]])
    corners = boxes.cxcywhr_to_corners(flat).reshape(-1, 4, 2) * (1, -1)
    here = CRS.from_string("+proj=stere +lat_0=90 +lat_ts=90 +lon_0=0 +datum=WGS84")
    length, width, azimuth = measured(corners, here)
    assert [length[0], width[0]] == pytest.approx([600, 120], rel=1e-4)
    if distance:  # on the meridian of 0, at y = -distance, north is up
        assert azimuth[0] == pytest.approx(90 - np.degrees(0.7), abs=0.01)


@pytest.mark.parametrize("ending", ["geojson", "parquet"])
def test_what_reaches_past_the_edge_of_the_earth(tmp_path, ending, caplog):
    """A geostationary satellite's full disk: no longitude there, but coordinates in its system."""
    geos = "+proj=geos +h=35786023 +lon_0=0 +sweep=y"
    place = {"crs": geos, "transform": Affine(87e3, 0, -64 * 87e3, 0, -87e3, 64 * 87e3)}
    scene = blank(tmp_path / "scene.tif", 128, 128, **place)
    found = Objects(np.array([[60, 60, 66, 64], [60, 0, 66, 4.0]]), np.zeros(2, int), np.ones(2))
    write_objects(tmp_path / f"a.{ending}", found, scene, CLASSES)
    if ending == "parquet":
        table = pq.read_table(tmp_path / "a.parquet").to_pylist()
        assert [row["length_m"] is None for row in table] == [False, True]
        return
    (feature,) = features(tmp_path / "a.geojson")
    assert feature["properties"]["row"] == 62 and "1 features reach past the edge" in caplog.text


@pytest.mark.parametrize("west", [-180.01, -540.01, 179.99])
def test_longitudes_past_the_antimeridian_on_either_side(tmp_path, west):
    place = {"crs": "EPSG:4326", "transform": Affine(1e-4, 0, west, 0, -1e-4, -17)}
    scene = blank(tmp_path / "scene.tif", 128, 200, **place)
    found = Objects(np.array([[90, 90, 110, 110.0]]), np.zeros(1, int), np.ones(1))
    write_objects(tmp_path / "a.geojson", found, scene, CLASSES)
    (feature,) = features(tmp_path / "a.geojson")
    parts = shapely.geometry.shape(feature["geometry"])
    sides = sorted(part.bounds[::2] for part in parts.geoms)
    np.testing.assert_allclose(sides, [[-180, -179.999], [179.999, 180]], atol=1e-8)


def test_length_across_the_antimeridian():
    """From 179.9 E to 179.9 W on the equator, 0.2 degrees: 22263.9 m = 6378137 m x 0.2 pi / 180."""
    corners = np.array([[[-179.9, 0.01], [-179.9, -0.01], [179.9, -0.01], [179.9, 0.01]]])
    length, width, azimuth = measured(corners, CRS.from_epsg(4326))
    assert length[0] == pytest.approx(6378137 * np.radians(0.2), rel=1e-6)
    assert width[0] == pytest.approx(0.02 * 110574.3, rel=1e-5)  # a degree of latitude there
    assert azimuth[0] == pytest.approx(90)


class Interrupted(Oracle):
    """Stops as by Ctrl-C after so many calls."""

    left = 10**9

    def __call__(self, observations):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().__call__(observations)


class TestResume:
    """Five rows of five tiles in batches of three: two batches a row."""

    OPTIONS = TILES | {"fingerprint": "model 1"}

    @pytest.fixture
    def stopped(self, tmp_path, scene, monkeypatch):
        """A run that stopped in its third row."""
        monkeypatch.setattr(journal, "COMMIT_SECONDS", 0)
        predictor = Interrupted(scene, ships())
        predictor.left = 5
        with pytest.raises(KeyboardInterrupt):
            predict_objects(predictor, scene, tmp_path / "a.geojson", **self.OPTIONS)
        return tmp_path / "a.geojson"

    def whole(self, scene, path, **changes):
        return predict_objects(Oracle(scene, ships()), scene, path, **self.OPTIONS | changes)

    def test_it_goes_on_to_the_same_file(self, tmp_path, scene, stopped):
        result = self.whole(scene, stopped)
        whole = self.whole(scene, tmp_path / "b.geojson")
        assert (result.resumed_rows, result.tiles, whole.tiles) == (32, 15, 25)
        assert stopped.read_bytes() == (tmp_path / "b.geojson").read_bytes()
        assert not list(tmp_path.glob(".*"))

    @pytest.mark.parametrize(
        "change",
        [
            {"fingerprint": "model 2"},
            {"overlap": 12},
            {"tile_size": 64},
            {"score_threshold": 0.4},
            {"resume": False},
        ],
    )
    def test_another_run_is_not_used(self, scene, stopped, change):
        assert self.whole(scene, stopped, **change).resumed_rows == 0

    def test_what_only_merges_may_change(self, scene, stopped):
        assert self.whole(scene, stopped, nms_threshold=0.3, batch_size=7).resumed_rows == 32

    def test_batches_are_those_of_a_whole_run(self, tmp_path, scene, monkeypatch):
        """Two rows of five tiles a batch, stopped after the third: the second batch comes again."""
        monkeypatch.setattr(journal, "COMMIT_SECONDS", 0)
        add, seen = object_journal.RowFile.add, []

        def stopping(file, row):
            if row.row == 3:
                raise KeyboardInterrupt
            add(file, row)

        def counted(observations):
            seen.append(len(observations["image"].images))
            return Oracle(scene, ships())(observations)

        options = self.OPTIONS | {"batch_size": 11}
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(object_journal.RowFile, "add", stopping)
            predict_objects(counted, scene, tmp_path / "a.geojson", **options)
        seen.clear()
        result = predict_objects(counted, scene, tmp_path / "a.geojson", **options)
        assert (seen, result.resumed_rows) == ([10, 5], 32)

    def test_a_torn_line_is_found_again(self, scene, stopped):
        """A journal that speaks of rows that are not there gives those that are."""
        (rows,) = stopped.parent.glob(".*/rows.jsonl")
        rows.write_bytes(rows.read_bytes()[:-5])
        result = self.whole(scene, stopped)
        assert result.resumed_rows == 16 and len(result.objects) == 6

    def test_a_full_disk(self, tmp_path, scene, monkeypatch):
        """One line that names the file; the old one stands."""
        (tmp_path / "a.geojson").write_text("old")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(object_journal.TileRow, "line", full)
        with pytest.raises(WriteError, match=r"a\.geojson.*free some space") as error:
            self.whole(scene, tmp_path / "a.geojson")
        assert "\n" not in str(error.value)
        assert (tmp_path / "a.geojson").read_text() == "old"


class TestBadInput:
    """One line each; nothing is left beside the scene."""

    @pytest.fixture(autouse=True)
    def nothing_left(self, tmp_path):
        yield
        assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"out": "a.tif"}, r"a\.tif: objects are written as \.geojson"),
            ({"batch_size": 0}, "batch_size must be 1 or more"),
            ({"score_threshold": 2}, "score_threshold must be from 0 to 1, got 2"),
            ({"nms_threshold": -1}, "nms_threshold must be from 0 to 1"),
            ({"overlap": 20}, "overlap must be from 0 to half a tile"),
        ],
    )
    def test_options(self, tmp_path, scene, change, message):
        options = TILES | change
        out = tmp_path / options.pop("out", "a.geojson")
        with pytest.raises(ConfigError, match=message):
            predict_objects(Oracle(scene, ships()), scene, out, **options)

    @pytest.mark.parametrize(
        ("detector", "error", "message"),
        [
            (lambda o: [], ShapeError, "gives 0 lists of objects for 3 tiles"),
            (lambda o: o["image"].images, ShapeError, "gives Tensor of objects for 3 tiles"),
            (lambda o: [Objects.none(True)] * 3, ShapeError, "without scores"),
            (lambda o: [one(cls=2)] * 3, ShapeError, "gives class 2, expected 0 to 1"),
            (lambda o: [one(x=np.nan)] * 3, ValueRangeError, "NaN"),
        ],
    )
    def test_detectors(self, tmp_path, scene, detector, error, message):
        with pytest.raises(error, match=message):
            predict_objects(detector, scene, tmp_path / "a.geojson", **TILES)

    def test_a_scene_without_data(self, tmp_path):
        scene = blank(tmp_path / "scene.tif", 40, 40)
        empty = replace(scene, nodata=1)  # the third band holds nothing else
        with pytest.raises(ValueRangeError, match=r"scene\.tif: no pixel holds data"):
            predict_objects(Oracle(empty, ships()), empty, tmp_path / "a.geojson", **TILES)

    def test_a_system_of_no_place(self, tmp_path):
        """A local grid: where on Earth it lies is not said."""
        crs = 'ENGCRS["site",EDATUM["gate"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
        crs += 'LENGTHUNIT["metre",1]]'
        scene = blank(tmp_path / "scene.tif", 40, 40, crs=crs, transform=UTM["transform"])
        with pytest.raises(GeoreferenceError, match="nobody knows where on Earth"):
            predict_objects(Oracle(scene, ships()), scene, tmp_path / "a.geojson", **TILES)


def one(x=5.0, cls=0):
    return Objects(np.array([[x, 5, 4, 2, 0]]), np.array([cls]), np.ones(1))


def test_an_error_leaves_the_old_file(tmp_path, scene):
    """A class without a name, found while writing."""
    (tmp_path / "a.geojson").write_text("old")
    with pytest.raises(IndexError):
        write_objects(tmp_path / "a.geojson", one(cls=5), scene, CLASSES)
    assert (tmp_path / "a.geojson").read_text() == "old"


def test_objects_in_the_padding_are_not_of_the_scene(tmp_path):
    """A tile of 64 pixels over a scene of 20 x 30: beyond it nothing is, and boxes end there."""
    scene = blank(tmp_path / "scene.tif", 20, 30)

    def detector(observations):
        array = np.array([[25, 5, 35, 12], [2, 3, 8, 9], [40, 40, 50, 50.0]])
        return [Objects(array, np.zeros(3, int), np.array([0.9, 0.8, 0.7]))]

    result = predict_objects(
        detector, scene, tmp_path / "a.geojson", classes=["ship"], tile_size=64
    )
    assert result.objects.boxes.tolist() == [[25, 5, 30, 12], [2, 3, 8, 9]]


def test_a_rotated_object_counts_by_how_much_of_it_the_scene_shows(tmp_path):
    """As it does when learned: 0.45 of one and 0.2 of the other lie in the scene."""
    scene = blank(tmp_path / "scene.tif", 64, 64)
    ships = np.array([[-2, 20, 40, 8, 0], [-12, 50, 40, 8, 0.0]])

    def detector(observations):
        return [Objects(ships, np.zeros(2, int), np.ones(2))]

    result = predict_objects(
        detector, scene, tmp_path / "a.geojson", classes=["ship"], tile_size=64
    )
    assert result.objects.boxes.tolist() == [ships[0].tolist()]


def test_apart_is_apart():
    """The sample above keeps its six."""
    assert len(apart(ships())) == 6
