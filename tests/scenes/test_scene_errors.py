"""Bad files: one line that names the file, and never a wrong pixel."""

import numpy as np
import pytest

from ringmoe.errors import RingmoeError, SceneReadError, ShapeError
from ringmoe.scenes import Window, open_scene

NOISE = np.random.default_rng(0).integers(0, 256, (3, 256, 256), dtype=np.uint8)


@pytest.mark.parametrize("part", [0.05, 0.6, 0.98])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("strips.tif", {}),
        ("tiles.tif", {"tiled": True, "compress": "deflate"}),
        ("lzw.tif", {"compress": "lzw", "predictor": 2}),
        ("cog.tif", {"driver": "COG"}),
        ("jpeg.tif", {"compress": "jpeg", "tiled": True}),
        ("plane.bin", {"driver": "ENVI"}),
        ("picture.png", {"driver": "PNG"}),
        ("picture.jpg", {"driver": "JPEG"}),
    ],
)
def test_a_truncated_file_is_caught_when_opened_or_read(tmp_path, make_file, name, options, part):
    path = make_file(tmp_path / name, NOISE, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(SceneReadError, match=name) as caught:
        open_scene(path, "rgb-dn8").read()
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_after_opening_is_caught(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", NOISE, compress="deflate", tiled=True)
    scene = open_scene(path, "rgb-dn8")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SceneReadError, match=r"a\.tif"):
        scene.read()
    path.unlink()
    with pytest.raises(SceneReadError, match=r"a\.tif"):
        scene.read()


def test_an_error_stays_with_its_file(tmp_path, make_file):
    """A file that is still open from before is opened and read after another one failed."""
    options = {"compress": "deflate", "tiled": True, "blockxsize": 64, "blockysize": 64}
    good = make_file(tmp_path / "good.tif", NOISE, **options)
    bad = make_file(tmp_path / "bad.tif", NOISE, **options)
    bad.write_bytes(bad.read_bytes()[:-5000])
    scene = open_scene(good, "rgb-dn8")
    for _ in range(3):
        with pytest.raises(SceneReadError, match=r"bad\.tif"):
            open_scene(bad, "rgb-dn8").read()
        assert (open_scene(good, "rgb-dn8").read_digital()[0] == NOISE).all()
        assert (scene.read_digital()[0] == NOISE).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.tif: there is no such file"),
        (b"", r"a\.tif: is empty \(0 bytes\)"),
        (b"Dear reader, this is no image.\n", r"a\.tif: no reader knows this format"),
        (b"II*\0\x08\0\0\0", r"a\.tif: no reader knows this format"),
    ],
)
def test_files_that_are_no_images(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(SceneReadError, match=message) as caught:
        open_scene(tmp_path / "a.tif", "rgb-dn8")
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(SceneReadError, match="without PolSARpro planes"):
        open_scene(tmp_path, "airsar")


@pytest.mark.parametrize(
    "window", [Window(0, 0, 257, 1), Window(0, 250, 1, 7), Window(256, 0, 1, 1)]
)
def test_a_window_outside_the_scene(tmp_path, make_file, window):
    scene = open_scene(make_file(tmp_path / "a.tif", NOISE), "rgb-dn8")
    with pytest.raises(ShapeError, match=r"a\.tif: .* outside the scene of 256 rows and 256 col"):
        scene.read(window)


@pytest.mark.parametrize("corner", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)])
def test_a_window_of_nothing(corner):
    with pytest.raises(ShapeError, match="0 or more"):
        Window(*corner)


def test_unknown_encoding_and_sensor_are_named(tmp_path, make_file):
    path = make_file(tmp_path / "a.tif", NOISE)
    with pytest.raises(RingmoeError, match=r"no encoding 'dB'.*decibel"):
        open_scene(path, "sentinel1-grd", encoding="dB")
    with pytest.raises(RingmoeError, match="unknown sensor 'sentinel-3'"):
        open_scene(path, "sentinel-3")
