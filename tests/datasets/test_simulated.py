"""Simulated scenes as labelled data: what the sensors saw, with what the landscape is."""

import numpy as np
import pytest
import rasterio

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


def test_what_is_not_simulated(folder, tmp_path):
    with pytest.raises(DatasetError, match="no image of landsat7: the simulated sensors are"):
        open_data(DataConfig(path=folder, sensor="landsat7"), "mask")
    sensors = dict.fromkeys(("before", "after"), "simulated-sar-amplitude")
    with pytest.raises(DatasetError, match="changes are seen by simulated-optical"):
        open_data(DataConfig(path=folder, sensors=sensors), "mask")
    (tmp_path / "simulation.json").write_text("{}")
    with pytest.raises(DatasetError, match="not what `ringmoe simulate` writes"):
        open_data(DataConfig(path=tmp_path, sensor="simulated-optical"), "mask")
