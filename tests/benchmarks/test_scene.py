"""The benchmark of mapping: its figures are what they say, at a tiny size."""

import argparse
import time

import numpy as np
import pytest
from tests.tasks.objects import make_model

from benchmarks import scene as benchmark
from benchmarks import seams
from ringmoe.deployment.windows import lay_tiles
from ringmoe.scenes import write_raster
from ringmoe.tasks import Segmentation, save_task


@pytest.fixture
def small(tmp_path):
    return benchmark.make_scene(tmp_path / "scene.tif", 150)


def test_the_emulated_device_takes_its_time(small):
    """9 tiles, twice, at 200 a second: 90 ms, so the rate is at most 200, and near it."""
    model, held = benchmark.EmulatedDevice(64), benchmark.tiles_in_memory(small, 64)
    assert sum(batch.batch_size for batch in held) == 9
    start = time.perf_counter()
    rate = benchmark.own_rate(model, held * 2)
    assert time.perf_counter() - start >= 0.09
    assert 100 < rate <= 200


def test_shares_are_of_the_own_rate(small, tmp_path, monkeypatch):
    """The best of two turns each: 100 of (50, 100) alone, 60 of (60, 40) mapped."""
    own, mapped = iter([50.0, 100.0]), iter([60.0, 40.0])
    monkeypatch.setattr(benchmark, "own_rate", lambda *_: next(own))
    monkeypatch.setattr(benchmark, "mapped_rate", lambda *_: next(mapped))
    found = benchmark.measure_rates(
        benchmark.EmulatedDevice(64), small, 64, 2, tmp_path, rival=False
    )
    assert found["tiles"] == 9 and found["shares"] == {"mapped": 0.6}


def test_seams_are_told_from_slopes():
    """Tiles of 64 every 48 pixels, 160 columns: a slope has no seam; a step at each line has."""
    slope = np.tile(np.arange(160.0), (4, 1))
    assert benchmark.seam_ratio(slope, 64, 16) == pytest.approx(1)
    starts = lay_tiles(160, 64, 16).starts
    lines = sorted({*(s - 1 for s in starts[1:]), *(s + 63 for s in starts[:-1])})
    stepped = slope + 9 * (np.arange(160)[:, None] > np.array(lines)).sum(1)
    assert benchmark.seam_ratio(stepped, 64, 16) == pytest.approx(10)


@pytest.mark.slow
def test_seams_of_a_trained_model(tmp_path):
    """A random one stands for it: all figures are there, and a tile is what it was saved with."""
    model = make_model(Segmentation(classes=("a", "b"), channels=8))
    save_task(model, tmp_path / "model", tile_size=64)
    path = tmp_path / "scene.tif"
    values = np.random.default_rng(0).integers(0, 256, (3, 150, 170), dtype=np.uint8)
    write_raster(path, values, cog=False)
    found = seams.measure(tmp_path, str(path), tmp_path)
    assert (found["tile_size"], found["scene"]) == (64, [150, 170])
    assert found["class"] in ("a", "b") and found["seam_ratio"]["blended"] > 0
    assert 0 <= found["tiles_of_twice_the_size"]["other_class"] <= 1


@pytest.mark.slow
def test_all_of_it_runs(tmp_path):
    options = argparse.Namespace(sizes=[150], nano_size=200, tile_size=64, repeats=1)
    found = benchmark.measure(options, tmp_path)
    (row,) = found["emulated"]
    assert 0 < row["shares"]["mapped"] <= 1 and found["nano"]["shares"]["mapped"] > 0
    assert 0 < found["gb_over_the_process"][150] < 1
    assert found["seams"]["blended"] > 0 and found["tile_sizes"]["difference"] > 0
    assert "emulated" in benchmark.table(found)
