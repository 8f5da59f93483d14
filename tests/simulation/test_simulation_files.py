"""The files: what is in them, that they are listed, that runs agree byte for byte."""

import hashlib
import json

import numpy as np
import pytest
import rasterio

from ringmoe.cli.parser import call
from ringmoe.cli.simulate import simulate
from ringmoe.errors import ConfigError, WriteError
from ringmoe.scenes import open_scene
from ringmoe.sensors import check_values, get_sensor, normalise
from ringmoe.simulation import KINDS, LAND_COVER, OBJECT_CLASSES, write_simulation

pytestmark = pytest.mark.slow  # some seconds in all

SIZE = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulation") / "run"
    write_simulation(out, scenes=2, size=SIZE, seed=3)
    return out


@pytest.fixture(scope="module")
def manifest(folder):
    return json.loads((folder / "simulation.json").read_text())


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def listed(value):
    """Every path that the manifest names."""
    if isinstance(value, dict):
        return set().union(*map(listed, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(listed, value)) if value else set()
    return {value} if isinstance(value, str) and "/" in value else set()


def test_every_file_is_listed_and_every_listed_file_is_there(folder, manifest):
    on_disk = set(digests(folder)) - {"simulation.json"}
    assert listed(manifest) == on_disk
    names = {path.split("/", 1)[1] for path in on_disk if path.startswith("scene-0000/")}
    assert names == {
        "optical.tif", "multispectral.tif", "sar_complex.tif", "sar_amplitude.tif",
        "optical_later.tif", "landcover.tif", "height.tif", "change.tif", "boxes.json",
        "tracks.txt", "tracks.json", *(f"video/frame_{number:03d}.tif" for number in range(8)),
    }  # fmt: skip


def test_the_manifest_says_what_things_are(manifest):
    assert manifest["scene_classes"] == list(KINDS)
    assert manifest["land_cover"] == list(LAND_COVER)
    assert manifest["object_classes"] == list(OBJECT_CLASSES)
    assert [scene["class"] for scene in manifest["scenes"]] == list(KINDS)[:2]
    for scene in manifest["scenes"]:
        sensors = [file["sensor"] for file in scene["files"]]
        assert sensors == [
            "simulated-optical", "simulated-multispectral", "simulated-sar-complex",
            "simulated-sar-amplitude", "simulated-optical",
        ]  # fmt: skip
        assert set(scene["files"][0]["labels"]) == {"class", "mask", "height", "boxes"}
        assert set(scene["files"][-1]["labels"]) == {"class", "change", "before"}


def test_scenes_open_as_their_sensors_with_georeference(folder, manifest):
    for scene in manifest["scenes"]:
        for file in scene["files"]:
            opened = open_scene(folder / file["path"], file["sensor"])
            sensor = get_sensor(file["sensor"])
            raster = opened.read()
            assert raster.channels == sensor.channels
            assert raster.values.shape == (len(sensor.channels), SIZE, SIZE)
            assert raster.valid.all()
            check_values(raster.values, raster.channels)
            assert opened.crs.to_epsg() == 32632
            assert opened.transform.a == -opened.transform.e == sensor.gsd


def test_normalised_values_are_of_unit_order(folder, manifest):
    """What the catalogue subtracts and divides by suits the simulation."""
    for file in manifest["scenes"][1]["files"]:
        raster = open_scene(folder / file["path"], file["sensor"]).read()
        values = normalise(raster.values, raster.channels)
        assert np.abs(values.mean(axis=(1, 2))).max() < 1.5, file["path"]
        assert values.std(axis=(1, 2)).max() < 4, file["path"]


def test_labels_lie_on_the_images(folder, manifest):
    scene = manifest["scenes"][0]
    with rasterio.open(folder / scene["files"][0]["path"]) as image:
        expected = image.crs, image.transform, image.shape
    for name in ("landcover", "height", "change"):
        with rasterio.open(folder / f"scene-0000/{name}.tif") as label:
            assert (label.crs, label.transform, label.shape) == expected
            values = label.read(1)
        limit = {"landcover": len(LAND_COVER) - 1, "height": 60, "change": 1}[name]
        assert 0 <= values.min() <= values.max() <= limit
    later = rasterio.open(folder / "scene-0000/optical_later.tif")
    assert (later.crs, later.transform, later.shape) == expected
    objects = json.loads((folder / scene["files"][0]["labels"]["boxes"]).read_text())
    assert all(len(thing["rotated"]) == 5 for thing in objects)
    first = (folder / scene["video"]["labels"]["tracks"]).read_text().splitlines()[0].split(",")
    assert len(first) == 9
    assert first[0] == "1"


def test_both_labels_of_a_video_agree(folder, manifest):
    """The horizontal boxes of its JSON are those of its MOTChallenge text."""
    labels = manifest["scenes"][0]["video"]["labels"]
    frames = json.loads((folder / labels["boxes"]).read_text())
    lines = np.loadtxt(folder / labels["tracks"], delimiter=",", ndmin=2)
    assert len(frames) == len(manifest["scenes"][0]["video"]["frames"])
    for number, things in enumerate(frames, 1):
        mine = {int(line[1]): line for line in lines[lines[:, 0] == number]}
        assert {thing["id"] for thing in things} == set(mine)
        for thing in things:
            line = mine[thing["id"]]
            left, top, right, bottom = thing["horizontal"]
            expected = [left + 1, top + 1, right - left, bottom - top]
            np.testing.assert_allclose(line[2:6], expected, atol=1.1e-3)
            assert OBJECT_CLASSES[int(line[7]) - 1] == thing["class"]


def test_the_same_arguments_give_the_same_bytes(folder):
    """Written over itself: every file is replaced, none differs."""
    before = digests(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.is_file()}
    write_simulation(folder, scenes=2, size=SIZE, seed=3)
    assert digests(folder) == before
    assert all(path.stat().st_mtime_ns > time for path, time in times.items())


@pytest.mark.slow
def test_processes_change_nothing(folder, tmp_path):
    write_simulation(tmp_path, scenes=2, size=SIZE, seed=3, workers=2)
    assert digests(tmp_path) == digests(folder)


def test_another_seed_gives_other_scenes(folder, tmp_path):
    write_simulation(tmp_path, scenes=1, size=SIZE, seed=4)
    ours, theirs = digests(folder), digests(tmp_path)
    images = [name for name in theirs if name.endswith("l.tif") or "sar" in name]
    assert images
    assert all(ours[name] != theirs[name] for name in images)


def test_the_first_scenes_do_not_depend_on_how_many_follow(folder, tmp_path):
    write_simulation(tmp_path, scenes=1, size=SIZE, seed=3)
    theirs = digests(tmp_path)
    del theirs["simulation.json"]
    assert theirs.items() <= digests(folder).items()


def test_kinds_that_were_chosen_take_turns(tmp_path):
    write_simulation(tmp_path, scenes=3, size=SIZE, seed=3, kinds=["river", "quarry"])
    scenes = json.loads((tmp_path / "simulation.json").read_text())["scenes"]
    assert [scene["class"] for scene in scenes] == ["river", "quarry", "river"]
    with pytest.raises(ConfigError, match="no scenes of kind 'moon': choose one of airfie"):
        write_simulation(tmp_path, scenes=1, size=SIZE, kinds=["moon"])


def test_the_command_line(tmp_path, capsys):
    call(simulate, ["--out", str(tmp_path / "a"), "--scenes", "1", "--size", "32", "--seed", "9"])
    assert (tmp_path / "a/simulation.json").is_file()
    assert "1 scenes" in capsys.readouterr().err


def test_an_interrupted_run_leaves_no_manifest_of_the_scenes_before(tmp_path):
    """Of three harbours two were replaced by woods: no list says that they are harbours."""
    write_simulation(tmp_path, scenes=3, size=32, kinds=["harbour"])

    def interrupted(numbers):
        yield from numbers[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_simulation(tmp_path, scenes=3, size=32, kinds=["forest"], progress=interrupted)
    assert not (tmp_path / "simulation.json").exists()
    write_simulation(tmp_path, scenes=3, size=32, kinds=["forest"])
    scenes = json.loads((tmp_path / "simulation.json").read_text())["scenes"]
    assert [scene["class"] for scene in scenes] == ["forest"] * 3


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"size": 16}, {"kinds": ["moon"]}, {"scenes": 0}, {"workers": 0}]
)
def test_wrong_arguments_leave_the_folder_as_it_is(wrong, tmp_path):
    """They are refused before the manifest of what lies there is removed."""
    (tmp_path / "simulation.json").write_text("{}")
    with pytest.raises(ConfigError):
        write_simulation(tmp_path, **{"scenes": 1, "size": 32} | wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["simulation.json"]


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="scenes is 0: simulate at least one"):
        write_simulation(tmp_path, scenes=0)
    with pytest.raises(ConfigError, match="workers is 0"):
        write_simulation(tmp_path, workers=0)
    with pytest.raises(ConfigError, match="seed is -1: it must be 0 or more"):
        write_simulation(tmp_path, scenes=1, seed=-1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="file"):
        write_simulation(tmp_path / "file", scenes=1, size=32)
