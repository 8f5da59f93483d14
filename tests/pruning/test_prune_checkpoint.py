"""Pruning from disk to disk: the weights of pruning in memory, in little memory, whole or not."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.pruning_scale import write_random_checkpoint
from huggingface_hub import load_torch_model
from safetensors import safe_open
from tests.conftest import ROOT
from tests.models.samples import observe
from tests.models.test_describe import parameters_by_hand
from tests.processes import PEAK_KIB
from tests.pruning.samples import CONFIG, frequencies_of, make_model

from ringmoe.errors import CheckpointError, ConfigError, StatisticsError, WriteError
from ringmoe.models import (
    PRESETS,
    RingMoE,
    default_card,
    hub,
    load_model,
    plan_load,
    save_model,
)
from ringmoe.models import shard_writer as writing
from ringmoe.models.shards import read_header
from ringmoe.pruning import (
    Averaging,
    Decomposition,
    ExpertPruning,
    FunctionAware,
    NeuronSelection,
    Statistics,
    SubModel,
    Summation,
    collect,
    prune,
    prune_model,
    quantise,
    statistics_folder,
)
from ringmoe.pruning.fingerprint import fingerprint

LIMIT = 60_000  # bytes: the sub-models below have several times as many
METHODS = {
    "submodel": SubModel(),
    "ep": ExpertPruning(0.5),
    "ep, global": ExpertPruning(0.25, "global"),
    "ks": Summation(),
    "ka": Averaging(),
    "kc": Decomposition(),
    "neurons": NeuronSelection(),
    "function-aware": FunctionAware(),
}


@pytest.fixture(scope="module")
def model() -> RingMoE:
    return make_model(torch.float32)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    """In many shards, with statistics beside it."""
    folder = save_model(model, tmp_path_factory.mktemp("prune") / "model", max_shard_bytes=LIMIT)
    measured(model).save(statistics_folder(folder))
    return folder


def measured(model: RingMoE) -> Statistics:
    """Measured on two images of each modality."""
    return collect(model, [[observe(modality, 2, (32, 32)) for modality in CONFIG.modalities]])


def equal(a: RingMoE, b: RingMoE) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return list(mine) == list(other) and all(
        t.dtype == other[n].dtype and torch.equal(t, other[n]) for n, t in mine.items()
    )


@pytest.mark.parametrize("name", METHODS)
def test_the_weights_are_those_of_pruning_in_memory(model, saved, tmp_path, name):
    done = []
    out = prune(
        saved,
        tmp_path / "out",
        METHODS[name],
        ["sar_amplitude"],
        progress=lambda *count: done.append(count),
        max_shard_bytes=LIMIT,
    )
    due = prune_model(model, METHODS[name], ["sar_amplitude"], measured(model))
    found = load_model(out)
    assert found.config == due.config
    assert equal(found, due)
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert "Pruned from model by " in (out / "model-card.md").read_text()


def test_several_modalities_in_another_order(model, saved, tmp_path):
    wanted = ["sar_amplitude", "optical"]
    out = prune(saved, tmp_path / "out", ExpertPruning(0.5), wanted)
    assert equal(load_model(out), prune_model(model, ExpertPruning(0.5), wanted, measured(model)))


def test_the_files_are_as_hugging_face_reads_them(saved, tmp_path):
    out = prune(saved, tmp_path / "out", SubModel(), ["optical"], max_shard_bytes=LIMIT)
    assert len(list(out.glob("model-*-of-*.safetensors"))) > 3
    other = RingMoE(CONFIG.replace(modalities=("optical",)))
    load_torch_model(other, out, strict=True)
    assert equal(other.eval(), load_model(saved, ["optical"]))
    for file in out.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            assert tensors.metadata() == {"format": "pt"}


@pytest.mark.parametrize("name", ["submodel", "ka"])
def test_another_type(saved, tmp_path, name):
    """Halved once, after the computation in float32."""
    out = prune(saved, tmp_path / "out", METHODS[name], ["optical"], dtype=torch.bfloat16)
    found = load_model(out)
    due = prune_model(load_model(saved), METHODS[name], ["optical"])
    assert equal(found, due.to(torch.bfloat16))


@pytest.mark.parametrize("name", ["submodel", "ka"])
def test_an_8_bit_checkpoint_becomes_floating(saved, tmp_path, name):
    quantise(saved, tmp_path / "int8")
    out = prune(tmp_path / "int8", tmp_path / "out", METHODS[name], ["optical"])
    due = prune_model(load_model(tmp_path / "int8"), METHODS[name], ["optical"])
    assert equal(load_model(out), due)


def test_values_of_many_types_in_one_file(tmp_path):
    """The widest first, as the library has it: each begins at a multiple of its size."""
    state = {
        "a": torch.randn(3).bfloat16(),
        "b": torch.randn(2, 5),
        "c": torch.randn(7, dtype=torch.float64),
        "d": torch.randn(0, 4),
        "e": torch.tensor(1.5).half(),
    }
    writing.write_shards(state, tmp_path, "1GB")
    file = tmp_path / "model.safetensors"
    with safe_open(file, framework="pt") as tensors:
        assert all(torch.equal(tensors.get_tensor(name), value) for name, value in state.items())
    for tensor in read_header(file).values():
        assert tensor.start % {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}[tensor.kind] == 0


def test_over_the_checkpoint_itself(model, tmp_path):
    folder = save_model(model, tmp_path / "model")
    prune(folder, folder, SubModel(), ["optical"])
    assert equal(load_model(folder), prune_model(model, SubModel(), ["optical"]))


@pytest.mark.slow
def test_the_python_example_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "compression.md").read_text()
    scope: dict = {}
    exec(re.search(r"<!-- use -->\n```python\n(.*?)```", page, re.S)[1], scope)
    assert scope["sar"].config.modalities == ("sar_amplitude",)
    assert load_model("dense").config.router_rows == 0


class TestRefusals:
    """In one line, and nothing is written."""

    def refused(self, kind, words, tmp_path, *arguments, **options):
        with pytest.raises(kind, match=words) as caught:
            prune(arguments[0], tmp_path / "out", *arguments[1:], **options)
        assert "\n" not in str(caught.value)
        assert not [f for f in tmp_path.iterdir() if "out" in f.name]

    def test_a_modality(self, saved, tmp_path):
        self.refused(
            ConfigError,
            "has no modality 'thermal': it has opt",
            tmp_path,
            saved,
            SubModel(),
            ["thermal"],
        )

    def test_no_statistics(self, model, tmp_path):
        folder = save_model(model, tmp_path / "model")
        words = (
            "no statistics in .*model.statistics: measure them with `ringmoe prune .*model --cal"
        )
        self.refused(StatisticsError, words, tmp_path, folder, ExpertPruning(), ["optical"])

    def test_statistics_of_another_checkpoint(self, model, saved, tmp_path):
        other = save_model(make_model(torch.float32, collaborative_experts=3), tmp_path / "model")
        given = measured(model)
        words = "measured on other weights"
        for statistics in (given, statistics_folder(saved)):
            options = {"statistics": statistics}
            self.refused(StatisticsError, words, tmp_path, other, ExpertPruning(), **options)

    def test_a_cut_shard(self, model, tmp_path):
        folder = save_model(model, tmp_path / "model", max_shard_bytes=LIMIT)
        shard = sorted(folder.glob("*.safetensors"))[2]
        shard.write_bytes(shard.read_bytes()[:-1])
        self.refused(CheckpointError, f"{shard} cannot be read", tmp_path, folder, SubModel())

    def test_a_folder_with_other_things(self, saved, tmp_path):
        (tmp_path / "thesis.tex").write_text("ten years of work")
        with pytest.raises(WriteError, match="nothing was overwritten"):
            prune(saved, tmp_path, SubModel(), ["optical"])
        assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]

    @pytest.mark.parametrize("name", ["submodel", "ka"])
    def test_a_disk_that_fills_up_leaves_the_old_whole(self, saved, tmp_path, monkeypatch, name):
        old = prune(saved, tmp_path / "out", SubModel(), ["sar_complex"])
        before = load_model(old)
        written, write_at = [], writing.write_at

        def fill_up(file, position, data):
            written.append(len(data))
            if sum(written) > 30_000:
                raise OSError(28, "No space left on device")
            write_at(file, position, data)

        monkeypatch.setattr(writing, "write_at", fill_up)
        with pytest.raises(WriteError, match="disk is full"):
            prune(saved, old, METHODS[name], ["optical"])
        assert equal(load_model(old), before)
        assert [f.name for f in tmp_path.iterdir()] == ["out"]


MEASURE = f"""
import json, sys
from pathlib import Path
from ringmoe.pruning import method_named, prune
warm, folder, out, method = sys.argv[1:]
prune(warm, out + '-warm', method_named(method), ['optical'])  # what is set up only once
status = Path('/proc/self/status').read_text()
resident = int(next(x for x in status.splitlines() if x.startswith('VmRSS')).split()[1])
prune(folder, out, method_named(method), ['optical'])
print(json.dumps(1024 * ({PEAK_KIB} - resident)))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Base, 2.4 GB of random bfloat16 weights in shards, with how often its experts are chosen."""
    folder = write_random_checkpoint(tmp_path_factory.mktemp("base") / "base", PRESETS["base"])
    frequency = [[[0.4, 0.3, 0.2, 0.1]] * 4] * sum(PRESETS["base"].depths)
    statistics = frequencies_of(PRESETS["base"], frequency, fingerprint(folder))
    statistics.save(statistics_folder(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["submodel", "ep", "ka"])
def test_memory_is_that_of_one_layer(base, saved, tmp_path, name):
    """A fresh process's peak of resident memory, over what it had before, of 1.1 GB that are read.

    The widest layer of one modality has 9 experts of 8 C^2 + 5 C weights, C = 1024, 151 MB. What is
    copied needs a buffer of 16 MiB. The average needs the layer, its sum in float32 (33.6 MB) and
    that in the checkpoint's order and type. 24 MB are for the allocator.
    """
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(saved), str(base), str(out), name],
        capture_output=True,
        text=True,
        check=True,
    )
    expert = 8 * 1024**2 + 5 * 1024
    layer = 9 * 2 * expert
    due = (layer + 2 * 4 * expert if name == "ka" else 16 * 2**20) + 24e6
    assert json.loads(done.stdout) < due < plan_load(base, ["optical"]).bytes / 4
    experts, rows = {"submodel": (9, 8), "ep": (6, 8), "ka": (1, 0)}[name]
    shape = (128, (2, 2, 18, 2), (4, 8, 16, 32))
    assert plan_load(out).parameters == parameters_by_hand(*shape, experts, rows, (3,))


@pytest.mark.parametrize("file", ["model-card.md", "README.md"])
def test_the_licence_and_the_training_data_go_with_the_weights(model, tmp_path, file):
    facts = {"license": "cc-by-nc-4.0", "training_data": "Two scenes\nof one harbour."}
    source = save_model(model, tmp_path / "source", default_card(model.config, **facts))
    (source / "model-card.md").rename(source / file)
    pruned = prune(source, tmp_path / "pruned", Averaging(), ["optical"])
    for folder in (pruned, quantise(source, tmp_path / "int8")):
        card = (folder / "model-card.md").read_text()
        assert "license: cc-by-nc-4.0" in card and "apache" not in card
        assert "Training data: Two scenes\nof one harbour." in card


def test_statistics_of_a_checkpoint_on_the_hub(saved, tmp_path, monkeypatch):
    """They lie where they were measured, not in the hub's cache."""
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(saved))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StatisticsError, match=r"no statistics in .*owner/name.statistics"):
        prune("owner/name", tmp_path / "pruned", ExpertPruning(0.5))
    shutil.copytree(statistics_folder(saved), statistics_folder("owner/name"))
    pruned = prune("owner/name", tmp_path / "pruned", ExpertPruning(0.5))
    assert "Pruned from name by" in (pruned / "model-card.md").read_text()
