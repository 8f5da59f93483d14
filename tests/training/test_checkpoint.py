"""Checkpoints: whole or absent, exact, and refused by name where they do not fit."""

import json

import pytest
import torch
from torch import nn

from ringmoe.errors import CheckpointError, WriteError
from ringmoe.training import checkpoint
from ringmoe.training.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    load_weights,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from ringmoe.training.optimizer import make_optimizer


def test_what_is_saved_comes_back(tmp_path):
    weights = {"a": torch.randn(3, 4), "b": torch.randn((), dtype=torch.float64)}
    path = save_checkpoint(tmp_path, 7, {"weights": weights})
    state, groups = load_checkpoint(path)
    assert state["step"] == 7
    assert groups["weights"].keys() == weights.keys()
    assert all(torch.equal(groups["weights"][key], weights[key]) for key in weights)
    assert {p.suffix for p in path.iterdir()} == {".safetensors", ".json"}  # no pickle


def test_the_newest_are_kept_in_order_of_steps(tmp_path):
    for step in (5, 100, 20):
        save_checkpoint(tmp_path, step, {"weights": {"a": torch.zeros(1)}}, keep=0)
    assert [p.name for p in list_checkpoints(tmp_path)] == [
        "step-000005", "step-000020", "step-000100",
    ]  # fmt: skip
    save_checkpoint(tmp_path, 200, {"weights": {"a": torch.zeros(1)}}, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-000100", "step-000200"]


def test_what_a_kill_left_half_written_is_no_checkpoint_and_goes(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"weights": {"a": torch.zeros(1)}})
    half = tmp_path / ".step-000002.partial-4711"
    half.mkdir()
    (half / "state.json").write_text("{}")
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-000001"]

    def there(*_: object) -> None:
        assert not half.exists()  # before the new one is written: it takes space
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", there)
    with pytest.raises(WriteError):
        save_checkpoint(tmp_path, 2, {"weights": {"a": torch.zeros(1)}})


def test_a_write_that_fails_leaves_the_old_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"weights": {"a": torch.ones(1)}})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(WriteError, match="disk is full"):
        save_checkpoint(tmp_path, 2, {"weights": {"a": torch.zeros(1)}})
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"]


def test_damaged_files_are_named(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"weights": {"a": torch.ones(100)}})
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="step-000001"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="step-000001"):
        load_checkpoint(path, ["optimizer"])
    (path / "state.json").write_text(json.dumps({"format": 99, "step": 1}))
    with pytest.raises(CheckpointError, match="format 99"):
        load_checkpoint(path, [])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": torch.zeros(2, 2)}, "'bias' of the model is missing"),
        ({"weight": torch.zeros(2, 2), "bias": torch.zeros(3)}, r"'bias' has shape \(3,\)"),
        (
            {"weight": torch.zeros(2, 2), "bias": torch.zeros(2), "x": torch.zeros(1)},
            "'x' is not one of the model's",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, weights, message):
    with pytest.raises(CheckpointError, match=message):
        load_weights(nn.Linear(2, 2), weights, tmp_path)


def test_an_optimiser_goes_on_as_if_never_stopped():
    """Two steps at once, and one, saved, restored into another, and one: the same weights."""
    torch.manual_seed(0)
    gradients = [torch.randn(2, 3), torch.randn(2, 3)]
    nets = [nn.Linear(3, 2, bias=False) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    results = []
    for net, restart in zip(nets, (False, True), strict=True):
        optimizer = make_optimizer(net, weight_decay=0.1)
        for gradient in gradients:
            if restart:
                saved = {k: v.clone() for k, v in optimizer_tensors(net, optimizer).items()}
                optimizer = make_optimizer(net, weight_decay=0.1)
                restore_optimizer(net, optimizer, saved)
            for group in optimizer.param_groups:
                group["lr"] = 0.01
            net.weight.grad = gradient.clone()
            optimizer.step()
        results.append(net.weight.detach())
    assert torch.equal(*results)
