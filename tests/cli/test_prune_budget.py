"""`ringmoe prune --budget`, from an archive to a checkpoint and a picture."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pruning.samples import make_model

from ringmoe.archive import Source, ingest
from ringmoe.cli import main
from ringmoe.models import load_model, plan_load, save_model
from ringmoe.pruning import SubModel, prune_model, statistics_folder
from ringmoe.scenes import write_raster


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, and an archive of sixteen RGB tiles."""
    folder = tmp_path_factory.mktemp("budget")
    values = np.random.default_rng(0).integers(1, 255, (3, 128, 128), dtype=np.uint8)
    write_raster(folder / "rgb" / "scene.tif", values)
    ingest([Source(("rgb",), "rgb-dn8")], folder / "archive", tile_size=32, root=folder)
    save_model(make_model(torch.float32), folder / "model")
    return folder


def run(folder, *words):
    return main(["prune", str(folder / "model"), "--modalities", "optical", *words])


@pytest.mark.slow
def test_measured_and_pruned_in_one_command(folder, capsys):
    """80 kB: too little for the sub-model in float32; the best that fits is taken and written."""
    out = folder / "out"
    measuring = ["--calibrate", str(folder / "archive"), "--images", "16"]
    assert run(folder, *measuring, "--budget", "80kB", "--out", str(out), "--json") == 0
    printed = capsys.readouterr()
    rows = json.loads(printed.out)["candidates"]
    (chosen,) = [row for row in rows if row["chosen"]]
    assert max(row["bytes"] for row in rows) > 80_000 >= chosen["bytes"]
    assert chosen["fidelity"] == max(row["fidelity"] for row in rows if row["meets"])
    assert "bytes" in chosen["front"] and all(row["latency"] > 0 for row in rows)
    plan = plan_load(out)
    assert (plan.stored_bytes, plan.parameters) == (chosen["bytes"], chosen["parameters"])
    assert load_model(out).config.modalities == ("optical",)
    assert "weights on disk" in printed.err
    assert statistics_folder(folder / "model").is_dir()
    assert Image.open(folder / "out.plan.png").width > 1000
    assert not list(out.glob("*.png"))


def test_a_table_without_an_archive(folder, capsys, caplog):
    """Sizes alone; the largest that fits. Nothing is written without --out."""
    before = sorted(folder.iterdir())
    caplog.set_level("INFO")
    assert run(folder, "--budget", "1GB") == 0
    printed = capsys.readouterr()
    (row,) = [line for line in printed.out.splitlines() if line.strip().startswith(">")]
    due = prune_model(make_model(torch.float32), SubModel(), ["optical"])
    count = sum(parameter.numel() for parameter in due.parameters())
    assert row.split()[1] == "submodel" and f"{4 * count / 1e3:.4g} kB" in row
    assert "budget: 1 GB" in printed.out and "sizes alone" in caplog.text
    assert sorted(folder.iterdir()) == before


def test_a_time(folder, capsys):
    assert run(folder, "--latency", "1000s", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["candidates"]
    assert all(row["latency"] > 0 and row["fidelity"] is None for row in rows)
    assert [row["candidate"] for row in rows if row["chosen"]] == ["submodel"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "lots"], "budget 'lots' is none: write 400MB"),
        (["--budget", "1kB"], "no candidate meets the budget of 1 kB: the smallest is"),
        (["--budget", "1GB", "--latency", "1s"], "there can be one budget"),
        (["--latency", "1GB"], "--latency 1GB: a time is due"),
        (["--budget", "1GB", "--method", "ka"], "a budget decides them"),
        (["--budget", "1GB", "--int8"], "a budget decides them"),
        (["--budget", "1GB", "--keep", "0.5"], "--method is missing"),
        (["--method", "ka", "--json"], "add --budget"),
    ],
)
def test_errors(folder, capsys, words, message):
    assert run(folder, *words, "--out", str(folder / "never")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error
    assert not (folder / "never").exists()
