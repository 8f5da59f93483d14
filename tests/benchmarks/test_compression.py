"""The uncertainty of the price of pruning."""

import json

import numpy as np
import pytest
from benchmarks.bootstrap import paired_difference
from benchmarks.compression_table import table


@pytest.mark.slow
def test_interval_of_one_seed_is_that_of_a_mean():
    """Over images alone the bootstrap's deviation is the standard error, d.std() / sqrt(N); the
    interval of a normal mean reaches 1.96 of them to both sides."""
    generator = np.random.default_rng(3)
    ours, others = generator.random((1, 2000)) < 0.7, generator.random((1, 2000)) < 0.6
    found = paired_difference(ours, others)
    each = ours[0].astype(float) - others[0]
    half = 1.96 * each.std() / len(each) ** 0.5
    assert found.mean == pytest.approx(each.mean())
    assert found.low == pytest.approx(found.mean - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.1 * half)
    assert found.resolved


def test_seeds_that_disagree_leave_a_difference_unresolved():
    """Two seeds 20 points better and two 20 worse: images say nothing of what a fifth would do."""
    others = np.zeros((4, 500))
    ours = np.concatenate([np.full((2, 500), 0.2), np.full((2, 500), -0.2)])
    found = paired_difference(ours, others)
    assert found.mean == pytest.approx(0)
    assert found.low < -0.15
    assert found.high > 0.15
    assert not found.resolved


def test_same_model_differs_by_nothing():
    hits = np.random.default_rng(0).random((3, 100)) < 0.5
    found = paired_difference(hits, hits)
    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_needs_seeds_and_images():
    with pytest.raises(ValueError, match="seeds, images"):
        paired_difference(np.zeros(5), np.zeros(5))


def test_table_reads_hits_back(tmp_path):
    """One seed, five images, three right against four: 60 less 80 per cent."""
    for method, hits in (("full", [1, 1, 1, 1, 0]), ("KS", [1, 0, 1, 1, 0])):
        probe = {
            "accuracy": np.mean(hits),
            "hits": np.packbits(np.array(hits, bool)).tobytes().hex(),
        }
        result = {
            "parameters": 2_000_000,
            "bytes": 8_000_000,
            "flops": 1e9,
            "masked_loss": 0.5,
            "linear": probe,
            "knn": probe,
            "test_images": 5,
        }
        cell = {"modality": "optical", "method": method, "seed": 0, "moment": "before"}
        path = tmp_path / "optical" / method / "seed0-before.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(cell | {"result": result}))
    row = next(line for line in table(tmp_path).splitlines() if line.startswith("| KS"))
    assert "| 2.00 | 8.0 | 1.00 |" in row
    assert "| 60.0 (1) | -20.0 [" in row
