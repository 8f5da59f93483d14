"""Statistics against sums taken token by token in NumPy, and samples that are uniform."""

import dataclasses
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf
from scipy.stats import chi2

from ringmoe.archive import Source, ingest
from ringmoe.errors import ConfigError, StatisticsError, WriteError
from ringmoe.models import ModelConfig, RingMoE, save_model
from ringmoe.observation import Observation
from ringmoe.pruning.calibrate import calibrate, collect
from ringmoe.pruning.fingerprint import fingerprint
from ringmoe.pruning.measuring import TokenSample
from ringmoe.pruning.statistics import Statistics, load_statistics, statistics_folder
from ringmoe.scenes import write_raster

CONFIG = ModelConfig(
    image_size=32,
    embed_dim=16,
    depths=(1, 1),
    num_heads=(1, 2),
    window_size=4,
    mlp_ratio=2.0,
    modalities=("optical", "sar_amplitude"),
    specialized_experts=2,
    collaborative_experts=3,
)
CHANNELS = {"optical": ("red", "green", "blue"), "sar_amplitude": ("VV", "VH")}


def small_model(config=CONFIG):
    """In float64, so that no choice hangs on rounding; routers large enough to have opinions."""
    model = RingMoE(config, torch.Generator().manual_seed(1)).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("router.weight"):
                weight.normal_(0, 0.5, generator=generator)
            elif ".ffn." in name and name.endswith(("b1", "b2", "bias")):
                weight.normal_(0, 0.3, generator=generator)
    return model


def images(modality, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, len(CHANNELS[modality]), 32, 32, generator=generator).double()
    return Observation(values, modality, CHANNELS[modality])


def batches(*sizes):
    """The same five images of each modality, in batches of these sizes."""
    whole = {modality: images(modality, 5).images for modality in CHANNELS}
    assert sum(sizes) == 5
    parts = {modality: values.split(sizes) for modality, values in whole.items()}
    return [
        [Observation(parts[m][number], m, CHANNELS[m]) for m in CHANNELS]
        for number in range(len(sizes))
    ]


def layer_inputs(model, observations):
    """What enters each block's FFN, by modality, as NumPy."""
    found = []

    def remember(_, args, __):
        x, spans = args[0], args[1]
        parts = x.split([length for _, length in spans])
        found.append(
            {model.config.modalities[m]: p.numpy() for (m, _), p in zip(spans, parts, strict=True)}
        )

    hooks = [block.ffn.register_forward_hook(remember) for block in model.blocks()]
    with torch.no_grad():
        model(observations)
    for hook in hooks:
        hook.remove()
    return found


def gelu(h):
    return h * (1 + erf(h / np.sqrt(2))) / 2


