"""`.npy` files: which axis holds the bands, which the dates."""

import numpy as np
import pytest

from ringmoe.errors import DtypeError, SceneReadError, ShapeError
from ringmoe.scenes import Window, open_scene

CUBE = np.random.default_rng(0).integers(0, 9999, (13, 20, 30), dtype=np.uint16)
WINDOW = Window(3, 5, 7, 11)
CUT = CUBE[:, 3:10, 5:16]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0)])
def test_bands_lie_on_the_axis_that_has_as_many(tmp_path, axes, order):
    np.save(tmp_path / "a.npy", np.array(CUBE.transpose(axes), order=order))
    scene = open_scene(tmp_path / "a.npy", "sentinel2-l1c")
    assert (scene.height, scene.width, scene.dtype) == (20, 30, np.uint16)
    digital, valid = scene.read_digital(WINDOW)
    np.testing.assert_array_equal(digital, CUT)
    assert valid.all()
    np.testing.assert_allclose(scene.read(WINDOW).values, CUT / 10_000, rtol=1e-6)


def test_declared_bands_count(tmp_path):
    np.save(tmp_path / "a.npy", CUBE[:4])
    scene = open_scene(tmp_path / "a.npy", "sentinel2-l1c", bands=["B02", "B03", "B04", "B08"])
    np.testing.assert_array_equal(scene.read_digital()[0], CUBE[:4])


@pytest.mark.parametrize("last", [True, False])
def test_one_date_of_several(tmp_path, last):
    dates = np.stack([CUBE, CUBE + 1])
    np.save(tmp_path / "a.npy", dates.transpose(0, 2, 3, 1) if last else dates)
    scene = open_scene(f"{tmp_path}/a.npy#1", "sentinel2-l1c")
    assert scene.name == "a#1"
    np.testing.assert_array_equal(scene.read_digital(WINDOW)[0], CUT + 1)


def test_single_plane_and_complex(tmp_path):
    slc = (CUBE[0] + 1j * CUBE[1]).astype(np.complex64)
    np.save(tmp_path / "slc.npy", slc)
    scene = open_scene(tmp_path / "slc.npy", "sentinel1-slc", bands=["VV"])
    np.testing.assert_array_equal(scene.read_digital(WINDOW)[0], slc[None, 3:10, 5:16])
    np.save(tmp_path / "iq.npy", CUBE[:4].astype(np.float32))
    scene = open_scene(tmp_path / "iq.npy", "airsar", bands=["HH_I", "HH_Q", "VV_I", "VV_Q"])
    np.testing.assert_array_equal(
        scene.read_digital()[0], CUBE[0:4:2].astype(np.float32) + 1j * CUBE[1:4:2]
    )


def test_what_is_read_does_not_write_to_the_file(tmp_path):
    np.save(tmp_path / "a.npy", CUBE)
    open_scene(tmp_path / "a.npy", "sentinel2-l1c").read_digital()[0][:] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), CUBE)


@pytest.mark.parametrize(
    ("array", "name", "message"),
    [
        (np.zeros((5, 20, 30, 13)), "a.npy", r"holds 5 dates: choose one, .*a\.npy#0'"),
        (np.zeros((5, 20, 30, 13)), "a.npy#5", "has no entry #5.*#0 to #4"),
        (np.zeros((20, 30)), "a.npy#0", "has no entry #0"),
        (np.zeros((4, 20, 30)), "a.npy", r"expected 13 bands .* \(4, 20, 30\).*bands="),
        (np.zeros((13, 20, 13)), "a.npy", r"could be \(C, H, W\) or \(H, W, C\)"),
        (np.zeros(13), "a.npy", r"found shape \(13,\)"),
    ],
)
def test_shapes_that_do_not_tell_are_refused(tmp_path, array, name, message):
    np.save(tmp_path / "a.npy", array.astype(np.float32))
    with pytest.raises(ShapeError, match=message):
        open_scene(tmp_path / name, "sentinel2-l1c", encoding="reflectance")


@pytest.mark.parametrize("spoil", ["truncate", "empty", "text", "pickle"])
def test_broken_files_are_named(tmp_path, spoil):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}]) if spoil == "pickle" else CUBE, allow_pickle=True)
    content = path.read_bytes()
    path.write_bytes({"truncate": content[:-9], "empty": b"", "text": b"a,b\n"}.get(spoil, content))
    with pytest.raises(SceneReadError, match=r"a\.npy"):
        open_scene(path, "sentinel2-l1c")


def test_only_numbers_are_read(tmp_path):
    np.save(tmp_path / "a.npy", np.array([["a", "b"]]))
    with pytest.raises(DtypeError, match="expected numbers"):
        open_scene(tmp_path / "a.npy", "sar-amplitude-dn8", bands=["unknown"])
    np.save(tmp_path / "b.npy", np.ones((4, 4), np.longdouble))
    with pytest.raises(DtypeError, match=r"b\.npy: .* save it as float64"):
        open_scene(tmp_path / "b.npy", "sar-amplitude-dn8", bands=["unknown"])
