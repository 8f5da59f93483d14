"""The benchmark of whole backbones, on the smallest of them."""

import json

import pytest
import torch
from benchmarks.inference import main

from ringmoe.models import describe
from ringmoe.models.config import preset


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="measures on the GPU")
def test_nano_on_a_cpu(monkeypatch, tmp_path):
    out, threads = tmp_path / "nano.json", torch.get_num_threads()
    words = "inference --presets nano --batches 1 2 --repeats 1 --threads 1 --dtype float32 --out"
    monkeypatch.setattr("sys.argv", [*words.split(), str(out)])
    try:
        main()
    finally:
        torch.set_num_threads(threads)
    rows = json.loads(out.read_text())["rows"]
    assert [(row["model"], row["batch"]) for row in rows] == [
        ("nano", 1),
        ("nano", 2),
        ("nano, dense", 1),
        ("nano, dense", 2),
    ]
    assert rows[0]["parameters"] == describe(preset("nano"))["parameters"]["total"]
    for row in rows:
        assert row["images_per_s"] == pytest.approx(1e3 * row["batch"] / row["milliseconds"])
    assert 1 / 4 <= rows[0]["busiest_expert"] <= 1
    assert rows[2]["busiest_expert"] is None
