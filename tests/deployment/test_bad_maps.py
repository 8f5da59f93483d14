"""What cannot be mapped is said in one line, and nothing is left behind."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import rasterio
from tests.deployment.samples import (
    CLASS_MAP,
    TILES,
    first_band,
    make_scene,
    one_pixel,
)

from ringmoe.deployment import predict_scene
from ringmoe.errors import (
    ConfigError,
    GeoreferenceError,
    SceneReadError,
    ShapeError,
    ValueRangeError,
    WriteError,
)
from ringmoe.scenes import open_scene

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


class TestBadInput:
    """One line each; nothing is left beside the scene."""

    @pytest.fixture
    def scene(self, tmp_path):
        return make_scene(tmp_path / "scene.tif", 60, 70)

    def test_a_scene_in_other_units(self, tmp_path, scene):
        """Digital numbers up to 3000 declared as reflectance."""
        wrong = replace(scene, calibration=scene.sensor.encoding("reflectance"))
        with pytest.raises(ValueRangeError, match=r"scene\.tif: rows 0 to 31: channel B02 has"):
            predict_scene(one_pixel, wrong, tmp_path / "m.tif", **CLASS_MAP, **TILES)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.tif"]

    def test_a_truncated_scene(self, tmp_path):
        scene = make_scene(tmp_path / "scene.tif", 600, 600)
        whole = scene.path.read_bytes()
        scene.path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(SceneReadError, match="truncated"):
            predict_scene(one_pixel, scene, tmp_path / "m.tif", **CLASS_MAP, **TILES)

    def test_a_model_of_other_classes(self, tmp_path, scene):
        with pytest.raises(
            ShapeError, match=r"gives \(6, 4, 32, 32\) .* expected \(6, 2, 32, 32\)"
        ):
            predict_scene(
                one_pixel, scene, tmp_path / "m.tif", kind="classes", classes="ab", **TILES
            )

    def test_a_model_that_gives_nan(self, tmp_path, scene):
        with pytest.raises(ValueRangeError, match="rows 0 to 23: the model gives NaN"):
            predict_scene(
                lambda o: first_band(o) * float("nan"),
                scene,
                tmp_path / "m.tif",
                kind="values",
                **TILES,
            )
        assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.tif"]

    def test_an_error_of_the_model_comes_out_as_it_is(self, tmp_path, scene):
        def broken(observations):
            raise RuntimeError("out of memory")

        with pytest.raises(RuntimeError, match="out of memory"):
            predict_scene(broken, scene, tmp_path / "m.tif", kind="values", **TILES)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"overlap": 17}, "half a tile"),
            ({"batch_size": 0}, "batch_size"),
            ({"nodata": 3}, "nodata=3 must be"),
            ({"nodata": 254.5}, "nodata=254.5 must be"),
            ({"colours": [(0, 0, 0)]}, "4 classes but 1 colours"),
            ({"classes": ()}, "name the classes"),
            ({"kind": "values"}, "none of one of values"),
            ({"kind": "heights"}, "classes or values"),
            ({"polygons": "areas.shp"}, r"areas\.shp: polygons are written as"),
            ({"probabilities": True, "probability_type": "int8"}, "uint8 or float32"),
        ],
    )
    def test_options_that_cannot_be(self, tmp_path, scene, options, message):
        with pytest.raises(ConfigError, match=message):
            predict_scene(one_pixel, scene, tmp_path / "m.tif", **{**CLASS_MAP, **TILES, **options})

    @pytest.mark.parametrize("name", ["map.png", "scene.tif"])
    def test_names_that_cannot_be(self, tmp_path, scene, name):
        with pytest.raises(ConfigError, match=name):
            predict_scene(one_pixel, scene, tmp_path / name, **CLASS_MAP, **TILES)

    def test_nothing_is_written_over_what_is_read(self, tmp_path):
        """Probabilities where the scene lies, and a map where a part of a mosaic does."""
        scene = make_scene(tmp_path / "m-probabilities.tif", 40, 50)
        before = scene.path.read_bytes()
        options = {**CLASS_MAP, **TILES, "probabilities": True}
        with pytest.raises(ConfigError, match=r"m-probabilities\.tif: is a file of the scene"):
            predict_scene(one_pixel, scene, tmp_path / "m.tif", **options)
        names = ["B02", "B03", "B04"]
        bands = [tmp_path / f"{name}.tif" for name in names]
        with rasterio.open(scene.path) as whole:
            for i, path in enumerate(bands, 1):
                with rasterio.open(path, "w", **whole.profile | {"count": 1}) as one:
                    one.write(whole.read(i), 1)
        parts = open_scene(bands, "sentinel2-l2a", bands=names)
        with pytest.raises(ConfigError, match=r"B03\.tif: is a file of the scene"):
            predict_scene(one_pixel, parts, tmp_path / "B03.tif", **CLASS_MAP, **TILES)
        assert scene.path.read_bytes() == before
        assert sorted(p.stem for p in tmp_path.iterdir()) == [*names, "m-probabilities"]

    def test_polygons_of_a_scene_without_a_place(self, tmp_path):
        scene = make_scene(tmp_path / "scene.tif", 40, 50, crs=None, transform=None)
        with pytest.raises(GeoreferenceError, match="no coordinate reference system"):
            predict_scene(
                one_pixel,
                scene,
                tmp_path / "m.tif",
                **CLASS_MAP,
                **TILES,
                polygons=tmp_path / "a.geojson",
            )

    def test_polygons_of_a_local_grid(self, tmp_path):
        """In degrees they would need a place that nobody knows; in the grid's own metres not."""
        crs = 'LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
        scene = make_scene(tmp_path / "scene.tif", 40, 50, crs=crs)
        options = {**CLASS_MAP, **TILES}
        for name in ("a.geojson", "a.json"):
            with pytest.raises(GeoreferenceError, match=r"nobody knows where.*write a \.parquet"):
                predict_scene(
                    one_pixel, scene, tmp_path / "m.tif", **options, polygons=tmp_path / name
                )
        assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]
        table = tmp_path / "a.parquet"
        predict_scene(one_pixel, scene, tmp_path / "m.tif", **options, polygons=table)
        assert set(pq.read_table(table)["area_m2"].to_pylist()) == {None}

    def test_a_folder_that_cannot_be_written(self, tmp_path, scene):
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(WriteError, match="cannot write"):
            predict_scene(one_pixel, scene, tmp_path / "file" / "m.tif", **CLASS_MAP, **TILES)
