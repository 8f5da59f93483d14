"""Data that come in parts, as one with the split that they were published with."""

import numpy as np
import pytest
from tests.datasets.published_files import write_benchmark
from tests.tasks.labelled import write_backbone

from ringmoe.datasets import fingerprint, join_parts, label_of, published
from ringmoe.errors import ConfigError
from ringmoe.tasks import FinetuneConfig, finetune


@pytest.fixture
def parts(tmp_path):
    write_benchmark("DIOR-R", tmp_path / "data")
    return published("DIOR-R", tmp_path / "data")


def test_each_example_is_that_of_its_part(parts):
    data, split = join_parts(parts)
    assert len(data) == len(data.names) == sum(map(len, parts.values()))
    assert (data.kind, data.classes) == ("rotated-boxes", parts["train"].classes)
    for part, own in parts.items():
        for inside, index in enumerate(split[part]):
            assert data.names[index] == f"{part}/{own.names[inside]}" == data[index].name
            np.testing.assert_array_equal(data[index].label.boxes, own[inside].label.boxes)
            image, expected = data[index].images["image"], own[inside].images["image"]
            np.testing.assert_array_equal(image.values, expected.values)
            assert label_of(data, index).boxes.tolist() == own.objects[inside].boxes.tolist()
    assert len(data.sizes) == len(data.objects) == len(data)
    with pytest.raises(IndexError):
        data[len(data)]


def test_other_labels_are_other_data(parts):
    """What a resumed run compares."""
    data, split = join_parts(parts)
    before = fingerprint(data, split)
    assert before == fingerprint(*join_parts(parts))
    parts["test"].objects[0].boxes[0] += 1
    assert fingerprint(data, split) != before


def test_parts_that_do_not_belong_together(parts, tmp_path):
    with pytest.raises(ConfigError, match="expected train, and of train, validation, test, got"):
        join_parts({"test": parts["test"]})
    write_benchmark("SSDD", tmp_path / "ssdd")
    other = published("SSDD", tmp_path / "ssdd", "boxes")
    with pytest.raises(ConfigError, match="test has other kind, classes, sources than train"):
        join_parts({"train": parts["train"], "test": other["test"]})


@pytest.mark.slow
def test_a_benchmark_is_learned_with_its_own_split(parts, tmp_path):
    data, split = join_parts(parts)
    start = write_backbone(tmp_path / "start")
    config = FinetuneConfig(
        checkpoint=str(start),
        out=tmp_path / "run",
        options={"channels": 8},
        steps=2,
        batch_size=2,
        warmup_steps=1,
        crop_size=64,
        evaluate_every=2,
        tensorboard=False,
    )
    run = finetune("oriented-detection", config, data, split=split, progress=False)
    lines = (run.run_dir / "split.csv").read_text().splitlines()
    assert sum(line.startswith("test/") for line in lines) == len(parts["test"])
