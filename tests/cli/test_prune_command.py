"""`ringmoe prune`: what people type, and what they are told."""

import re

import numpy as np
import pytest
import torch
from tests.pruning.samples import make_model, with_frequencies

from ringmoe.archive import Source, ingest
from ringmoe.cli import main
from ringmoe.models import load_model, save_model
from ringmoe.pruning import (
    ExpertPruning,
    SubModel,
    load_statistics,
    prune_model,
    statistics_folder,
)
from ringmoe.scenes import write_raster

pytestmark = pytest.mark.slow  # some seconds in all

FREQUENCY = [[[0.1, 0.2, 0.3, 0.4]] * 3] * 3


@pytest.fixture(scope="module")
def model():
    return make_model(torch.float32)


@pytest.fixture
def saved(model, tmp_path):
    return save_model(model, tmp_path / "model")


def test_a_sub_model(saved, model, tmp_path, capsys):
    """Shown are what the closed forms of `tests/models/test_describe.py` give for both shapes."""
    out = tmp_path / "out"
    words = ["--out", str(out), "--method", "submodel", "--modalities", "optical", "sar_complex"]
    assert main(["prune", str(saved), *words]) == 0
    due = prune_model(model, SubModel(), ["optical", "sar_complex"])
    found = load_model(out)
    assert found.config == due.config
    assert all(torch.equal(t, found.state_dict()[name]) for name, t in due.state_dict().items())
    printed = capsys.readouterr().out
    was, now = (sum(p.numel() for p in m.parameters()) for m in (model, due))
    (row,) = [line for line in printed.splitlines() if "parameters" in line]
    assert re.search(rf"{was / 1e3:.4g} k .* {now / 1e3:.4g} k .* {now / was:.1%}", row)
    (row,) = [line for line in printed.splitlines() if "on disk" in line]
    assert re.search(rf"{4 * was / 1e3:.4g} kB .* {4 * now / 1e3:.4g} kB", row)
    assert "12 + 4 + 1" in printed and "8 + 4 + 1" in printed
    assert f"model: {out}" in printed


def test_expert_pruning_with_its_options_and_another_type(saved, model, tmp_path, capsys):
    statistics = with_frequencies(model, FREQUENCY)
    statistics.save(statistics_folder(saved))
    out = tmp_path / "out"
    words = ["--method", "ep", "--keep", "0.5", "--scope", "global", "--modalities", "optical"]
    words += ["--dtype", "bfloat16"]
    assert main(["prune", str(saved), "--out", str(out), *words]) == 0
    due = prune_model(model, ExpertPruning(0.5, "global"), ["optical"], statistics)
    found = load_model(out)
    assert found.config == due.config
    state = due.bfloat16().state_dict()
    assert all(torch.equal(t, state[name]) for name, t in found.state_dict().items())


def test_dense_and_where_the_statistics_are(saved, model, tmp_path):
    assert main(["prune", str(saved), "--out", str(tmp_path / "ka"), "--method", "ka",
                 "--modalities", "sar_amplitude"]) == 0  # fmt: skip
    assert load_model(tmp_path / "ka").config.router_rows == 0
    with_frequencies(model, FREQUENCY).save(tmp_path / "elsewhere")
    words = ["--method", "ep", "--statistics", str(tmp_path / "elsewhere")]
    assert main(["prune", str(saved), "--out", str(tmp_path / "ep"), *words]) == 0
    assert load_model(tmp_path / "ep").config.kept_experts == ((3,), (3,), (3,))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "epp"], "unknown pruning method 'epp': did you mean 'ep'?"),
        (["--method", "magic"], "choose one of .*submodel"),
        (["--method", "ep", "--keep", "1.5"], "keep must be a share over 0, at most 1, got 1.5"),
        (["--method", "ep", "--scope", "layers"], "scope must be 'layer' or 'global'"),
        (["--method", "ka", "--keep", "0.5"], "method 'ka' has no option 'keep': it takes none"),
        (["--method", "ep"], r"no statistics in .*model.statistics.*--calibrate ARCHIVE"),
        (["--method", "ks"], "one modality: choose one of optical, sar_complex, sar_amplitude"),
        (["--method", "submodel"], "missing --modalities: .* some of optical, sar_complex"),
        (
            ["--method", "submodel", "--modalities", "multispectral"],
            "no modality 'multispectral': it has optical, sar_complex, sar_amplitude",
        ),
        ([], "--method to prune, --calibrate to measure"),
        (["--keep", "0.5"], "--method to prune"),
    ],
)
def test_errors_are_one_line_that_says_what_is_possible(saved, tmp_path, capsys, words, message):
    assert main(["prune", str(saved), "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_statistics_of_another_checkpoint(saved, tmp_path, capsys):
    other = make_model(torch.float32)
    with torch.no_grad():
        other.blocks()[0].ffn.router.weight += 1
    with_frequencies(other, FREQUENCY).save(statistics_folder(saved))
    words = ["--out", str(tmp_path / "out"), "--method", "ep", "--modalities", "optical"]
    assert main(["prune", str(saved), *words]) == 2
    error = capsys.readouterr().err
    assert "measured on other weights" in error and error.count("\n") == 1


def test_a_cut_shard_and_no_checkpoint(saved, tmp_path, capsys):
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    words = ["--out", str(tmp_path / "out"), "--method", "ka", "--modalities", "optical"]
    for source, message in ((saved, f"{file} cannot be read"), (tmp_path, "is no checkpoint")):
        assert main(["prune", str(source), *words]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture
def archive(tmp_path):
    """Four RGB tiles."""
    values = np.random.default_rng(0).integers(1, 255, (3, 64, 64), dtype=np.uint8)
    write_raster(tmp_path / "rgb" / "scene.tif", values)
    ingest([Source(("rgb",), "rgb-dn8")], tmp_path / "archive", tile_size=32, root=tmp_path)
    return tmp_path / "archive"


def test_calibrating_and_pruning_in_one_command(saved, model, archive, tmp_path, capsys):
    """What is kept is what the statistics beside the checkpoint then say."""
    words = ["--calibrate", str(archive), "--images", "4", "--modalities", "optical"]
    assert main(["prune", str(saved), *words, "--method", "ep", "--out", str(tmp_path / "ep")]) == 0
    found = load_statistics(saved)
    assert f"statistics: {statistics_folder(saved)}" in capsys.readouterr().out
    assert (statistics_folder(saved) / "expert-use.png").stat().st_size > 5000
    due = prune_model(model, ExpertPruning(), ["optical"], found)
    assert load_model(tmp_path / "ep").config == due.config
    assert main(["prune", str(saved), *words]) == 0  # measured again, and nothing else
    assert not (tmp_path / "ep.statistics").exists()


def test_nowhere_to_write(saved, capsys):
    assert main(["prune", str(saved), "--method", "ka", "--modalities", "optical"]) == 2
    assert "missing --out" in capsys.readouterr().err
