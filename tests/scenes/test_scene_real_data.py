"""Real products, against rasterio and NumPy read directly."""

import json

import numpy as np
import pytest
import rasterio

from ringmoe.scenes import Window, open_scene, write_raster
from ringmoe.sensors import check_values


def planes(folder, kind):
    """The matrices of a PolSARpro folder, `(N, N, H, W)`, by NumPy alone."""
    lines = (folder / "config.txt").read_text().split()
    shape = int(lines[lines.index("Nrow") + 1]), int(lines[lines.index("Ncol") + 1])

    def plane(name):
        return np.fromfile(folder / f"{name}.bin", "<f4").reshape(shape).astype(float)

    order = int(kind[1])
    matrices = np.zeros((order, order, *shape), complex)
    for i in range(order):
        matrices[i, i] = plane(f"{kind[0]}{i + 1}{i + 1}")
        for j in range(i + 1, order):
            element = f"{kind[0]}{i + 1}{j + 1}"
            matrices[i, j] = plane(f"{element}_real") + 1j * plane(f"{element}_imag")
            matrices[j, i] = matrices[i, j].conj()
    return matrices


def test_sentinel2_bands_by_name(real_data):
    path = real_data / "sen1floods11/S2/Spain_7370579_S2Hand.tif"
    scene = open_scene(path, "sentinel2-l1c", channels=["B8A", "B04"])
    raster = scene.read(Window(100, 200, 50, 60))
    with rasterio.open(path) as dataset:
        window = rasterio.windows.Window(200, 100, 60, 50)
        digital = dataset.read([9, 4], window=window)
        expected = dataset.window_transform(window), dataset.crs
    np.testing.assert_allclose(raster.values, digital / 10_000, rtol=1e-6)
    assert (raster.transform, raster.crs) == expected
    assert raster.valid.all()
    check_values(raster.values, raster.channels, raster.valid, str(path))


def test_sentinel1_decibels(real_data):
    path = real_data / "sen1floods11/S1/Spain_7370579_S1Hand.tif"
    raster = open_scene(path, "sentinel1-grd", encoding="decibel").read()
    with rasterio.open(path) as dataset:
        np.testing.assert_allclose(raster.values, 10 ** (dataset.read() / 20), rtol=1e-5)
    assert [c.name for c in raster.channels] == ["VV", "VH"]
    check_values(raster.values, raster.channels, raster.valid, str(path))


def test_optical_and_sar_lie_on_each_other(real_data):
    optical = open_scene(real_data / "sen1floods11/S2/Spain_7370579_S2Hand.tif", "sentinel2-l1c")
    radar = open_scene(real_data / "sen1floods11/S1/Spain_7370579_S1Hand.tif", "sentinel1-grd")
    assert optical.crs == radar.crs
    assert optical.transform.almost_equals(radar.transform, precision=1e-9)


@pytest.mark.parametrize("date", range(5))
def test_one_date_of_a_numpy_stack(real_data, date):
    path = real_data / "sentinel2_patch/REFERENCE_SCENES.npy"
    scene = open_scene(f"{path}#{date}", "sentinel2-l1c", encoding="reflectance")
    expected = np.load(path)[date].transpose(2, 0, 1)
    np.testing.assert_array_equal(scene.read().values, expected)
    assert len(json.loads((path.parent / "timestamps.json").read_text())) >= 5
    assert (scene.height, scene.width) == (101, 100)


def test_nodata_collar_of_a_landsat_scene(real_data):
    path = real_data / "landsat7/rasterio_RGB.byte_landsat7_300m.tif"
    raster = open_scene(path, "rgb-dn8").read()
    with rasterio.open(path) as dataset:
        digital = dataset.read()
    np.testing.assert_array_equal(raster.valid, (digital != 0).all(0))
    assert 0.6 < raster.valid.mean() < 0.7
    np.testing.assert_array_equal(raster.values[:, raster.valid], digital[:, raster.valid])


def test_landsat_six_bands_named_by_hand(real_data):
    path = real_data / "landsat7/stars_L7_ETMs_6band.tif"
    bands = ["B02", "B03", "B04", "B08", "B11", "B12"]
    scene = open_scene(path, "multispectral-dn8", bands=bands, channels=["B08", "B04"])
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(scene.read().values, dataset.read([4, 3]))
    assert scene.crs.to_epsg() == 31985


def test_single_look_complex_chips(real_data):
    folder = next((real_data / "opensarship").glob("*SLC*1SDV*"))
    for path in sorted((folder / "Patch").glob("*.tif")):
        scene = open_scene(path, "sentinel1-slc", bands=["VH_I", "VH_Q", "VV_I", "VV_Q"])
        with rasterio.open(path) as dataset:
            i_q = dataset.read()
        digital, valid = scene.read_digital()
        np.testing.assert_array_equal(digital, i_q[[0, 2]] + 1j * i_q[[1, 3]])
        assert valid.all()


