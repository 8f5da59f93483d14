"""Tasks as files keep them."""

import json
import re
from pathlib import Path

import pytest
from tests.tasks.pyramids import CLASSES

from ringmoe.errors import ConfigError
from ringmoe.tasks import (
    TASKS,
    Change,
    Classification,
    Detection,
    Height,
    OrientedDetection,
    OrientedTracking,
    Segmentation,
    Tracking,
    task_from,
    to_plain,
)
from ringmoe.training.optimizer import decayed

EXAMPLES = [
    Classification(classes=CLASSES),
    Classification(
        classes=CLASSES, pooling="all", class_weights=(1.0, 2.0, 0.0), label_smoothing=0.1
    ),
    Segmentation(classes=CLASSES, channels=64, dice=0.5, class_weights=(1.0, 2.0, 3.0)),
    Change(),
    Change(classes=("same", "new"), method="bit", channels=16, tokens=2, layers=1),
    Detection(classes=("ship",)),
    Detection(classes=CLASSES, anchor_sizes=(4.0, 8.0, 12.0, 30.5), score_threshold=0.2, most=9),
    OrientedDetection(classes=CLASSES, method="rcnn", channels=32, nms_threshold=0.1),
    OrientedDetection(classes=CLASSES, depth=1, cells=4.0, box_loss="kld"),
    Tracking(classes=("ship",)),
    OrientedTracking(classes=CLASSES),
    Height(),
    Height(method="bins", low=-2.0, high=30.0, bins=16, channels=24, floor=0.3),
]


@pytest.mark.parametrize("task", EXAMPLES, ids=str)
def test_a_task_survives_a_json_file(task):
    assert task_from(json.loads(json.dumps(to_plain(task)))) == task
    assert hash(task) == hash(task_from(to_plain(task)))


def test_every_task_is_found_by_its_name():
    assert set(TASKS) == {
        *("classification", "segmentation", "change", "height"),
        *("detection", "oriented-detection", "tracking", "oriented-tracking"),
    }
    assert {type(task) for task in EXAMPLES} == set(TASKS.values())
    for name, task in TASKS.items():
        assert task.name == name
        assert task.label_kind in ("class", "mask", "height", "boxes", "rotated-boxes")
        assert task.dates == (2 if name == "change" else 1)
        assert task.higher_is_better == (name != "height")


def test_options_left_out_take_their_defaults():
    assert task_from({"task": "height", "high": 50.0}) == Height(high=50.0)


@pytest.mark.parametrize("task", EXAMPLES, ids=str)
def test_best_names_a_metric(task):
    metrics = task.metrics()
    assert task.best in (metrics if hasattr(metrics, "keys") else metrics.compute())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected one of change, classification, .*segmentation, tracking, got None"),
        ({"task": "detektion"}, "got 'detektion'"),
        ({"task": "height", "hight": 3}, "task height: unknown option hight; it has classes"),
        ({"task": "segmentation"}, "task segmentation: classes must be two or more"),
        ({"task": "classification", "classes": ["a", "a"]}, "classes must be all different"),
        (
            {"task": "segmentation", "classes": ["a", "b"], "class_weights": [1.0]},
            "class_weights must be none or 2, not negative, got",
        ),
        ({"task": "segmentation", "classes": ["a", "b"], "dice": -1}, "dice must be not negative"),
        ({"task": "classification", "classes": ["a", "b"], "pooling": "max"}, "last or all"),
        ({"task": "change", "classes": ["a", "b", "c"]}, "two: unchanged, changed"),
        ({"task": "change", "method": "bitt"}, "method must be difference or bit, got 'bitt'"),
        (
            {"task": "change", "method": "bit", "channels": 12},
            "channels must be positive, and for bit a multiple",
        ),
        ({"task": "height", "high": -1.0}, "high must be more than low"),
        ({"task": "height", "classes": ["a"]}, "heights have none"),
        ({"task": "height", "floor": 0}, "floor must be positive"),
        ({"task": "detection"}, "task detection: classes must be one or more"),
        ({"task": "detection", "classes": ["a"], "anchor_sizes": [8, 16]}, "four positive numbers"),
        ({"task": "detection", "classes": ["a"], "score_threshold": 1}, "at least 0, below 1"),
        ({"task": "detection", "classes": ["a"], "method": "fcos"}, "unknown option method"),
        ({"task": "oriented-detection", "classes": ["a"], "method": "yolo"}, "fcos or rcnn"),
        ({"task": "oriented-detection", "classes": ["a"], "box_loss": "l1"}, "kld or probiou"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError, match=message) as caught:
        task_from(values)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_pages_example_runs():
    """Scores of two images of 96 pixels, a finite loss, metrics of two classes."""
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
    scope = {}
    exec(re.search(r"<!-- heads -->\n```python\n(.*?)```", page, re.S)[1], scope)
    assert scope["scores"].shape == (2, 2, 96, 96)
    assert scope["loss"].isfinite() and 0 < scope["metrics"].compute()["miou"] < 1


@pytest.mark.parametrize("task", EXAMPLES, ids=str)
def test_only_what_multiplies_features_is_decayed_in_a_head(task):
    """No offset, no scale: nothing of one dimension, whatever its name."""
    head = task.head((8, 16, 32, 64))
    parameters = dict(head.named_parameters())
    names = decayed(head)
    assert names
    assert [name for name in names if parameters[name].ndim < 2] == []
    assert [name for name in parameters if name not in names and parameters[name].ndim > 1] == []
