"""Which files a source stands for."""

import json
from pathlib import Path

import pytest

from ringmoe.archive import Archive, Source, ingest
from ringmoe.archive.sources import list_files
from ringmoe.errors import ConfigError, SceneReadError, UnknownSensorError


@pytest.fixture
def root(tmp_path) -> Path:
    """Two class folders of twelve numbered images each, and what else lies about."""
    for name in ("forest", "port"):
        (tmp_path / "aid" / name).mkdir(parents=True)
        for i in range(1, 13):
            (tmp_path / "aid" / name / f"{name}_{i}.jpg").touch()
    (tmp_path / "aid" / "port" / "port_mask.png").touch()
    (tmp_path / "aid" / "readme.txt").touch()
    (tmp_path / "train.txt").write_text("port/port_2.jpg 1\nforest\\forest_11.jpg 0\n\n")
    (tmp_path / "product" / "T3").mkdir(parents=True)
    for plane in ("T11", "T22", "T33"):
        (tmp_path / "product" / "T3" / f"{plane}.bin").touch()
    (tmp_path / "stack.npy").touch()
    return tmp_path


def names(root: Path, *paths: str, holdout: float = 0.0, **options) -> list[str]:
    source = Source(paths, "rgb-dn8", **options)
    return [file.name for file in list_files([source], root, holdout, 0)]


def test_patterns_folders_and_exclusions(root):
    assert len(names(root, "aid/*/*.jpg")) == len(names(root, "aid/**/*.jpg")) == 24
    assert len(names(root, "aid")) == 25
    assert len(names(root, "aid", exclude=("*mask*",))) == 24
    assert names(root, str(root / "aid/port/port_3.jpg")) == [str(root / "aid/port/port_3.jpg")]


def test_natural_order_and_the_first_of_each_folder(root):
    """Number 2 before 10; a folder's first three are 1, 2 and 3, as `datasets` has its splits."""
    assert names(root, "aid/*/*.jpg", per_folder=3) == [
        f"aid/{name}/{name}_{i}.jpg" for name in ("forest", "port") for i in (1, 2, 3)
    ]
    assert names(root, "aid/port/*.jpg")[-1] == "aid/port/port_12.jpg"


def test_file_lists_keep_their_order_and_may_come_from_windows(root):
    found = names(root, "aid", file_list="train.txt")
    assert found == ["aid/port/port_2.jpg", "aid/forest/forest_11.jpg"]
    with pytest.raises(ConfigError, match="must be the one folder"):
        names(root, "aid/*/*.jpg", file_list="train.txt")
    with pytest.raises(SceneReadError, match=r"val\.txt"):
        names(root, "aid", file_list="val.txt")


def test_folders_of_planes_and_dates_of_a_stack_are_scenes(root):
    assert names(root, "product/T3") == names(root, "product/*") == ["product/T3"]
    assert names(root, "product") == names(root, "product/**") == ["product/T3"]
    deep = root / "product" / "2020" / "C3"
    deep.mkdir(parents=True)
    (deep / "C11.bin").touch()
    (deep / "span.png").touch()
    (root / "product" / "quicklook.png").touch()
    assert names(root, "product/**/[CT]3") == ["product/2020/C3", "product/T3"]
    both = ["product/2020/C3", "product/T3", "product/quicklook.png"]
    assert names(root, "product") == names(root, "product/**") == both
    assert names(root, "stack.npy#1", "stack.npy#3") == ["stack.npy#1", "stack.npy#3"]


def test_urls_are_left_as_they_are(root):
    url = "https://example.org/cogs/scene.tif"
    (file,) = list_files([Source((url,), "rgb-dn8")], root, 0, 0)
    assert file.name == file.path == url


def test_dates_of_one_stack_show_one_place(root):
    """So none of them is held out whole: a part of each is, the same of all."""
    files = list_files([Source(("stack.npy#1", "stack.npy#3"), "rgb-dn8")], root, 0.3, 0)
    assert [file.holdout for file in files] == [0.3, 0.3]
    assert files[0].place == files[1].place


def test_images_of_a_folder_can_be_held_out_together(root):
    """Two folders are two places: one of them is held out, all of it."""
    source = Source(("aid/*/*.jpg",), "rgb-dn8", group="folder")
    files = list_files([source], root, 0.3, 0)
    assert sum(file.holdout for file in files) == 12
    assert len({(file.place, file.holdout) for file in files}) == 2


def test_a_source_can_have_its_own_share(root):
    source = Source(("aid/*/*.jpg",), "rgb-dn8", holdout=0.5)
    assert sum(f.holdout for f in list_files([source], root, 0.1, 0)) == 12
    assert not any(f.holdout for f in list_files([Source(("aid",), "rgb-dn8")], root, 0, 0))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (Source(("nowhere/*.tif",), "rgb-dn8"), SceneReadError, r"nowhere/\*\.tif: expected"),
        (Source(("product/nothing",), "rgb-dn8"), SceneReadError, "nothing: expected"),
        (Source(("aid",)), ConfigError, "which sensor"),
        (Source(("aid",), "rgb-8"), UnknownSensorError, "rgb-dn8"),
        (Source(("aid",), "rgb-dn8", encoding="decibel"), ConfigError, "no encoding 'decibel'"),
    ],
)
def test_sources_that_cannot_be_are_refused_at_once(root, source, error, message):
    with pytest.raises(error, match=message):
        list_files([source], root, 0, 0)


