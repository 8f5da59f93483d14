"""Plans: budgets as text, the front against brute force, sizes against files, choices."""

import dataclasses
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pruning.samples import make_model

from ringmoe.errors import ConfigError, StatisticsError
from ringmoe.models import PRESETS, RingMoE, describe, load_model, plan_load, save_model
from ringmoe.observation import Observation
from ringmoe.pruning import (
    Budget,
    Fidelity,
    choose,
    collect,
    pareto_front,
    plain,
    plan_pruning,
    prune,
    quantise,
)
from ringmoe.pruning.planner import in_8_bits

pytestmark = pytest.mark.slow  # some seconds in all

MODALITY = "sar_amplitude"
AMPLE = Budget("bytes", 1e12)


@pytest.fixture(scope="module")
def model():
    return make_model(torch.float32)


@pytest.fixture(scope="module")
def tiles():
    images = torch.randn(8, 2, 32, 32, generator=torch.Generator().manual_seed(1))
    return [Observation(images, MODALITY, ("VV", "VH"))]


@pytest.fixture(scope="module")
def statistics(model, tiles):
    return collect(model, [tiles])


@pytest.fixture(scope="module")
def measured(model, statistics, tiles):
    return plan_pruning(model, AMPLE, [MODALITY], statistics, tiles)


@pytest.mark.parametrize(
    ("text", "kind", "limit"),
    [
        ("400MB", "bytes", 400e6),
        (" 1.5 GiB ", "bytes", 1.5 * 2**30),
        ("12kb", "bytes", 12e3),
        ("1.1B", "parameters", 1.1e9),
        ("300M", "parameters", 300e6),
        ("300m", "parameters", 300e6),
        ("50ms", "latency", 0.05),
        (".5s", "latency", 0.5),
    ],
)
def test_budgets(text, kind, limit):
    found = Budget.parse(text)
    assert (found.kind, found.limit) == (kind, pytest.approx(limit))


@pytest.mark.parametrize("text", ["", "400", "MB", "-3MB", "0MB", "1,1B", "4 parsecs", "nanMB"])
def test_no_budgets(text):
    with pytest.raises(ConfigError, match=r"write 400MB .* 1.1B .* 50ms"):
        Budget.parse(text)


def test_costs_in_words():
    words = {
        ("bytes", 36_130_000): "36.13 MB",
        ("parameters", 1_061_000_000): "1.061B parameters",
        ("parameters", 300): "300 parameters",
        ("latency", 0.05): "50 ms",
    }
    for (kind, cost), text in words.items():
        assert Budget(kind, 1).words(cost) == text


small = st.integers(0, 4).map(float)  # few values: many ties


@given(st.lists(st.tuples(small, small), max_size=12))
def test_the_front_is_what_nothing_dominates(points):
    """Brute force by the definition, point against point."""
    found = pareto_front([cost for cost, _ in points], [value for _, value in points])
    due = [
        not any(c <= cost and v >= value and (c < cost or v > value) for c, v in points)
        for cost, value in points
    ]
    assert found == due


@pytest.mark.slow
def test_sizes_are_those_of_the_files(model, statistics, tmp_path):
    """Each candidate made from disk to disk, and what its files hold counted."""
    checkpoint = save_model(model, tmp_path / "model")
    for candidate in plan_pruning(checkpoint, AMPLE, [MODALITY], statistics, dtype=torch.bfloat16):
        out = tmp_path / "out"
        prune(checkpoint, out, candidate.method, [MODALITY], statistics, torch.bfloat16)
        if candidate.int8:
            quantise(out, out)
        plan = plan_load(out)
        assert plan.stored_bytes == candidate.bytes, candidate.words
        assert (plan.parameters, plan.config) == (candidate.parameters, candidate.config)
        assert describe(plan.config)["flops_per_image"]["total"] == candidate.flops


def test_what_is_tried(measured):
    words = [candidate.words for candidate in measured]
    assert words[:2] == ["submodel", "submodel --int8"]
    assert {"ep --keep 0.25 --scope layer", "function-aware --int8"} <= {*words}
    assert {c.method.name for c in measured} == {
        "submodel", "ep", "function-aware", "neurons", "ka", "kc", "ks"
    }  # fmt: skip
    assert len(set(words)) == len(words)
    assert all(c.latency is not None and 0 < c.latency < 60 for c in measured)


