"""PolSARpro folders: planes with and without headers, total power, and what is missing."""

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from ringmoe.errors import ConfigError, SceneReadError, ShapeError
from ringmoe.scenes import Window, open_scene

RNG = np.random.default_rng(0)


def wishart(height, width, order, looks=6):
    """Multi-look matrices: averages of `looks` outer products, so positive definite."""
    shape = (height, width, order, looks)
    k = RNG.normal(size=shape) + 1j * RNG.normal(size=shape)
    return k @ k.conj().swapaxes(-1, -2) / looks


T3 = wishart(20, 30, 3)


@pytest.mark.parametrize(("kind", "order"), [("T3", 3), ("C3", 3), ("C2", 2)])
def test_total_power_is_the_trace(tmp_path, make_folder, kind, order):
    """Digital values are the span itself; calibrated ones its square root, an amplitude."""
    matrices = wishart(20, 30, order)
    folder = make_folder(tmp_path / "city" / kind, kind, matrices)
    scene = open_scene(folder, "airsar", derive="total-power")
    trace = np.trace(matrices, axis1=2, axis2=3).real
    window = Window(2, 3, 9, 11)
    assert [c.name for c in scene.channels] == ["span"]
    assert (scene.name, scene.sensor.modality) == (f"city-{kind}", "sar_amplitude")
    np.testing.assert_allclose(scene.read_digital(window)[0][0], trace[2:11, 3:14], rtol=1e-5)
    raster = scene.read(window)
    np.testing.assert_allclose(raster.values[0], np.sqrt(trace[2:11, 3:14]), rtol=1e-5)
    np.testing.assert_allclose(raster.total_power(), trace[2:11, 3:14], rtol=1e-5)


def test_total_power_of_uncalibrated_matrices(tmp_path, make_folder):
    """Amplitude scale s of the sensor's encoding is s squared in power."""
    folder = make_folder(tmp_path / "T3", "T3", T3)
    trace = np.trace(T3, axis1=2, axis2=3).real
    raster = open_scene(folder, "sentinel1-slc", derive="total-power").read()
    np.testing.assert_allclose(raster.total_power(), trace / 302**2, rtol=1e-5)


def test_pixels_without_power_or_with_nan_are_no_data(tmp_path, make_folder):
    matrices = T3.copy()
    matrices[0, 0] = 0
    matrices[1, 1, 0, 2] = np.nan
    folder = make_folder(tmp_path / "T3", "T3", matrices)
    np.where(np.arange(600).reshape(20, 30) == 599, 0, 1).astype("<f4").tofile(
        folder / "mask_valid_pixels.bin"
    )
    scene = open_scene(folder, "airsar", derive="single-look")
    raster = scene.read()
    assert np.argwhere(~raster.valid).tolist() == [[0, 0], [1, 1], [19, 29]]
    assert (raster.values[:, ~raster.valid] == 0).all()
    assert np.isfinite(raster.values).all()


def test_declared_nodata_masks_the_matrices(tmp_path, make_folder):
    matrices = T3.copy()
    matrices[4, 5] = 7.0
    folder = make_folder(tmp_path / "T3", "T3", matrices)
    for derive in ("total-power", "single-look"):
        valid = open_scene(folder, "airsar", derive=derive, nodata=7).read().valid
        assert np.argwhere(~valid).tolist() == [[4, 5]]


def test_headers_give_the_place(tmp_path, make_folder, make_file):
    folder = make_folder(tmp_path / "C3", "C3", T3)
    transform = rasterio.Affine(0.1, 0, -98, 0, -0.1, 49)
    for plane in list(folder.glob("*.bin")):
        values = np.fromfile(plane, "<f4").reshape(1, 20, 30)
        make_file(plane, values, driver="ENVI", crs=CRS.from_epsg(4326), transform=transform)
        plane.with_suffix(".hdr").rename(f"{plane}.hdr")
    (folder / "config.txt").unlink()
    scene = open_scene(folder, "airsar", derive="total-power")
    trace = np.trace(T3, axis1=2, axis2=3).real
    np.testing.assert_allclose(scene.read_digital()[0][0], trace, rtol=1e-5)
    assert scene.transform.almost_equals(transform)
    assert scene.crs.is_geographic


