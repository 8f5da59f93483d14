"""Simulated scenes as labelled data: what the sensors saw, with what the landscape is."""

import json

import numpy as np
import pytest
import rasterio

from ringmoe.boxes import cxcywhr_to_xyxy
from ringmoe.datasets import DataConfig, open_data
from ringmoe.errors import DatasetError
from ringmoe.scenes import open_scene
from ringmoe.simulation import LAND_COVER, write_simulation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated")
    write_simulation(out, scenes=2, size=40, seed=3, kinds=["harbour", "village"])
    return out


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def test_land_cover(folder):
    data = open_data(DataConfig(path=folder, sensor="simulated-sar-amplitude"), "mask")
    assert (len(data), data.classes) == (2, LAND_COVER)
    example = data[1]
    seen = open_scene(folder / "scene-0001" / "sar_amplitude.tif", "simulated-sar-amplitude").read()
    assert np.array_equal(example.images["image"].values, seen.values)
    assert np.array_equal(example.label, read(folder / "scene-0001" / "landcover.tif"))


def test_heights_of_two_modalities(folder):
    sensors = {"optical": "simulated-optical", "sar_complex": "simulated-sar-complex"}
    example = open_data(DataConfig(path=folder, sensors=sensors), "height")[0]
    assert list(example.images) == list(sensors)
    assert np.array_equal(example.label, read(folder / "scene-0000" / "height.tif"))


def test_changes(folder):
    sensors = dict.fromkeys(("before", "after"), "simulated-optical")
    data = open_data(DataConfig(path=folder, sensors=sensors), "mask")
    assert data.classes == ("unchanged", "changed")
    example = data[0]
    assert np.array_equal(example.label, read(folder / "scene-0000" / "change.tif"))
    assert not np.array_equal(example.images["before"].values, example.images["after"].values)


def test_kinds_of_scene(folder):
    data = open_data(DataConfig(path=folder, sensor="simulated-optical"), "class")
    assert [data.classes[label] for label in data.class_of] == ["harbour", "village"]


def test_objects(folder):
    config = DataConfig(path=folder, sensor="simulated-sar-amplitude")
    truth = json.loads((folder / "scene-0000" / "boxes.json").read_text())
    for kind, form in (("boxes", "horizontal"), ("rotated-boxes", "rotated")):
        data = open_data(config, kind)
        label, said = data[0].label, {thing["id"]: thing for thing in truth}
        assert data.classes == ("ship", "aircraft", "vehicle") and len(label)
        for box, kind_of, ignored, identity in zip(
            label.boxes, label.classes, label.ignored, label.ids, strict=True
        ):
            expected = said[int(identity)]
            assert data.classes[kind_of] == expected["class"]
            np.testing.assert_allclose(box, expected[form], atol=1e-3)
            assert ignored or expected["seen"] >= 0.3
    only = DataConfig(
        path=folder, sensor="simulated-optical", classes=["ship"], ignore=["aircraft", "vehicle"]
    )
    assert set(open_data(only, "boxes").objects[0].classes.tolist()) == {0}


def test_videos(folder):
    config = DataConfig(path=folder, sensor="simulated-optical", labels="tracks")
    data = open_data(config, "boxes")
    assert data.names[0] == "scene-0000/000001" and data.problems == ()
    lines = (folder / "scene-0000" / "tracks.txt").read_text().split()
    first = [i for i, row in enumerate(data.rows) if row.sequence == "scene-0000"]
    assert sum(len(data.objects[i]) for i in first) == len(lines)
    frame, identity, left, top, width, height, _, kind, _ = map(float, lines[-1].split(","))
    last = data.objects[int(frame) - 1]
    at = last.ids.tolist().index(int(identity))
    expected = [left - 1, top - 1, left - 1 + width, top - 1 + height]
    np.testing.assert_allclose(last.boxes[at], expected, atol=1.1e-3)  # rounded
    assert last.classes[at] == kind - 1
    rotated = open_data(config, "rotated-boxes")
    assert rotated.problems == () and rotated.names == data.names
    turned = rotated.objects[int(frame) - 1]
    np.testing.assert_array_equal(turned.ids, last.ids)
    inside = np.stack([last.boxes[:, :2], -last.boxes[:, 2:]])  # of what encloses the rotated box
    around = cxcywhr_to_xyxy(turned.boxes)
    assert (inside >= np.stack([around[:, :2], -around[:, 2:]]) - 1e-3).all()
    still = open_data(DataConfig(path=folder, sensor="simulated-optical"), "rotated-boxes")
    np.testing.assert_array_equal(rotated.objects[0].boxes, still.objects[0].boxes)
    np.testing.assert_array_equal(rotated.objects[0].ignored, still.objects[0].ignored)


def test_videos_of_an_older_version(folder, tmp_path):
    manifest = json.loads((folder / "simulation.json").read_text())
    for scene in manifest["scenes"]:
        del scene["video"]["labels"]["boxes"]
    (tmp_path / "simulation.json").write_text(json.dumps(manifest))
    config = DataConfig(path=tmp_path, sensor="simulated-optical", labels="tracks")
    with pytest.raises(DatasetError, match="simulate anew"):
        open_data(config, "boxes")


def test_videos_of_some_classes(folder):
    ships = DataConfig(
        path=folder, sensor="simulated-optical", labels="tracks", classes=["ship"],
        ignore=["aircraft", "vehicle"],
    )  # fmt: skip
    assert open_data(ships, "boxes").problems == ()
    with pytest.raises(DatasetError, match="the videos are of simulated-optical"):
        open_data(DataConfig(path=folder, sensor="simulated-sar-amplitude", labels="tracks"),
                  "boxes")  # fmt: skip


def test_what_is_not_simulated(folder, tmp_path):
    with pytest.raises(DatasetError, match="no image of landsat7: the simulated sensors are"):
        open_data(DataConfig(path=folder, sensor="landsat7"), "mask")
    sensors = dict.fromkeys(("before", "after"), "simulated-sar-amplitude")
    with pytest.raises(DatasetError, match="changes are seen by simulated-optical"):
        open_data(DataConfig(path=folder, sensors=sensors), "mask")
    (tmp_path / "simulation.json").write_text("{}")
    with pytest.raises(DatasetError, match="not what `ringmoe simulate` writes"):
        open_data(DataConfig(path=tmp_path, sensor="simulated-optical"), "mask")
