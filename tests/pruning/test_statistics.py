"""Statistics on disk, and telling whose they are."""

import json
import re

import numpy as np
import pytest
import torch

from ringmoe.errors import StatisticsError, WriteError
from ringmoe.models import ModelConfig, RingMoE, load_model, save_model
from ringmoe.pruning.fingerprint import fingerprint
from ringmoe.pruning.layer_statistics import LayerStatistics
from ringmoe.pruning.statistics import Statistics, load_statistics, statistics_folder

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


def model(seed=0, config=CONFIG):
    return RingMoE(config, torch.Generator().manual_seed(seed))


def made_up(config=CONFIG, mark="0" * 32):
    """Random numbers in the shapes that statistics have."""
    generator = torch.Generator().manual_seed(7)

    def draw(*shape, dtype=torch.float64):
        return torch.rand(*shape, generator=generator, dtype=dtype)

    modalities, layers = config.modalities, []
    for width in (
        w for w, depth in zip(config.widths, config.depths, strict=True) for _ in range(depth)
    ):
        sizes = {"specialized": config.specialized_experts}
        sizes |= {"collaborative": config.collaborative_experts}
        parts = sizes | {"shared": 1}
        layers.append(
            LayerStatistics(
                modalities=modalities,
                tokens=torch.tensor([5, 7][: len(modalities)]),
                frequency={b: draw(len(modalities), n) for b, n in sizes.items()},
                gate_mass={b: draw(len(modalities), n) for b, n in sizes.items()},
                energy={p: draw(len(modalities), n) for p, n in parts.items()},
                unit_energy={p: draw(len(modalities), n, 2 * width) for p, n in parts.items()},
                inputs={m: draw(5, width, dtype=torch.float32) for m in modalities},
            )
        )
    return Statistics(config, mark, tuple(layers), {m: i + 1 for i, m in enumerate(modalities)})


def assert_equal(a, b):
    assert (a.config, a.fingerprint, a.images) == (b.config, b.fingerprint, b.images)
    assert len(a.layers) == len(b.layers)
    for one, other in zip(a.layers, b.layers, strict=True):
        assert one.modalities == other.modalities
        assert torch.equal(one.tokens, other.tokens)
        for name in ("frequency", "gate_mass", "energy", "unit_energy", "inputs"):
            left, right = getattr(one, name), getattr(other, name)
            assert list(left) == list(right), name
            for key in left:
                assert left[key].dtype == right[key].dtype
                assert torch.equal(left[key], right[key]), (name, key)


def test_what_is_saved_is_what_is_read(tmp_path):
    """To the bit: JSON keeps all 17 digits of a float64."""
    statistics = made_up()
    folder = statistics.save(tmp_path / "model.statistics")
    assert_equal(Statistics.load(folder), statistics)
    assert sorted(f.name for f in folder.iterdir()) == ["statistics.json", "statistics.safetensors"]
    numbers = json.loads((folder / "statistics.json").read_text())
    expected = statistics.layers[1].gate_mass["collaborative"][1].tolist()
    assert numbers["layers"][1]["sar_amplitude"]["gate_mass"]["collaborative"] == expected


def test_some_modalities_are_those_rows(tmp_path):
    """`of` in another order, and reading only some, both give the rows of those modalities."""
    statistics = made_up()
    turned = statistics.of(("sar_amplitude", "optical"))
    layer, before = turned.layers[0], statistics.layers[0]
    for name in ("frequency", "gate_mass", "energy", "unit_energy"):
        for part, table in getattr(layer, name).items():
            assert torch.equal(table, getattr(before, name)[part].flip(0))
    assert list(layer.inputs) == ["sar_amplitude", "optical"]
    assert layer.tokens.tolist() == [7, 5]
    folder = statistics.save(tmp_path / "s")
    one = Statistics.load(folder, ["sar_amplitude"])
    assert_equal(one, statistics.of(["sar_amplitude"]))
    assert one.config.modalities == ("sar_amplitude",) and one.images == {"sar_amplitude": 2}
    with pytest.raises(StatisticsError, match="not measured on 'multispectral', only on optical"):
        statistics.of(["multispectral"])
    with pytest.raises(StatisticsError, match="not measured on 'multispectral'"):
        Statistics.load(folder, ["multispectral"])


def test_saving_replaces_statistics_and_nothing_else(tmp_path):
    folder = tmp_path / "s"
    made_up(mark="1" * 32).save(folder)
    made_up(mark="2" * 32).save(folder)
    assert Statistics.load(folder).fingerprint == "2" * 32
    save_model(model(), tmp_path / "model")
    with pytest.raises(WriteError, match=r"model holds more than statistics \(config.json"):
        made_up().save(tmp_path / "model")
    load_model(tmp_path / "model")