@pytest.mark.parametrize("names", [("s11", "s12", "s21", "s22"), ("s22", "s12")])
def test_scattering_matrix_folder(tmp_path, names):
    """s11 is HH, s12 HV, s21 VH, s22 VV: complex64, 8 bytes a pixel."""
    polarisation = {"s11": "HH", "s12": "HV", "s21": "VH", "s22": "VV"}
    planes = {n: RNG.normal(size=(6, 7)) + 1j * RNG.normal(size=(6, 7)) for n in names}
    (tmp_path / "config.txt").write_text("Nrow\n6\n---------\nNcol\n7\n")
    for name, plane in planes.items():
        plane.astype("<c8").tofile(tmp_path / f"{name}.bin")
    raster = open_scene(tmp_path, "airsar").read(Window(1, 2, 3, 4))
    assert [c.name for c in raster.channels] == [polarisation[n] for n in sorted(names)]
    for name, values in zip(sorted(names), raster.values, strict=True):
        np.testing.assert_allclose(values, planes[name][1:4, 2:6], rtol=1e-6)


def test_matrices_are_no_pixels(tmp_path, make_folder):
    folder = make_folder(tmp_path / "T3", "T3", T3)
    with pytest.raises(ConfigError, match="derive='total-power' or derive='single-look'"):
        open_scene(folder, "airsar")
    with pytest.raises(ConfigError, match="choose a complex sensor"):
        open_scene(folder, "sentinel1-grd", derive="single-look")
    with pytest.raises(ShapeError, match="leave bands away"):
        open_scene(folder, "airsar", derive="single-look", bands=["HH"])


def test_only_matrices_are_derived_from(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", np.zeros((1, 4, 4), np.complex64))
    with pytest.raises(ConfigError, match="needs matrices"):
        open_scene(path, "airsar", bands=["HH"], derive="total-power")


def test_dual_pol_needs_its_polarisations(tmp_path, make_folder):
    folder = make_folder(tmp_path / "C2", "C2", wishart(5, 6, 2))
    with pytest.raises(ShapeError, match=r"bands=\['VV', 'VH'\]"):
        open_scene(folder, "sentinel1-slc", derive="single-look")
    scene = open_scene(folder, "sentinel1-slc", derive="single-look", bands=["VV", "VH"])
    assert [c.name for c in scene.channels] == ["VV", "VH"]


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda f: (f / "T13_imag.bin").unlink(), SceneReadError, r"T13_imag\.bin: there is no"),
        (lambda f: (f / "T22.bin").write_bytes(b"1234"), SceneReadError, r"T22\.bin: 4 bytes"),
        (lambda f: (f / "T22.bin").write_bytes(b""), SceneReadError, r"T22\.bin: is empty"),
        (lambda f: (f / "config.txt").unlink(), SceneReadError, r"config\.txt: expected Nrow"),
        (lambda f: (f / "config.txt").write_text("Nrow\nx"), SceneReadError, "expected Nrow"),
        (lambda f: (f / "T33.bin").unlink(), SceneReadError, "without PolSARpro planes"),
        (lambda f: (f / "T44.bin").touch(), SceneReadError, "T4 matrices"),
    ],
)
def test_broken_folders_are_named(tmp_path, make_folder, spoil, error, message):
    folder = make_folder(tmp_path / "T3", "T3", T3)
    spoil(folder)
    with pytest.raises(error, match=message):
        open_scene(folder, "airsar", derive="total-power")


def test_planes_of_different_size_are_refused(tmp_path, make_folder, make_file):
    folder = make_folder(tmp_path / "T3", "T3", T3)
    make_file(folder / "T22.bin", np.ones((1, 5, 6), np.float32), driver="ENVI")
    with pytest.raises(ShapeError, match=r"T22\.bin: 5 x 6 pixels"):
        open_scene(folder, "airsar", derive="total-power")