@pytest.mark.parametrize(
    ("pattern", "sensor", "bands"),
    [
        ("mstar/train/3/30169.jpeg", "sar-amplitude-dn8", ["unknown"]),
        ("hrsid/P0123_4800_5600_4800_5600.png", "sar-amplitude-dn8", ["unknown", "-", "-"]),
        ("loveda/img_dir/0.png", "rgb-dn8", None),
        ("optical/rasterio_cogeo_1024_rgb.tif", "rgb-dn8", None),
        ("neon_height/2019_BART_5_320000_4881000_image_crop.tif", "rgb-dn8", None),
    ],
)
def test_pictures(real_data, pattern, sensor, bands):
    scene = open_scene(real_data / pattern, sensor, bands=bands)
    with rasterio.open(real_data / pattern) as dataset:
        expected = dataset.read(range(1, len(scene.channels) + 1))
    np.testing.assert_array_equal(scene.read_digital()[0], expected)


def test_total_power_of_airsar(real_data):
    folder = real_data / "airsar_sf/T3"
    trace = np.trace(planes(folder, "T3")).real
    scene = open_scene(folder, "airsar", derive="total-power")
    np.testing.assert_allclose(scene.read_digital()[0][0], trace, rtol=1e-6)
    raster = scene.read()
    np.testing.assert_allclose(raster.values[0], np.sqrt(trace), rtol=1e-6)
    check_values(raster.values, raster.channels, raster.valid)


def test_total_power_is_the_same_in_both_bases(real_data):
    both = [
        open_scene(real_data / "quadpol_cband/full_pol" / kind, "airsar", derive="total-power")
        for kind in ("T3", "C3")
    ]
    coherency, covariance = (scene.read_digital()[0] for scene in both)
    np.testing.assert_allclose(coherency, covariance, rtol=1e-4)
    assert both[0].transform == both[1].transform
    assert both[0].transform.c == pytest.approx(-98.1456)


@pytest.mark.parametrize(
    ("folder", "kind"), [("airsar_sf/T3", "T3"), ("quadpol_cband/full_pol/C3", "C3")]
)
def test_single_looks_of_real_matrices(real_data, folder, kind):
    """Sums over a window agree with the matrices within 4 standard errors.

    The span has mean tr C and variance tr(C C) in each pixel; HH VV* has mean <HH VV*> and
    variance <|HH|^2> <|VV|^2>. From the Pauli basis: HH = (k1 + k2) / sqrt(2), HV = k3 / sqrt(2),
    VV = (k1 - k2) / sqrt(2).
    """
    matrices = planes(real_data / folder, kind)
    if kind == "T3":
        turn = np.array([[1, 1, 0], [0, 0, np.sqrt(2)], [1, -1, 0]]) / np.sqrt(2)
        matrices = np.einsum("ij,jkhw,lk->ilhw", turn, matrices, turn)
    window = Window(0, 0, 201, 101) if kind == "C3" else Window(200, 300, 400, 500)
    matrices = matrices[..., window.rows, window.columns]
    raster = open_scene(real_data / folder, "airsar", derive="single-look").read(window)
    assert raster.valid.all()
    looks = raster.values.astype(complex)
    trace = np.trace(matrices).real
    variance = (np.abs(matrices) ** 2).sum()
    assert abs(raster.total_power().sum(dtype=float) - trace.sum()) < 4 * np.sqrt(variance)
    cross = (looks[0] * looks[3].conj()).sum() - matrices[0, 2].sum()
    assert abs(cross) < 4 * np.sqrt((matrices[0, 0] * matrices[2, 2]).real.sum())
    cross_polar = (np.abs(looks[1]) ** 2).sum() - matrices[1, 1].real.sum() / 2
    assert abs(cross_polar) < 4 * np.sqrt((matrices[1, 1].real ** 2).sum()) / 2


def test_dual_pol_single_looks(real_data):
    folder = real_data / "quadpol_cband/dual_pol/C2_VVVH"
    matrices = planes(folder, "C2")
    raster = open_scene(
        folder, "sentinel1-slc", derive="single-look", bands=["VV", "VH"], encoding="sigma-nought"
    ).read()
    power = (np.abs(raster.values.astype(complex)) ** 2).sum((1, 2))
    for found, expected in zip(power, (matrices[0, 0].real, matrices[1, 1].real), strict=True):
        assert abs(found - expected.sum()) < 4 * np.sqrt((expected**2).sum())


def test_a_real_scene_survives_writing(real_data, tmp_path):
    path = real_data / "sen1floods11/S2/Spain_7370579_S2Hand.tif"
    scene = open_scene(path, "sentinel2-l1c")
    digital, _ = scene.read_digital()
    write_raster(
        tmp_path / "copy.tif",
        digital,
        crs=scene.crs,
        transform=scene.transform,
        nodata=0,
        channel_names=[c.name for c in scene.channels],
    )
    copy = open_scene(tmp_path / "copy.tif", "sentinel2-l1c")
    np.testing.assert_array_equal(copy.read().values, scene.read().values)
    assert (copy.crs, copy.transform, copy.channels) == (
        scene.crs, scene.transform, scene.channels
    )  # fmt: skip
