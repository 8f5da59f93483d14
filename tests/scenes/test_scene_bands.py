"""Bands are found by name, and what is not clear is refused with what to write."""

import numpy as np
import pytest
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin

from ringmoe.errors import (
    DtypeError,
    GeoreferenceError,
    SceneReadError,
    ShapeError,
    UnknownChannelError,
)
from ringmoe.scenes import open_scene

S2 = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"]


def planes(count, dtype="uint16"):
    """Band i holds the number i, so that a swap shows."""
    return np.broadcast_to(np.arange(count)[:, None, None], (count, 3, 4)).astype(dtype)


def content(scene):
    """{channel name: the number of its band}."""
    digital, _ = scene.read_digital()
    return {c.name: int(p[0, 0].real) for c, p in zip(scene.channels, digital, strict=True)}


def test_descriptions_name_the_bands_whatever_their_order(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", planes(13), names=S2[::-1])
    assert content(open_scene(path, "sentinel2-l1c", channels=["B04", "B8A", "B01"])) == {
        "B04": 9,
        "B8A": 4,
        "B01": 12,
    }


def test_common_names_name_the_bands(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", planes(3), names=["nir", "red", "swir16"])
    assert content(open_scene(path, "landsat7")) == {"B4": 0, "B3": 1, "B5": 2}


def test_swapped_bands_given_by_name(tmp_path, make_file):
    path = make_file(tmp_path / "bgr.tif", planes(3))
    scene = open_scene(path, "rgb-dn16", bands=["blue", "green", "red"])
    assert content(scene) == {"blue": 0, "green": 1, "red": 2}
    scene = open_scene(
        path, "rgb-dn16", bands=["blue", "green", "red"], channels=["red", "green", "blue"]
    )
    assert list(content(scene).items()) == [("red", 2), ("green", 1), ("blue", 0)]


def test_names_given_go_before_descriptions(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", planes(3), names=["red", "green", "blue"])
    scene = open_scene(path, "rgb-dn16", bands=["blue", "green", "red"])
    assert content(scene) == {"blue": 0, "green": 1, "red": 2}


def test_colours_name_the_bands_of_a_picture(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", planes(3, "uint8"), colours=["blue", "green", "red"])
    assert content(open_scene(path, "rgb-dn8")) == {"blue": 0, "green": 1, "red": 2}


def test_colours_say_nothing_of_a_multispectral_band(tmp_path, make_file):
    """A false-colour composite shows near infrared as red."""
    path = make_file(tmp_path / "a.tif", planes(3, "uint8"), colours=["red", "green", "blue"])
    with pytest.raises(ShapeError, match="say what each band is, such as bands"):
        open_scene(path, "multispectral-dn8")


def test_order_of_the_sensor_if_the_counts_agree(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", planes(6))
    assert content(open_scene(path, "landsat7")) == dict(
        zip(["B1", "B2", "B3", "B4", "B5", "B7"], range(6), strict=True)
    )


def test_i_and_q_in_the_order_of_the_sensor(tmp_path, make_file):
    values = planes(8, "float32")
    digital, _ = open_scene(make_file(tmp_path / "a.tif", values), "airsar").read_digital()
    np.testing.assert_array_equal(digital, values[0::2] + 1j * values[1::2])


def test_bands_that_are_no_channels_are_left_out(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", planes(4), names=["SCL", "B04", "B03", "QA60"])
    assert content(open_scene(path, "sentinel2-l2a")) == {"B04": 1, "B03": 2}
    path = make_file(tmp_path / "b.tif", planes(3))
    assert content(open_scene(path, "sar-amplitude-dn16", bands=["-", "VV", "-"])) == {"VV": 1}


@pytest.mark.parametrize("bands", [["red", "green"], ["red", "green", "blue", "-"], "red"])
def test_a_name_for_every_band(tmp_path, make_file, bands):
    path = make_file(tmp_path / "a.tif", planes(3))
    with pytest.raises(ShapeError, match="bands="):
        open_scene(path, "rgb-dn16", bands=bands)


def test_count_mismatch_says_which_names_to_give(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", planes(4))
    with pytest.raises(ShapeError, match=r"a\.tif: has 4 bands .* bands B01 B02 B03 B04"):
        open_scene(path, "sentinel2-l2a")


def test_one_of_three_equal_bands_of_amplitudes_is_offered(tmp_path, make_file):
    """SAR that was made into a colour picture, as many published chips are."""
    path = make_file(tmp_path / "a.tif", planes(3, "uint8"))
    with pytest.raises(ShapeError, match=r"another sensor, .* such as bands unknown - -"):
        open_scene(path, "sar-amplitude-dn8")


def test_missing_band_says_what_the_file_has(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", planes(3), names=["B02", "B03", "B04"])
    with pytest.raises(UnknownChannelError, match=r"a\.tif: has no channel B11: it has B02, B03"):
        open_scene(path, "sentinel2-l2a", channels=["B02", "B11"])
    with pytest.raises(UnknownChannelError, match="sentinel2-l2a has no channel 'B99'"):
        open_scene(path, "sentinel2-l2a", channels=["B99"])


@pytest.mark.parametrize("names", [{"bands": ["-", "-", "-"]}, {"channels": []}])
def test_at_least_one_channel(tmp_path, make_file, names):
    with pytest.raises(ShapeError, match="no channel is left"):
        open_scene(make_file(tmp_path / "a.tif", planes(3)), "rgb-dn16", **names)


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (["red", "red", "blue"], "two bands are named red"),
        (["red", "purple", "blue"], "no channel 'purple'"),
    ],
)
def test_wrong_names_are_refused(tmp_path, make_file, bands, message):
    with pytest.raises(UnknownChannelError, match=message):
        open_scene(make_file(tmp_path / "a.tif", planes(3)), "rgb-dn16", bands=bands)


@pytest.mark.parametrize(
    ("dtype", "sensor", "bands", "error", "message"),
    [
        ("float32", "sentinel1-slc", ["VH", "VV"], DtypeError, "VH must be complex, found float32"),
        ("complex64", "sentinel1-grd", ["VH", "VV"], DtypeError, "must be real, found complex64"),
        ("complex64", "airsar", ["HH_I", "HH_Q"], DtypeError, "name the complex band HH"),
        ("float32", "airsar", ["HH_I", "HV_Q"], UnknownChannelError, "no band is named HH_Q"),
        ("float32", "airsar", ["HH_I", "HH_I"], UnknownChannelError, "two bands are named HH"),
        ("float32", "airsar", ["HH_I", "HH"], UnknownChannelError, "two bands are named HH"),
    ],
)
def test_complex_and_real_are_not_mixed_up(
    tmp_path, make_file, dtype, sensor, bands, error, message
):
    with pytest.raises(error, match=message):
        open_scene(make_file(tmp_path / "a.tif", planes(2, dtype)), sensor, bands=bands)


def test_real_raster_of_four_bands_is_no_quad_pol(tmp_path, make_file):
    with pytest.raises(DtypeError, match="use a SAR amplitude sensor"):
        open_scene(make_file(tmp_path / "a.tif", planes(4, "float32")), "airsar")


def test_indices_of_a_colour_table_are_no_values(tmp_path, make_file):
    from ringmoe.scenes import write_raster

    write_raster(tmp_path / "a.tif", planes(1, "uint8"), colormap={0: (9, 9, 9), 1: (0, 200, 0)})
    with pytest.raises(SceneReadError, match="colour table"):
        open_scene(tmp_path / "a.tif", "sar-amplitude-dn8", bands=["unknown"])


# --- one file a band -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sensor", "pattern", "expected"),
    [
        ("sentinel2-l2a", "T33UXP_20200101T100031_{}_10m.tif", ["B02", "B03", "B04"]),
        ("landsat8", "LC08_L2SP_190024_20200101_02_T1_SR_{}.TIF", ["B2", "B3", "B4"]),
        ("sentinel1-grd", "s1a-iw-grd-{}-20200101t050000-001.tiff", ["VV", "VH"]),
    ],
)
def test_files_with_one_band_each_are_stacked(tmp_path, make_file, sensor, pattern, expected):
    files = [
        make_file(tmp_path / pattern.format(name), planes(3)[i : i + 1])
        for i, name in enumerate(expected)
    ]
    scene = open_scene(files[::-1], sensor, channels=expected)
    assert content(scene) == {name: i for i, name in enumerate(expected)}


def test_stacked_files_must_lie_on_one_grid(tmp_path, make_file):
    fine = make_file(tmp_path / "x_B02.tif", np.zeros((1, 6, 6), np.uint16))
    coarse = make_file(tmp_path / "x_B11.tif", np.zeros((1, 3, 3), np.uint16))
    with pytest.raises(GeoreferenceError, match=r"x_B11\.tif: its grid \(3 x 3 pixels,"):
        open_scene([fine, coarse], "sentinel2-l2a")
    with pytest.raises(SceneReadError, match="empty list"):
        open_scene([], "sentinel2-l2a")


def test_stacked_files_must_lie_at_one_place(tmp_path, make_file):
    """Half a pixel of 30 m is none; 3 km are told by the corners, and other points are others."""
    crs, plane = CRS.from_epsg(32633), np.zeros((1, 6, 6), np.uint16)

    def file(name, east):
        return make_file(tmp_path / name, plane, crs=crs, transform=from_origin(east, 5e6, 30, 30))

    red = file("x_B4.tif", 5e5)
    assert len(open_scene([red, file("x_B5.tif", 5e5 + 1e-6)], "landsat8").channels) == 2
    with pytest.raises(GeoreferenceError, match=r"corner 503000, 5000000\) .*\(6 x .* 500000, 5"):
        open_scene([red, file("x_B6.tif", 5.03e5)], "landsat8")

    def pointed(name, east):
        points = [GroundControlPoint(r, c, east + c, 50 - r) for r in (0, 6) for c in (0, 6)]
        return make_file(tmp_path / name, plane, gcps=points, crs=CRS.from_epsg(4326))

    vv = pointed("s1-vv.tif", 10)
    assert len(open_scene([vv, pointed("s1-vh.tif", 10)], "sentinel1-grd").channels) == 2
    with pytest.raises(GeoreferenceError, match=r"4 .* points, the first at 40, 50\).* at 10, 50"):
        open_scene([vv, pointed("s1-vh.tif", 40)], "sentinel1-grd")
    with pytest.raises(GeoreferenceError, match="4 ground control points"):
        open_scene([make_file(tmp_path / "bare-vv.tif", plane), vv], "sentinel1-grd")