def by_token(model, block, modality, tokens):
    """The four tables of one block and modality, one token at a time.

    A branch is its router's rows W, its experts, and which of them are there: softmax(W x) over all
    rows, the most probable of those there, its probability the gate (1 where the gate is "unit").
    """
    config, ffn = model.config, model.blocks()[block].ffn
    weights = {name: w.detach().double().numpy() for name, w in ffn.state_dict().items()}
    stack = [weights.get(f"experts.{name}") for name in ("w1", "b1", "w2", "b2")]
    own = config.modalities.index(modality) * config.specialized_experts
    first = len(config.modalities) * config.specialized_experts
    fc1, fc2 = weights["shared.fc1.weight"].T, weights["shared.fc2.weight"].T
    shared = [[fc1], [weights["shared.fc1.bias"]], [fc2], [weights["shared.fc2.bias"]]]
    branches = {"shared": (None, [0], shared)}
    if config.specialized_experts:
        rows = slice(own, own + config.specialized_experts)
        kept = list(range(config.specialized_experts))
        branches["specialized"] = (weights["router.weight"][rows], kept, [t[rows] for t in stack])
    if config.kept_in(block):
        rows = weights["router.weight"][first:]
        branches["collaborative"] = (rows, list(config.kept_in(block)), [t[first:] for t in stack])
    found = {}
    for branch, (router, kept, (w1, b1, w2, b2)) in branches.items():
        tables = {name: np.zeros(len(kept)) for name in ("frequency", "gate_mass", "energy")}
        tables["unit_energy"] = np.zeros((len(kept), w1[0].shape[1]))
        for x in tokens:
            gate, e = 1.0, 0
            if router is not None:
                p = np.exp(router @ x - (router @ x).max())
                p /= p.sum()
                e = int(np.argmax(p[kept]))
                gate = p[kept[e]] if config.gate == "softmax" else 1.0
            activation = gelu(x @ w1[e] + b1[e])
            tables["frequency"][e] += 1
            tables["gate_mass"][e] += gate
            tables["energy"][e] += np.sum((gate * (activation @ w2[e] + b2[e])) ** 2)
            for unit, a in enumerate(activation):
                tables["unit_energy"][e, unit] += np.sum((gate * a * w2[e][unit]) ** 2)
        found[branch] = {name: table / len(tokens) for name, table in tables.items()}
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gate": "unit"},
        {"kept_experts": ((0, 2), ())},
        {"specialized_experts": 0},
        {"specialized_experts": 0, "collaborative_experts": 0},
    ],
    ids=["full", "unit gate", "pruned", "collaborative alone", "dense"],
)
def test_tables_are_those_summed_token_by_token(changes):
    """Of 64 and 16 tokens an image, in float64: equal to 1e-10."""
    model = small_model(CONFIG.replace(**changes))
    (observations,) = batches(5)
    observations = [dataclasses.replace(o, images=o.images[:2]) for o in observations]
    statistics = collect(model, [observations])
    inputs = layer_inputs(model, observations)
    for block, layer in enumerate(statistics.layers):
        assert layer.tokens.tolist() == [2 * 64 // 4**block] * 2
        for row, modality in enumerate(layer.modalities):
            truth = by_token(model, block, modality, inputs[block][modality])
            assert set(layer.energy) == set(truth)
            for branch, tables in truth.items():
                if branch == "shared":
                    del tables["frequency"], tables["gate_mass"]
                for name, table in tables.items():
                    measured = getattr(layer, name)[branch][row]
                    np.testing.assert_allclose(measured, table, rtol=1e-10, atol=1e-14)


def test_a_full_model_uses_all_its_experts_in_these_tests():
    """Else the test above would compare zeros with zeros."""
    layer = collect(small_model(), batches(5)).layers[0]
    assert all((table > 0.01).sum() >= 4 for table in layer.frequency.values())


@settings(max_examples=3)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5).filter(lambda s: sum(s) == 5))
def test_how_images_are_batched_does_not_matter(sizes):
    """Tables and samples alike; in every branch the frequencies of a modality sum to 1."""
    model = small_model()
    one, other = collect(model, batches(5), samples=40), collect(model, batches(*sizes), samples=40)
    assert one.images == other.images == {"optical": 5, "sar_amplitude": 5}
    for a, b in zip(one.layers, other.layers, strict=True):
        for name in ("frequency", "gate_mass", "energy", "unit_energy", "inputs"):
            for key, table in getattr(a, name).items():
                torch.testing.assert_close(table, getattr(b, name)[key], rtol=1e-6, atol=1e-12)
        for table in a.frequency.values():
            torch.testing.assert_close(table.sum(1), torch.ones(2).double(), rtol=1e-12, atol=0)


def test_memory_does_not_grow_with_the_number_of_images():
    """Batches come one by one, and none but the last is kept: of twelve no more than two are there
    at once, that which is measured and that which comes. What is kept of all is as large as of one.
    """
    alive: weakref.WeakSet[Observation] = weakref.WeakSet()
    most = 0

    def stream(count):
        nonlocal most
        for seed in range(count):
            batch = [images("optical", 4, seed)]
            alive.add(batch[0])
            most = max(most, len(alive))
            yield batch

    def size(found):
        tables = [table for layer in found.layers for table in vars(layer).values()]
        parts = [part for table in tables if isinstance(table, dict) for part in table.values()]
        return sum(part.numel() for part in parts)

    model = small_model()
    one, twelve = (collect(model, stream(count), samples=50) for count in (1, 12))
    assert 1 <= most <= 2
    assert twelve.images == {"optical": 48}
    assert size(one) == size(twelve)


def test_samples_are_input_tokens_of_the_layer():
    """Fewer tokens than asked for: all of them, each once, in random order."""
    model = small_model()
    (observations,) = batches(5)
    statistics = collect(model, [observations], samples=100)
    inputs = layer_inputs(model, observations)
    for layer, expected, count in zip(statistics.layers, inputs, (100, 80), strict=True):
        for modality, rows in layer.inputs.items():
            assert len(rows) == count
            distance = torch.cdist(
                rows,
                torch.from_numpy(expected[modality]),
                compute_mode="donot_use_mm_for_euclid_dist",  # the other way loses half the digits
            )
            nearest, place = distance.min(1)
            assert nearest.max() < 1e-9
            assert len(set(place.tolist())) == count
            assert place.tolist() != sorted(place.tolist())


def test_every_token_is_as_likely_to_be_sampled():
    """Chi-square over 30 places of a stream, 10 kept, 600 seeds.

    Counts of a place have the variance of a Bernoulli draw with p = 1/3; that exactly 10 are kept
    makes them correlated, which the factor (n - 1) / n of a sample without replacement corrects.
    """
    places = torch.arange(30.0)[:, None]
    counts = np.zeros(30)
    for seed in range(600):
        sample = TokenSample(10, seed, "optical")
        for part in places.split([1, 17, 12]):
            sample.add(part)
        rows = sample.rows[:, 0].long().numpy()
        assert len(set(rows.tolist())) == 10
        counts[rows] += 1
    p = 1 / 3
    statistic = np.sum((counts - 600 * p) ** 2) / (600 * p * (1 - p)) * 29 / 30
    assert chi2.ppf(0.001, 29) < statistic < chi2.ppf(0.999, 29)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 12))