@pytest.mark.parametrize("shard_bytes", ["5GB", "20KB"])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_checkpoint_has_the_fingerprint_of_its_model(tmp_path, kind, shard_bytes):
    """In one file or in shards; and when it is read into a wider type."""
    one = model().to(kind)
    save_model(one, tmp_path / "model", max_shard_bytes=shard_bytes)
    assert fingerprint(tmp_path / "model") == fingerprint(one)
    assert fingerprint(load_model(tmp_path / "model", dtype=torch.float32)) == fingerprint(one)


def test_other_weights_have_another_fingerprint():
    """Another seed; one step of training, which moves every weight; another shape."""
    one = model()
    marks = [fingerprint(one), fingerprint(model(seed=1))]
    marks.append(fingerprint(model(config=CONFIG.replace(specialized_experts=1))))
    with torch.no_grad():
        for weight in one.parameters():
            weight.mul_(1 + 1e-6)
    marks.append(fingerprint(one))
    assert len(set(marks)) == len(marks)
    assert re.fullmatch("[0-9a-f]{32}", marks[0])
    assert fingerprint(model()) == marks[0]


def test_a_fingerprint_reads_headers_and_a_few_bytes(tmp_path, monkeypatch):
    """Eight values a tensor: of 1.5 MB of weights, under 32 bytes a tensor are read.

    Counted where files are read: what is beyond the headers is one value at a time.
    """
    one = model()
    save_model(one, tmp_path / "model")
    read = []
    original = open(tmp_path / "model" / "config.json", "rb", buffering=0).__class__  # noqa: SIM115
    from ringmoe.pruning import fingerprint as module

    class Counting(original):
        def read(self, size=-1):
            read.append(size)
            return super().read(size)

    opened = type(tmp_path).open

    def counted(path, mode="r", buffering=-1, **rest):
        if mode == "rb" and buffering == 0:
            return Counting(path)
        return opened(path, mode, buffering, **rest)

    monkeypatch.setattr(type(tmp_path), "open", counted)
    module.fingerprint(tmp_path / "model")
    values = [size for size in read if size == 4]
    assert 0 < len(values) <= 8 * len(one.state_dict())
    assert len(read) == len(values) + 2  # and a header's length and the header


def test_statistics_of_another_checkpoint_are_refused(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    save_model(model(seed=0), first)
    save_model(model(seed=1), second)
    assert statistics_folder(first) == tmp_path / "first.statistics"
    made_up(mark=fingerprint(first)).save(statistics_folder(first))
    assert load_statistics(first).fingerprint == fingerprint(model(seed=0))
    assert load_statistics(first, modalities=["optical"]).modalities == ("optical",)
    with pytest.raises(StatisticsError) as refused:
        load_statistics(second, statistics_folder(first))
    assert f"`ringmoe prune {second} --calibrate ARCHIVE`" in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(StatisticsError, match=r"no statistics in .*second\.statistics: measure"):
        load_statistics(second)
    with pytest.raises(StatisticsError, match="other weights"):
        load_statistics(first).check_measured_on(model(seed=1))


@pytest.mark.parametrize("damage", ["cut", "lost", "json", "format", "block", "blocks"])
def test_damaged_statistics_are_one_line(tmp_path, damage):
    folder = made_up().save(tmp_path / "s")
    numbers, arrays = folder / "statistics.json", folder / "statistics.safetensors"
    if damage == "cut":
        arrays.write_bytes(arrays.read_bytes()[:-100])
    elif damage == "lost":
        arrays.unlink()
    elif damage == "json":
        numbers.write_text(numbers.read_text()[:-100])
    else:
        values = json.loads(numbers.read_text())
        if damage == "format":
            values["format"] = 9
        elif damage == "blocks":
            values["layers"].pop()
        else:
            del values["layers"][0]["optical"]["energy"]["shared"]
            del values["layers"][0]["optical"]["tokens"]
        numbers.write_text(json.dumps(values))
    with pytest.raises(StatisticsError, match="measure anew") as refused:
        Statistics.load(folder)
    assert "\n" not in str(refused.value) and str(folder) in str(refused.value)


def test_shares_have_a_place_for_every_expert():
    """Frequencies by branch and modality; an expert that was pruned is NaN in its place."""
    config = CONFIG.replace(kept_experts=((0, 2), ()))
    whole = made_up(config)
    first, second = whole.layers
    for tables in (first.frequency, first.gate_mass, first.energy):
        tables["collaborative"] = tables["collaborative"][:, [0, 2]]
    for tables in (second.frequency, second.gate_mass, second.energy):
        del tables["collaborative"]
    shares = whole.shares()
    assert list(shares) == ["specialized", "collaborative"]
    assert list(shares["collaborative"]) == ["optical", "sar_amplitude"]
    table = shares["collaborative"]["sar_amplitude"]
    a, b = first.frequency["collaborative"][1].tolist()
    assert np.array_equal(table, [[a, np.nan, b], [np.nan] * 3], equal_nan=True)
    due = [layer.frequency["specialized"][0].tolist() for layer in whole.layers]
    assert shares["specialized"]["optical"].tolist() == due
    assert made_up(CONFIG.replace(specialized_experts=0)).shares().keys() == {"collaborative"}
