"""Fine-tuning under torchrun: two processes share the images to evaluate and equal one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.tasks.ranks import prepare

from ringmoe.boxes import Objects
from ringmoe.tasks.metrics import DetectionMetrics, detection

ROOT = Path(__file__).resolve().parents[2]


def train(folder, out, processes):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launcher, "tests/tasks/ranks.py", str(folder), str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Masks, rotated boxes and tracks: what validation says, and the weights, in float64.

    Of `few` the second process has no image to evaluate.
    """
    prepare(tmp_path)
    for processes in (1, 2):
        train(tmp_path, tmp_path / f"of-{processes}", processes)
    for name in ("many", "few", "boxes", "tracks"):
        one, two = (tmp_path / f"of-{processes}" / name for processes in (1, 2))
        lines, others = ((run / "validation.jsonl").read_text().splitlines() for run in (one, two))
        assert len(lines) == len(others) == 1
        for line, other in zip(lines, others, strict=True):
            found, expected = json.loads(other), json.loads(line)
            matrices = [figures.pop("confusion_matrix", None) for figures in (found, expected)]
            assert matrices[0] == matrices[1]
            assert found == pytest.approx(expected, abs=1e-9)
        for file in ("model.safetensors", "task.safetensors"):
            weights, others = (load_file(run / "model" / file) for run in (one, two))
            for key, value in weights.items():
                torch.testing.assert_close(others[key], value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("rotated", [False, True])
def test_images_of_several_processes_score_as_of_one(rotated, monkeypatch):
    """Forty images of objects moved and scored at random, in one record and in three."""
    rng = np.random.default_rng(0)
    whole, *parts = (DetectionMetrics(("a", "b"), rotated) for _ in range(4))
    for image in range(40):
        boxes = rng.uniform(20, 200, (6, 2))
        boxes = np.hstack([boxes, boxes + rng.uniform(10, 30, (6, 2))])
        moved = boxes + rng.normal(0, 1.5, boxes.shape)
        if rotated:
            boxes, moved = (np.hstack([b[:, :2], [[30, 10, 0.3]] * 6]) for b in (boxes, moved))
        classes = rng.integers(0, 2, 6)
        found, true = Objects(moved, classes, rng.random(6)), Objects(boxes, classes)
        for metrics in (whole, parts[image % 2]):  # the third has none
            metrics.update([found], [true])
    expected = {name: float(value) for name, value in whole.compute().items()}
    assert 0.1 < expected["map"] < 0.9
    monkeypatch.setattr(detection, "gather", lambda own: [part._record for part in parts])
    found = {name: float(value) for name, value in parts[2].compute().items()}
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
