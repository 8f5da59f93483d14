"""What a scene gives is what rasterio reads: pixels, mask and place, window by window."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from ringmoe.errors import DtypeError, RingmoeWarning, SceneReadError
from ringmoe.scenes import Window, open_scene
from ringmoe.sensors import calibrate, get_sensor

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (3, 70, 90), dtype=np.uint8)
PLACE = {"crs": CRS.from_epsg(32633), "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}


def windows(height, width):
    """Any window inside a scene of that size."""
    return st.tuples(
        st.integers(0, height - 1), st.integers(0, height - 1),
        st.integers(0, width - 1), st.integers(0, width - 1),
    ).map(
        lambda t: Window(
            min(t[:2]), min(t[2:]), abs(t[0] - t[1]) + 1, abs(t[2] - t[3]) + 1
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.tif", {}),
        ("tiled.tif", {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}),
        ("cog.tif", {"driver": "COG", "compress": "lzw"}),
        ("plane.bin", {"driver": "ENVI"}),
        ("picture.png", {"driver": "PNG"}),
    ],
)
def test_every_format_gives_the_pixels_written(tmp_path, make_file, name, options):
    scene = open_scene(make_file(tmp_path / name, RGB, **options), "rgb-dn8")
    raster = scene.read()
    assert (scene.height, scene.width, scene.dtype, scene.name) == (70, 90, np.uint8, name[:-4])
    assert [c.name for c in raster.channels] == ["red", "green", "blue"]
    assert raster.values.dtype == np.float32
    np.testing.assert_array_equal(raster.values, RGB)
    assert raster.valid.all()


def test_jpeg_gives_what_rasterio_decodes(tmp_path, make_file):
    path = make_file(tmp_path / "picture.jpg", RGB, driver="JPEG")
    with rasterio.open(path) as dataset:
        expected = dataset.read()
    np.testing.assert_array_equal(open_scene(path, "rgb-dn8").read_digital()[0], expected)


@pytest.mark.parametrize(
    ("dtype", "sensor"),
    [("uint16", "rgb-dn16"), ("int16", "rgb-dn16"), ("float32", "rgb-dn16"),
     ("float64", "rgb-dn16"), ("uint32", "rgb-dn16")],
)  # fmt: skip
def test_digital_values_keep_the_type_of_the_file(tmp_path, make_file, dtype, sensor):
    values = (RGB.astype(np.float64) * 100).astype(dtype)
    digital, _ = open_scene(make_file(tmp_path / "a.tif", values), sensor).read_digital()
    assert digital.dtype == dtype
    np.testing.assert_array_equal(digital, values)


def test_bands_of_several_types_are_read_in_a_type_that_holds_both(tmp_path, make_file):
    """As `gdalbuildvrt -separate` puts them together; a single band keeps its own type."""
    counts = RNG.integers(0, 60_000, (1, 70, 90), dtype=np.uint16)
    shares = RNG.random((1, 70, 90), dtype=np.float32)
    vrt = '<VRTDataset rasterXSize="90" rasterYSize="70">'
    for i, (kind, plane) in enumerate([("UInt16", counts), ("Float32", shares)], 1):
        make_file(tmp_path / f"{kind}.tif", plane)
        vrt += (
            f'<VRTRasterBand dataType="{kind}" band="{i}"><SimpleSource><SourceFilename '
            f'relativeToVRT="1">{kind}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        )
    (tmp_path / "both.vrt").write_text(vrt + "</VRTDataset>")
    names = ["red", "green"]
    digital, _ = open_scene(tmp_path / "both.vrt", "rgb-dn16", bands=names).read_digital()
    assert digital.dtype == np.float32
    np.testing.assert_array_equal(digital, np.concatenate([counts, shares]))
    scene = open_scene(tmp_path / "both.vrt", "rgb-dn16", bands=names, channels=["red"])
    assert scene.read_digital()[0].dtype == np.uint16


def test_values_are_in_the_unit_of_the_encoding(tmp_path, make_file):
    """Sentinel-2, baseline 04.00: (DN - 1000) / 10000, so 3500 is reflectance 0.25."""
    path = make_file(tmp_path / "a.tif", np.full((12, 4, 4), 3500, np.uint16))
    new = open_scene(path, "sentinel2-l2a", encoding="baseline-04.00", channels=["B02"])
    old = open_scene(path, "sentinel2-l2a", channels=["B02"])
    np.testing.assert_allclose(new.read().values, 0.25, rtol=1e-6)
    np.testing.assert_allclose(old.read().values, 0.35, rtol=1e-6)


def test_the_file_is_told_from_the_sensor_when_it_declares_another_scale(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", np.full((12, 4, 4), 3500, np.uint16))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4,) * 12, (-0.1,) * 12
    with pytest.warns(RingmoeWarning, match=r"encoding='baseline-04\.00'"):
        open_scene(path, "sentinel2-l2a")
    open_scene(path, "sentinel2-l2a", encoding="baseline-04.00")  # chosen: no warning


@given(windows(70, 90))
@settings(max_examples=40, deadline=None)
def test_a_window_is_that_part_of_the_whole(tmp_path_factory, make_file, window):
    """Pixels, mask and place of read(window) are those of read() cut to it, for I/Q pairs too."""
    path = tmp_path_factory.getbasetemp() / "windows.tif"
    if not path.exists():
        values = RNG.normal(size=(4, 70, 90)).astype(np.float32)
        values[:, RNG.random((70, 90)) < 0.2] = 0
        make_file(path, values, tiled=True, blockxsize=32, blockysize=16, nodata=0, **PLACE)
    scene = open_scene(path, "sentinel1-slc", bands=["VH_I", "VH_Q", "VV_I", "VV_Q"])
    whole, part = scene.read(), scene.read(window)
    assert 0 < whole.valid.mean() < 1
    np.testing.assert_array_equal(part.values, whole.values[:, window.rows, window.columns])
    np.testing.assert_array_equal(part.valid, whole.valid[window.rows, window.columns])
    assert tuple(part.transform)[:6] == (
        *(10, 0, 500_000 + 10 * window.column),
        *(0, -10, 5_000_000 - 10 * window.row),
    )
    assert part.crs == whole.crs == PLACE["crs"]


def test_i_and_q_bands_become_complex(tmp_path, make_file):
    parts = RNG.normal(size=(4, 8, 9)).astype(np.float32)
    path = make_file(tmp_path / "iq.tif", parts)
    scene = open_scene(
        path, "sentinel1-slc", bands=["VH_Q", "i_VV", "VH_I", "Q-VV"], encoding="sigma-nought"
    )
    raster = scene.read()
    assert [c.name for c in raster.channels] == ["VH", "VV"]
    assert raster.values.dtype == scene.dtype == np.complex64
    np.testing.assert_array_equal(
        raster.values, [parts[2] + 1j * parts[0], parts[1] + 1j * parts[3]]
    )


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_files_stay_complex(tmp_path, make_file, dtype):
    """Sentinel-1 SLC are complex 16-bit integers; their digital values come as complex64."""
    values = np.round(RNG.normal(size=(1, 8, 9)) * 99 + 1j * RNG.normal(size=(1, 8, 9)) * 99)
    path = make_file(tmp_path / "slc.tif", values.astype(np.complex64), dtype=dtype)
    scene = open_scene(path, "sentinel1-slc", bands=["VV"])
    digital, _ = scene.read_digital()
    assert digital.dtype == scene.dtype == np.complex64
    np.testing.assert_array_equal(digital, values)
    scale = get_sensor("sentinel1-slc").encoding().scale
    np.testing.assert_allclose(scene.read().values, values * scale, rtol=1e-6)


def test_total_power_is_the_sum_of_squared_magnitudes(tmp_path, make_file):
    values = (RNG.normal(size=(4, 8, 9)) + 1j * RNG.normal(size=(4, 8, 9))).astype(np.complex64)
    path = make_file(tmp_path / "quad.tif", values)
    power = open_scene(path, "airsar").read().total_power()
    np.testing.assert_allclose(power, (np.abs(values) ** 2).sum(0), rtol=1e-5)
    assert power.dtype == np.float32


# --- what is no data -----------------------------------------------------------------------------


def test_declared_nodata_in_any_channel_masks_the_pixel(tmp_path, make_file):
    """At a swath's edge Sentinel-2 lacks some bands only: such a pixel is not whole."""
    values = np.full((3, 4, 5), 7, np.int16)
    values[0, 0, 0] = values[2, 3, 4] = -9999
    path = make_file(tmp_path / "a.tif", values, nodata=-9999)
    expected = np.ones((4, 5), bool)
    expected[0, 0] = expected[3, 4] = False
    raster = open_scene(path, "rgb-dn16").read()
    np.testing.assert_array_equal(raster.valid, expected)
    np.testing.assert_array_equal(raster.values[:, ~expected], 0)
    green = open_scene(path, "rgb-dn16", channels=["green"]).read()
    assert green.valid.all()  # of the channels that are read


