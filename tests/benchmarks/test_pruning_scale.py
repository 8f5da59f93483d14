"""Pruning beside a plain copy: the copy is of as many bytes as pruning reads, and nothing stays."""

import shutil

import pytest
from benchmarks.pruning_scale import copy_plainly, measure, write_random_checkpoint
from tests.pruning.samples import CONFIG

from ringmoe.models import PRESETS, plan_load


def test_the_copy_is_of_the_first_bytes_of_the_shards(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.pruning_scale.MAX_SHARD_BYTES", 60_000)
    source, copy = write_random_checkpoint(tmp_path / "full", CONFIG), tmp_path / "copy"
    shards = sorted(source.glob("*.safetensors"))
    wanted = shards[0].stat().st_size + 1000
    monkeypatch.setattr(shutil, "rmtree", lambda folder: None)  # else it would be gone
    assert copy_plainly(source, copy, wanted) > 0
    whole, part, *rest = sorted(copy.iterdir())
    assert whole.read_bytes() == shards[0].read_bytes()
    assert part.read_bytes() == shards[1].read_bytes()[:1000]
    assert not any(file.stat().st_size for file in rest)


@pytest.mark.slow
def test_a_measurement_says_what_was_read_and_leaves_nothing(tmp_path):
    found = measure("nano", tmp_path, "sar_amplitude", ("submodel",))
    run = found["methods"]["submodel"]
    write_random_checkpoint(tmp_path / "again", PRESETS["nano"])
    plan = plan_load(tmp_path / "again", ["sar_amplitude"])
    assert found["copy"]["bytes"] == run["bytes_read"] == plan.bytes < plan.stored_bytes
    assert run["seconds_over_copy"] == run["seconds"] / found["copy"]["seconds"]
    assert run["peak_bytes"] >= run["peak_bytes_before"] > 50e6  # Python and torch at least
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