def test_a_sub_model_is_the_model(measured):
    (full,) = [c for c in measured if c.words == "submodel"]
    assert full.fidelity == Fidelity(1, 1)
    assert choose(measured, AMPLE) is full
    (ka,) = [c for c in measured if c.words == "ka"]
    assert ka.fidelity.features < 0.99  # what was measured is not always the same


@given(data=st.data())
@settings(max_examples=50)
def test_the_choice_meets_the_budget_and_nothing_better_does(measured, data):
    kind = data.draw(st.sampled_from(["bytes", "parameters", "latency"]))
    costs = [getattr(candidate, kind) for candidate in measured]
    limit = data.draw(st.floats(min(costs), 1.1 * max(costs)))
    budget = Budget(kind, limit)
    found = choose(measured, budget)
    assert getattr(found, kind) <= limit
    for candidate, cost in zip(measured, costs, strict=True):
        assert cost > limit or candidate.fidelity.features <= found.fidelity.features
    (row,) = [row for row in plain(measured, budget, found) if row["chosen"]]
    assert row["meets"] and row["candidate"] == found.words


def test_a_budget_that_cannot_be_met_names_the_smallest(model, statistics, measured):
    least = min(measured, key=lambda c: c.bytes)
    expected = f"smallest is '{least.words}' with {AMPLE.words(least.bytes)}"
    with pytest.raises(ConfigError, match=re.escape(expected)):
        plan_pruning(model, Budget("bytes", 10), [MODALITY], statistics)
    with pytest.raises(ConfigError, match=r"smallest is 'submodel' .* instead of 3 there are"):
        plan_pruning(model, Budget("parameters", 10))
    with pytest.raises(ConfigError, match=r"budget of 0.001 ms: the smallest is .* ms"):
        choose(measured, Budget("latency", 1e-6))


def test_without_statistics_or_tiles_sizes_alone(model, tiles, caplog):
    caplog.set_level("INFO")
    found = plan_pruning(model, AMPLE, [MODALITY])
    assert [c.words for c in found if not c.int8] == ["submodel", "ka", "ks", "kc"]
    assert all(c.fidelity is None and c.latency is None for c in found)
    assert "sizes alone" in caplog.text and "without statistics: ep" in caplog.text
    by_words = {c.words: c for c in found}
    assert choose(found, AMPLE).words == "submodel"
    just_under = Budget("bytes", by_words["submodel"].bytes - 1)
    assert choose(found, just_under).words == "submodel --int8"  # rather than fewer weights
    caplog.clear()
    found = plan_pruning(model, AMPLE, [MODALITY], observations=tiles, memory=1000)
    assert all(c.fidelity is None for c in found) and "GB of memory" in caplog.text


def test_time_is_measured_without_tiles_but_not_without_memory(model):
    slow = Budget("latency", 60.0)
    found = plan_pruning(model, slow, [MODALITY])
    assert all(c.latency > 0 and c.fidelity is None and not c.int8 for c in found)
    with pytest.raises(ConfigError, match=r"has to be measured, but .* memory .*: give one"):
        plan_pruning(model, slow, [MODALITY], memory=1000)


def test_giant_is_planned_by_its_shape():
    """Sizes of docs/compression.md, of which the full model tells what is left of it."""
    with torch.device("meta"):
        giant = RingMoE(PRESETS["giant"])
    found = plan_pruning(giant, Budget.parse("1.1B"), ["optical"])
    sizes = {c.words: c.parameters for c in found}
    assert sizes.pop("submodel") == describe(giant.config)["parameters"]["sub_models"]["optical"]
    assert {name: round(size / 1e9, 3) for name, size in sizes.items()} == dict.fromkeys(
        ("ka", "ks", "kc"), 1.061
    )
    assert choose(found, Budget.parse("1.1B")).words == "ka"


def test_8_bits_are_those_that_are_loaded(model, tmp_path):
    due = load_model(quantise(model, tmp_path / "int8")).state_dict()
    found = in_8_bits(model).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in due.items())


def test_statistics_of_another_model(model, statistics, tiles):
    with pytest.raises(StatisticsError, match="measured on other weights"):
        plan_pruning(make_model(torch.float32, gate="unit"), AMPLE, [MODALITY],
                     dataclasses.replace(statistics, fingerprint="0" * 32))  # fmt: skip