def test_nodata_given_replaces_the_declared_one(tmp_path, make_file):
    values = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    path = make_file(tmp_path / "a.tif", values, nodata=0)
    for nodata, expected in ((None, values[0] != 0), (5, values[0] != 5), (np.nan, True)):
        scene = open_scene(path, "sar-amplitude-dn8", bands=["unknown"], nodata=nodata)
        np.testing.assert_array_equal(scene.read().valid, np.broadcast_to(expected, (3, 4)))


def test_the_fill_value_of_a_product_is_no_data_in_all_channels_at_once(tmp_path, make_file):
    """Sentinel-2's 0, which few files declare; one dark channel is a measurement."""
    values = np.full((12, 1, 4), 2000, np.uint16)
    values[:, 0, 0], values[3, 0, 1] = 0, 0
    path = make_file(tmp_path / "a.tif", values)
    raster = open_scene(path, "sentinel2-l2a", encoding="baseline-04.00").read()
    assert raster.valid.tolist() == [[False, True, True, True]]
    assert open_scene(path, "sentinel2-l2a", nodata=np.nan).read().valid.all()
    assert open_scene(path, "sentinel2-l2a", encoding="reflectance").read().valid.all()


def test_bytes_are_no_reflectance_in_10000_steps(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", np.full((12, 2, 2), 90, np.uint8))
    with pytest.raises(DtypeError, match=r"a\.tif: holds 8-bit .* sensor multispectral-dn8"):
        open_scene(path, "sentinel2-l2a")
    assert open_scene(path, "sentinel2-l2a", encoding="reflectance").read().valid.all()


def test_nan_is_no_data_and_infinity_is_a_value(tmp_path, make_file):
    values = np.ones((3, 2, 2), np.float32)
    values[1, 0, 0], values[1, 1, 1] = np.nan, np.inf
    raster = open_scene(make_file(tmp_path / "a.tif", values), "rgb-dn16").read()
    assert raster.valid.tolist() == [[False, True], [True, True]]
    assert np.isinf(raster.values[1, 1, 1])
    assert raster.values[1, 0, 0] == 0


def test_nodata_of_a_float_file_matches_in_float_precision(tmp_path, make_file):
    values = np.array([[[np.finfo(np.float32).min, 0.1, 5]]], np.float32)
    path = make_file(tmp_path / "a.tif", values, nodata=float(np.finfo(np.float32).min))
    scene = open_scene(path, "sar-amplitude-dn16", bands=["unknown"])
    assert scene.read().valid.tolist() == [[False, True, True]]
    declared = open_scene(path, "sar-amplitude-dn16", bands=["unknown"], nodata=0.1)
    assert declared.read().valid.tolist() == [[True, False, True]]


def test_zero_i_with_some_q_is_data(tmp_path, make_file):
    """With nodata 0 only 0 + 0j is none: an integer I of 0 is common in real SLC data."""
    values = np.array([[[0, 0, 3]], [[0, 2, 0]]], np.int16)
    path = make_file(tmp_path / "a.tif", values, nodata=0)
    assert open_scene(path, "airsar", bands=["HH_I", "HH_Q"]).read().valid.tolist() == [
        [False, True, True]
    ]
    both = (values[:1] + 1j * values[1:]).astype(np.complex64)
    path = make_file(tmp_path / "b.tif", both, nodata=0)
    assert open_scene(path, "airsar", bands=["HH"]).read().valid.tolist() == [[False, True, True]]


def test_alpha_and_mask_bands_are_masks(tmp_path, make_file):
    alpha = np.where(RNG.random((70, 90)) < 0.5, 255, 0).astype(np.uint8)
    four = np.concatenate([RGB, alpha[None]])
    colours = ["red", "green", "blue", "alpha"]
    scene = open_scene(make_file(tmp_path / "a.tif", four, colours=colours), "rgb-dn8")
    np.testing.assert_array_equal(scene.read_digital()[0], RGB)
    np.testing.assert_array_equal(scene.read_digital()[1], alpha > 0)
    path = make_file(tmp_path / "b.tif", RGB)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(alpha)
    np.testing.assert_array_equal(open_scene(path, "rgb-dn8").read().valid, alpha > 0)


def test_a_band_that_is_taken_for_alpha_is_one_if_it_is_named(tmp_path, make_file):
    """GDAL tags the fourth of four bands as alpha; "-" leaves it the mask that it was."""
    near = np.where(RNG.random((70, 90)) < 0.5, 200, 0).astype(np.uint8)
    path = make_file(tmp_path / "a.tif", np.concatenate([RGB, near[None]]))
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == rasterio.enums.ColorInterp.alpha
    names = ["red", "green", "blue", "nir"]
    digital, valid = open_scene(path, "multispectral-dn8", bands=names).read_digital()
    np.testing.assert_array_equal(digital, [*RGB, near])
    assert valid.all()
    scene = open_scene(path, "rgb-dn8", bands=[*names[:3], "-"])
    np.testing.assert_array_equal(scene.read_digital()[1], near > 0)


def test_a_part_of_a_file_is_opened_by_the_name_that_gdal_gives_it(tmp_path, make_file):
    """A GeoTIFF of two images, as a netCDF of two variables."""
    path = make_file(tmp_path / "a.tif", RGB)
    make_file(path, RGB[:, ::-1], append_subdataset=True)
    for number, rows in ((1, 1), (2, -1)):
        scene = open_scene(f"GTIFF_DIR:{number}:{path}", "rgb-dn8")
        np.testing.assert_array_equal(scene.read_digital()[0], RGB[:, ::rows])
    with pytest.raises(SceneReadError, match=r"GTIFF_DIR:9:.*a\.tif: no reader"):
        open_scene(f"GTIFF_DIR:9:{path}", "rgb-dn8")


def test_an_image_without_data_is_all_masked(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", np.zeros((3, 4, 4), np.uint8), nodata=0)
    raster = open_scene(path, "rgb-dn8").read()
    assert not raster.valid.any()
    assert np.isfinite(raster.values).all()


# --- where it lies -------------------------------------------------------------------------------


def test_place_of_a_window_is_that_of_rasterio(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", RGB, **PLACE)
    raster = open_scene(path, "rgb-dn8").read(Window(11, 23, 5, 7))
    with rasterio.open(path) as dataset:
        expected = dataset.window_transform(rasterio.windows.Window(23, 11, 7, 5))
    assert raster.transform == expected
    assert raster.crs == PLACE["crs"]


def test_ground_control_points_move_with_the_window(tmp_path, make_file):
    points = [GroundControlPoint(r, c, 10 + c, 50 - r, 3) for r in (0, 60) for c in (0, 80)]
    path = make_file(tmp_path / "a.tif", RGB, gcps=points, crs=CRS.from_epsg(4326))
    scene = open_scene(path, "rgb-dn8")
    moved = scene.read(Window(20, 30, 5, 5)).gcps
    assert scene.transform is None
    assert scene.crs == CRS.from_epsg(4326)
    assert [(p.row, p.col, p.x, p.y, p.z) for p in moved] == [
        (p.row - 20, p.col - 30, p.x, p.y, p.z) for p in points
    ]


def test_a_file_without_place_says_so(tmp_path, make_file):
    scene = open_scene(make_file(tmp_path / "a.png", RGB, driver="PNG"), "rgb-dn8")
    assert (scene.crs, scene.transform, scene.gcps) == (None, None, ())
    assert scene.read(Window(1, 1, 2, 2)).transform is None


# --- use from programs ---------------------------------------------------------------------------


def test_threads_and_pickled_copies_read_the_same(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", RGB, tiled=True, blockxsize=16, blockysize=16)
    scene = pickle.loads(pickle.dumps(open_scene(path, "rgb-dn8")))
    parts = [Window(r, c, 10, 10) for r in range(0, 70, 10) for c in range(0, 90, 10)] * 5
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(scene.read, parts))
    for window, raster in zip(parts, read, strict=True):
        np.testing.assert_array_equal(raster.values, RGB[:, window.rows, window.columns])


def test_a_file_replaced_meanwhile_is_read_anew(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", RGB)
    scene = open_scene(path, "rgb-dn8")
    scene.read()
    make_file(tmp_path / "b.tif", 255 - RGB).replace(path)
    np.testing.assert_array_equal(scene.read().values, 255 - RGB)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_thousands_of_scenes_hold_no_files_open(tmp_path, make_file):
    paths = [make_file(tmp_path / f"{i}.tif", RGB[:, :4, :4]) for i in range(30)]
    before = len(os.listdir("/proc/self/fd"))
    scenes = [open_scene(path, "rgb-dn8") for path in paths]
    assert [scene.read().values.sum() for scene in scenes] == [RGB[:, :4, :4].sum()] * 30
    assert len(os.listdir("/proc/self/fd")) <= before + 8


def test_read_calibrates_what_read_digital_gives(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", RNG.normal(-15, 5, (2, 6, 6)).astype(np.float32))
    scene = open_scene(path, "sentinel1-grd", bands=["VV", "VH"], encoding="decibel")
    digital, valid = scene.read_digital()
    np.testing.assert_array_equal(scene.read().values, calibrate(digital, scene.calibration))
    np.testing.assert_allclose(scene.read().values, 10 ** (digital / 20), rtol=1e-5)
    assert valid.all()


def test_a_turned_transform_starts_at_the_corner_of_the_window(tmp_path, make_file):
    turned = Affine(8, 3, 500_000, 2, -9, 5_000_000)
    path = make_file(tmp_path / "a.tif", RGB, crs=PLACE["crs"], transform=turned)
    assert (
        open_scene(path, "rgb-dn8")
        .read(Window(7, 4, 2, 2))
        .transform.almost_equals(
            Affine(8, 3, 500_000 + 8 * 4 + 3 * 7, 2, -9, 5_000_000 + 2 * 4 - 9 * 7)
        )
    )
