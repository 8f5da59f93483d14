"""The examples of the pages on labelled data run as they stand, and give what they say."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.datasets.small_files import save_tif, stripes, write_csv

from ringmoe.datasets import BENCHMARKS, DataConfig, open_data, split_data

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
OBJECTS = PAGE.with_name("object-data.md")


def blocks(language, page=PAGE):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.S)


@pytest.mark.slow
def test_the_example_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python")
    names: dict = {}
    exec(compile(block, str(PAGE), "exec"), names)
    data, batch = names["data"], names["batch"]
    assert len(data) == 256
    example = names["example"]
    assert example.images["image"].values.shape == (3, 16, 16)
    assert example.images["image"].values.max() < 1  # reflectance
    assert (example.label == -1).all()  # the first row of tiles is unlabelled
    assert batch.labels.shape == (8, 32, 32)
    seen = batch.observations["image"]
    assert seen.valid.float().mean() == 0.25  # 16 x 16 of 32 x 32
    assert seen.channel_names == ("B04", "B03", "B08")
    again = DataConfig(**{**vars(names["config"]), "split": tmp_path / "split.csv"})
    for part, members in split_data(data, again).items():
        np.testing.assert_array_equal(members, names["split"][part])


def test_the_sections_of_a_configuration(tmp_path, monkeypatch):
    """Both are configurations; the flood mapping one reads files in Sen1Floods11's layout."""
    fields, floods = (yaml.safe_load(block)["data"] for block in blocks("yaml"))
    DataConfig(**fields).check()
    monkeypatch.chdir(tmp_path)
    (table,) = blocks("text")
    header, row = (line.split(",") for line in table.split())
    root = tmp_path / "sen1floods11"
    save_tif(root / row[0], np.full((2, 64, 64), -12, np.float32), channel_names=["VV", "VH"])
    save_tif(root / row[1], np.full((13, 64, 64), 900, np.int16))
    save_tif(root / row[2], stripes(64, 64, 2))
    write_csv(root / "floods.csv", header, row)
    example = open_data(DataConfig(**floods), "mask")[0]
    assert set(example.images) == {"sar_amplitude", "multispectral"}
    np.testing.assert_array_equal(example.label, stripes(64, 64, 2))


@pytest.mark.slow
def test_the_page_on_objects(tmp_path, monkeypatch):
    (section,) = blocks("yaml", OBJECTS)
    DataConfig(**yaml.safe_load(section)["data"]).check()
    assert all(f"`{name}`" in OBJECTS.read_text() for name in BENCHMARKS if "DOTA-v" not in name)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python", OBJECTS)
    names: dict = {}
    exec(compile(block, str(OBJECTS), "exec"), names)
    assert names["data"].problems == () and len(names["data"]) == 16
    batch = names["batch"].labels
    assert batch.boxes.shape[1] == 5 and len(batch) == 4
    assert set(batch.classes.tolist()) <= {0}
