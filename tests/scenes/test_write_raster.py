"""A written raster holds what was given, whole or not at all."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from ringmoe.errors import DtypeError, GeoreferenceError, ShapeError
from ringmoe.scenes import open_scene, write_raster

RNG = np.random.default_rng(0)
PLACE = {"crs": CRS.from_epsg(32633), "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}


def array(dtype):
    """Two bands of 600 x 700: more than one tile, so that a COG has overviews; cheap to deflate."""
    values = np.tile(RNG.normal(size=(2, 2, 20, 20)) * 50, (1, 1, 30, 35))
    values = values[0] + 1j * values[1]
    return (values if np.dtype(dtype).kind == "c" else np.abs(values.real)).astype(dtype)


@pytest.mark.parametrize("cog", [True, False])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", "complex64"]
)
def test_pixels_and_place_come_back(tmp_path, dtype, cog):
    values = array(dtype)
    write_raster(tmp_path / "a.tif", values, cog=cog, **PLACE)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.dtypes == (dtype, dtype)
        assert (dataset.crs, dataset.transform) == (PLACE["crs"], PLACE["transform"])
        assert dataset.block_shapes == [(512, 512)] * 2
        layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
        assert (layout, dataset.overviews(1)) == (("COG", [2]) if cog else (None, []))
    assert os.listdir(tmp_path) == ["a.tif"]


def test_a_scene_comes_back_as_it_was(tmp_path):
    """Names, mask and place survive: complex data written, opened, read."""
    values = array("complex64")
    values[:, 3, 4] = 0
    write_raster(tmp_path / "a.tif", values, nodata=0, channel_names=["VV", "HH"], **PLACE)
    raster = open_scene(tmp_path / "a.tif", "airsar").read()
    assert [c.name for c in raster.channels] == ["VV", "HH"]
    np.testing.assert_array_equal(raster.values, values)
    assert np.argwhere(~raster.valid).tolist() == [[3, 4]]
    assert (raster.crs, raster.transform) == (PLACE["crs"], PLACE["transform"])


@pytest.mark.parametrize("cog", [True, False])
def test_ground_control_points_are_kept(tmp_path, cog):
    points = [GroundControlPoint(r, c, 10 + c, 50 - r) for r in (0, 60) for c in (0, 80)]
    write_raster(tmp_path / "a.tif", array("uint8"), gcps=points, crs="EPSG:4326", cog=cog)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        found, crs = dataset.gcps
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]
    assert crs == CRS.from_epsg(4326)


def test_class_map_with_colours_names_and_tags(tmp_path):
    """Overviews of a class map hold classes only: an average of 0 and 4 would be 2."""
    classes = np.kron(RNG.choice([0, 4], size=(200, 200)), np.ones((3, 3))).astype(np.uint8)
    write_raster(
        tmp_path / "a.tif",
        classes,
        nodata=255,
        colormap={0: (0, 0, 255), 4: (255, 0, 0)},
        channel_names=["land cover"],
        tags={"model": "nano", "classes": 2},
        **PLACE,
    )
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.colormap(1)[0] == (0, 0, 255, 255)
        assert dataset.colormap(1)[4] == (255, 0, 0, 255)
        assert (dataset.nodata, dataset.descriptions) == (255, ("land cover",))
        assert {k: dataset.tags()[k] for k in ("model", "classes")} == {
            "model": "nano",
            "classes": "2",
        }
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as overview:
        assert set(np.unique(overview.read())) == {0, 4}


def test_overviews_of_an_image_leave_out_what_has_no_data(tmp_path):
    values = np.full((2, 600, 600), 10, np.float32)
    values[:, ::2] = np.nan
    write_raster(tmp_path / "a.tif", values, nodata=np.nan)
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as overview:
        np.testing.assert_array_equal(overview.read(), 10)


def test_bool_becomes_uint8(tmp_path):
    write_raster(tmp_path / "a.tif", np.eye(5, dtype=bool))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), np.eye(5, dtype=np.uint8))


def test_what_described_the_old_file_goes_with_it(tmp_path):
    """An old overview beside a new file would be shown as the new file."""
    for name in ("a.tif.ovr", "a.tif.aux.xml", "a.tif.msk"):
        (tmp_path / name).touch()
    write_raster(tmp_path / "a.tif", array("uint8"))
    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (np.zeros(5), {}, ShapeError, r"expected values \(C, H, W\) or \(H, W\), got \(5,\)"),
        (np.zeros((0, 5, 5)), {}, ShapeError, "expected values"),
        (np.zeros((2, 5, 5)), {"channel_names": ["a"]}, ShapeError, "2 channels but 1 names"),
        (np.zeros((5, 5), "datetime64[D]"), {}, DtypeError, r"holds no datetime64\[D\]"),
        (np.zeros((5, 5), "U3"), {}, DtypeError, "holds no <U3"),
        (np.zeros((5, 5), np.uint8), {"nodata": -1}, DtypeError, "cannot hold nodata=-1"),
        (np.zeros((5, 5), np.float32), {"colormap": {0: (1, 2, 3)}}, DtypeError, "colour map"),
        (np.zeros((5, 5)), {"crs": "EPSG:nowhere"}, GeoreferenceError, "is no coordinate"),
    ],
)
def test_what_no_geotiff_holds_is_refused(tmp_path, values, options, error, message):
    write_raster(tmp_path / "a.tif", np.ones((4, 4), np.uint8))
    before = (tmp_path / "a.tif").read_bytes()
    with pytest.raises(error, match=rf"a\.tif: .*{message}"):
        write_raster(tmp_path / "a.tif", values, **options)
    assert (tmp_path / "a.tif").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.tif"]


_WRITE = textwrap.dedent("""
    import resource, sys
    import numpy as np
    from ringmoe.errors import WriteError
    from ringmoe.scenes import write_raster
    if sys.argv[2] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    write_raster(sys.argv[1], np.ones((4, 4), np.uint8))
    noise = np.random.default_rng(0).integers(0, 255, (3, 512, 512), dtype=np.uint8)
    try:
        write_raster(sys.argv[1], noise)
    except WriteError as error:
        print(error)
    import os, rasterio
    print(sorted(os.listdir(os.path.dirname(sys.argv[1]))), rasterio.open(sys.argv[1]).shape)
""")


def test_write_that_is_cut_short_leaves_the_old_file(tmp_path):
    """A limit on the file's size stands for a full disk; nothing is left but the old file."""
    path = tmp_path / "out" / "a.tif"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WRITE, path, "limit"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"cannot write {path}" in done.stdout
    assert "['a.tif'] (4, 4)" in done.stdout


def test_full_disk_leaves_the_old_file(tmp_path):
    """The same on a file system of 128 kB that is really full, where one may be mounted."""
    path = tmp_path / "a.tif"
    mount = f'mount -t tmpfs -o size=128k none {tmp_path} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here (unshare is not allowed)")
    done = subprocess.run(
        [*command, sys.executable, "-W", "ignore", "-c", _WRITE, path, "disk"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"cannot write {path}: the disk is full" in done.stdout
    assert "['a.tif'] (4, 4)" in done.stdout