def test_sources_come_from_configurations():
    source = Source.from_dict(
        {"paths": "a/*.tif", "sensor": "airsar", "bands": ["HH", "HV"], "nodata": 0, "stride": 64}
    )
    assert source == Source(("a/*.tif",), "airsar", bands=("HH", "HV"), nodata=0.0, stride=64)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"paths": "a", "senser": "airsar"}, "unknown key 'senser': did you mean 'sensor'"),
        ({"paths": "a", "tile_size": "big"}, "tile_size: expected int or NoneType, got 'big'"),
        ({"sensor": "airsar"}, "`paths` is missing"),
    ],
)
def test_misspelt_configurations_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Source.from_dict(given)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("holdout", 1.5, "0 to 1"),
        ("holdout", -0.1, "0 to 1"),
        ("group", "folders", "'file' or 'folder'"),
        ("derive", "span", "'total-power' or 'single-look'"),
        ("tile_size", -5, "1 or more"),
        ("stride", 0, "1 or more"),
        ("per_folder", 0, "1 or more"),
        ("seed", -1, "0 or more"),
    ],
)
def test_values_that_cannot_be_are_refused(key, value, expected):
    with pytest.raises(ConfigError, match=f"source a: {key}: expected {expected}, got {value!r}"):
        Source(("a",), "airsar", **{key: value})
    with pytest.raises(ConfigError, match=r"paths: expected several, got a text: \('a',\)"):
        Source("a", "airsar")


@pytest.fixture
def simulation(tmp_path) -> Path:
    """The manifest of two scenes of two sensors, and empty files for the images."""
    sensors = {"optical": "simulated-optical", "sar": "simulated-sar-complex"}
    scenes = [
        {"files": [{"sensor": s, "path": f"{scene}/{n}.tif"} for n, s in sensors.items()]}
        for scene in ("s0", "s1")
    ]
    for scene in ("s0", "s1"):
        (tmp_path / "sim" / scene).mkdir(parents=True)
        for name in sensors:
            (tmp_path / "sim" / scene / f"{name}.tif").touch()
    (tmp_path / "sim" / "simulation.json").write_text(json.dumps({"scenes": scenes}))
    return tmp_path


def test_a_sensor_chooses_the_images_of_a_simulation(simulation):
    def names(**options):
        source = Source(("sim",), **options)
        return [file.name for file in list_files([source], simulation, 0, 0)]

    optical = ["sim/s0/optical.tif", "sim/s1/optical.tif"]
    assert names() == [*optical, "sim/s0/sar.tif", "sim/s1/sar.tif"]
    assert names(sensor="simulated-optical", channels=("red",)) == optical
    assert names(exclude=("sar*",)) == optical
    with pytest.raises(ConfigError, match="simulation without images of 'airsar': choose from sim"):
        names(sensor="airsar")


@pytest.mark.parametrize(
    ("key", "value"),
    [("bands", ("-",)), ("encoding", "x"), ("nodata", 0), ("file_list", "f"),
     ("derive", "single-look")],
)  # fmt: skip
def test_what_a_simulation_knows_itself_is_not_asked(simulation, key, value):
    with pytest.raises(ConfigError, match=f"sim: a simulation, which has no use for {key}"):
        list_files([Source(("sim",), **{key: value})], simulation, 0, 0)


@pytest.mark.slow
def test_a_simulation_is_a_source_with_its_sensors(tmp_path):
    """Two scenes of five images each: the same scene is held out for every sensor."""
    from ringmoe.simulation import write_simulation

    write_simulation(tmp_path / "sim", scenes=2, size=64, seed=3)
    report = ingest(
        [Source(("sim",))], tmp_path / "archive", tile_size=64, holdout=0.5, root=tmp_path
    )
    assert report.files == {"read": 10, "refused": 0} and not report.refused
    archive = Archive.open(tmp_path / "archive")
    assert {stream.sensor.name for stream in archive.streams.values()} == {
        f"simulated-{what}" for what in ("optical", "multispectral", "sar-complex", "sar-amplitude")
    }
    held = {
        Path(source).parent.name
        for stream in archive.streams.values()
        for source in stream.table["source"][stream.indices("heldout")]
    }
    trained = {
        Path(source).parent.name
        for stream in archive.streams.values()
        for source in stream.table["source"][stream.indices("train")]
    }
    assert len(held) == len(trained) == 1 and held != trained
    (tmp_path / "sim" / "simulation.json").write_text(json.dumps({"scenes": [1]}))
    with pytest.raises(SceneReadError, match="not a simulation's manifest"):
        list_files([Source(("sim",))], tmp_path, 0, 0)
