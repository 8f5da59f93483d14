"""Probing a backbone: the scores are those of scikit-learn on the features of the same images."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from tests.tasks.labelled import write_backbone

from ringmoe.cli import main
from ringmoe.datasets import DataConfig, open_data, split_data
from ringmoe.errors import ConfigError
from ringmoe.models import load_model
from ringmoe.probing import observe, pooled_features
from ringmoe.sensors import get_sensor
from ringmoe.tasks.frozen import probe

pytestmark = pytest.mark.slow  # each trains

CLASSES = {"red": 0, "green": 1, "blue": 2}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("backbone") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Noise with a little of one colour: easy, but not for every image."""
    folder, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for name, channel in CLASSES.items():
        (folder / name).mkdir()
        for number in range(24):
            picture = rng.integers(0, 200, (32, 32, 3))
            picture[..., channel] += rng.integers(20, 56)
            Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{number}.png")
    return DataConfig(path=folder, sensor="rgb-dn8", validation=0.25, test=0.25)


def by_hand(checkpoint, data, part):
    """Features of a part's files, read one by one."""
    examples = open_data(data, "class")
    model = load_model(checkpoint, ["optical"])
    indices = split_data(examples, data)[part]
    sensor = get_sensor("rgb-dn8")
    images = [
        observe(
            np.asarray(Image.open(row.images["image"]), np.float32).transpose(2, 0, 1)[None], sensor
        )
        for row in (examples.rows[i] for i in indices)
    ]
    return pooled_features(model, images).numpy(), examples.class_of[indices]


def test_neighbours_are_scikit_learns(checkpoint, data):
    """With the k that was chosen on the validation part, on standardised features."""
    found = probe(str(checkpoint), data, "neighbours", size=32)
    parts = [by_hand(checkpoint, data, part) for part in ("train", "validation", "test")]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts[:2], strict=True))
    scaler = StandardScaler().fit(x)
    classifier = KNeighborsClassifier(int(found["choice"]["setting"]), metric="cosine")
    classifier.fit(scaler.transform(x), y)
    expected = classifier.score(scaler.transform(parts[2][0]), parts[2][1])
    assert found["accuracy"] == pytest.approx(expected, abs=1e-6)
    assert found["images"] == 18


@pytest.mark.parametrize(("method", "least"), [("linear", 0.7), ("few-shot", 0.4)])
def test_features_know_colours(checkpoint, data, method, least):
    """A third is chance; few-shot has one example each, of six, and their brightness varies."""
    everything = DataConfig(path=data.path, sensor="rgb-dn8", test=0.0 if "few" in method else 0.25)
    found = probe(str(checkpoint), everything, method, ways=3, shots=1, size=32)
    assert found["accuracy"] > least
    if method == "few-shot":
        assert found["images"] == 72 and found["episodes"] == 600 and 0 < found["interval"] < 0.05


def test_the_command(checkpoint, data, capsys):
    words = f"probe {checkpoint} --data.path {data.path} --data.sensor rgb-dn8 --size 32"
    words += " --data.test 0.25"
    assert main([*words.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "linear"
    assert main(words.split()) == 0
    assert "of 18 images" in capsys.readouterr().out


def test_there_must_be_images_to_score_on(checkpoint, data):
    everything = DataConfig(path=data.path, sensor="rgb-dn8")
    with pytest.raises(ConfigError, match=r"data\.test: expected images to score on, got none"):
        probe(str(checkpoint), everything, size=32)