def test_a_sample_does_not_depend_on_how_its_stream_is_cut(sizes, size):
    stream = torch.arange(float(sum(sizes)))[:, None]
    whole, parts = TokenSample(size, 3), TokenSample(size, 3)
    whole.add(stream)
    for part in stream.split(sizes):
        parts.add(part)
    assert torch.equal(whole.rows, parts.rows)
    assert len(whole.rows) == min(size, len(stream))


def test_other_seeds_and_layers_sample_other_places():
    places = torch.arange(100.0)[:, None]
    drawn = set()
    for key in ((0, 0, "optical"), (1, 0, "optical"), (0, 1, "optical"), (0, 0, "sar_complex")):
        sample = TokenSample(20, *key)
        sample.add(places)
        drawn.add(tuple(sample.rows[:, 0].tolist()))
    assert len(drawn) == 4


def test_what_was_not_seen_is_not_in_the_statistics():
    model = small_model()
    statistics = collect(model, [[images("sar_amplitude", 2)]])
    assert statistics.modalities == ("sar_amplitude",) and statistics.images == {"sar_amplitude": 2}
    assert statistics.layers[0].energy["collaborative"].shape == (1, 3)
    with pytest.raises(StatisticsError, match="no images"):
        collect(model, [])
    with pytest.raises(ConfigError, match="samples must be at least 1"):
        collect(model, batches(5), samples=0)


def test_a_model_is_left_as_it_was():
    """In its own mode, without hooks, also where a batch fails."""
    model = small_model().train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    collect(model, batches(5))
    with pytest.raises(ConfigError):
        collect(
            model,
            [[Observation(torch.zeros(1, 3, 32, 32), "multispectral", ("B02", "B03", "B04"))]],
        )
    assert model.training
    assert not any(block.ffn._forward_hooks for block in model.blocks())
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())


def test_values_that_are_not_finite_are_refused():
    model = small_model()
    with torch.no_grad():
        model.blocks()[1].ffn.experts.w1[4].fill_(torch.nan)
    with pytest.raises(StatisticsError, match="collaborative experts of block 1 is not finite"):
        collect(model, batches(5))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Twelve RGB tiles and no other modality."""
    folder = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(0)
    for number in range(3):
        values = rng.integers(1, 255, (3, 96, 96), dtype=np.uint8)
        write_raster(folder / "rgb" / f"{number}.tif", values)
    ingest([Source(("rgb",), "rgb-dn8")], folder / "archive", tile_size=48, root=folder)
    return folder / "archive"


def test_calibrating_writes_beside_the_checkpoint(tmp_path, archive, caplog):
    """The same at every call, though only the archive's modality of the checkpoint is loaded."""
    save_model(small_model().float(), tmp_path / "model")
    done = []
    statistics = calibrate(
        tmp_path / "model",
        archive,
        images=10,
        batch_size=4,
        samples=50,
        progress=lambda batch, of: done.append((batch, of)),
    )
    assert "not measured, the archive has no tiles: sar_amplitude" in caplog.text
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert statistics.images == {"optical": 12}
    assert statistics.fingerprint == fingerprint(tmp_path / "model")
    read = load_statistics(tmp_path / "model")
    again = calibrate(
        tmp_path / "model", archive, images=10, batch_size=4, samples=50, out=tmp_path / "again"
    )
    assert (tmp_path / "model.statistics") == statistics_folder(tmp_path / "model")
    for a, b, c in zip(statistics.layers, read.layers, again.layers, strict=True):
        for name in ("gate_mass", "unit_energy", "inputs"):
            for key, table in getattr(a, name).items():
                assert torch.equal(table, getattr(b, name)[key])
                assert torch.equal(table, getattr(c, name)[key])
    assert Statistics.load(tmp_path / "again").images == {"optical": 12}


def test_what_cannot_be_calibrated_is_said_before_the_pass(tmp_path, archive):
    save_model(small_model(CONFIG.replace(modalities=("sar_amplitude",))).float(), tmp_path / "sar")
    save_model(small_model().float(), tmp_path / "model")
    with pytest.raises(StatisticsError, match="no train tiles of sar_amplitude"):
        calibrate(tmp_path / "sar", archive)
    with pytest.raises(ConfigError, match="no train tiles of sar_amplitude"):
        calibrate(tmp_path / "model", archive, modalities=["sar_amplitude"])
    with pytest.raises(WriteError, match="holds more than statistics"):
        calibrate(tmp_path / "model", archive, out=tmp_path / "sar")
    for wrong in ({"images": 0}, {"images": -5}, {"samples": 0}):
        (name,) = wrong
        with pytest.raises(ConfigError, match=f"{name} must be at least 1"):
            calibrate(tmp_path / "model", archive, **wrong)
