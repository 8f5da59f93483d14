"""The benchmarks of speed: their subjects compute the same, and their times are what they say."""

import argparse
import json

import pytest
import torch
from benchmarks.backbone import attention, last_maps, observe
from benchmarks.moe_layer import CAPACITY, FULL, GROUP, Layer, Loop, OneHot, measure
from torch import nn

from benchmarks import timing

DIM, TOKENS = 8, 48


@pytest.fixture
def layer() -> Layer:
    """Routers sure of their choices, gates that differ."""
    torch.manual_seed(0)
    layer = Layer(FULL, DIM, TOKENS)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
    return layer


def test_the_loop_is_the_layer(layer):
    x = torch.randn(TOKENS, DIM)
    torch.testing.assert_close(Loop(layer)(x), layer(x), rtol=1e-5, atol=1e-5)


def test_one_hot_dispatch_is_the_layer_but_for_tokens_over_capacity(layer):
    """One group of 48 tokens: 4 modalities of 12, so 16 specialized and 4 collaborative experts.

    36 tokens are alike, so that they crowd one collaborative expert and one of each modality.

    Capacities: 1.2 * 48 / 16, rounded up 4, and 1.2 * 48 / 4, rounded up 15. A token that is not
    past its experts' capacity in either branch gets what the layer gives it, one that is past
    both gets the shared expert alone.
    """
    assert TOKENS < GROUP and CAPACITY == 1.2
    x = torch.randn(TOKENS, DIM)
    x[12:] = x[12]
    choices = layer.layer.router(x, layer.spans).experts
    kept = []
    for choice, capacity in zip(choices.tolist(), (4, 15), strict=True):
        before = [choice[:t].count(choice[t]) for t in range(TOKENS)]
        kept.append(torch.tensor([count < capacity for count in before]))
    whole, none = kept[0] & kept[1], ~kept[0] & ~kept[1]
    assert whole.any() and not whole.all() and none.any()
    ours, out = layer(x), OneHot(layer)(x)
    torch.testing.assert_close(out[whole], ours[whole], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[none], layer.layer.shared(x[none]), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(out[~whole], ours[~whole], atol=1e-3)


@pytest.mark.parametrize("kind", ["forward", "forward_backward"])
def test_a_row_has_the_ratios_of_its_times(kind):
    row = measure(DIM, TOKENS, torch.float32, kind, timing.Turns(1, warmup=0))
    times = row["milliseconds"]
    assert row["ratio_to_dense"] == pytest.approx(times["layer"] / times["dense"])
    assert row["ratio_to_loop"] == pytest.approx(times["layer"] / times["loop"])
    assert (row["ratio_to_one_hot"] is None) == (kind == "forward_backward")


def test_attention_agrees_with_timm_in_float64():
    """Rows of all stages; float32 within 1e-5, bfloat16 within 0.05 of the largest value."""
    torch.manual_seed(0)
    for row in attention(timing.Turns(1, warmup=0), shapes=[(8, 2, 4, 3)]):
        assert row["error"] < (1e-5 if row["dtype"] == "float32" else 0.05)
        assert row["ratio_to_timm"] > 0


def test_the_fastest_turn_counts_and_warming_up_does_not(monkeypatch):
    """A clock that ticks as told: turns of 5 (warm-up), 3 and 4 seconds."""
    ticks = iter([0, 5, 10, 13, 20, 24])
    monkeypatch.setitem(timing.CLOCKS, "wall", lambda: next(ticks))
    assert timing.Turns(2, warmup=1).fastest({"a": lambda: None}) == {"a": 3}


def test_forward_backward_asks_for_every_gradient():
    """y = w x summed over 2 inputs of 1: dy/dw = 2, dy/dx = w, for all of the module."""
    module = nn.Linear(1, 1, bias=False)
    x = torch.ones(2, 1, requires_grad=True)
    dx, dw = timing.forward_backward(module, x)()
    assert dw.item() == 2
    assert torch.equal(dx, module.weight.detach().expand(2, 1))
    assert module.weight.grad is None


def test_the_loss_depends_on_every_observation():
    observations = observe(4, 64, ("optical", "sar_complex"))
    maps = [(o.images, o.images.mean((2, 3)).requires_grad_()) for o in observations]
    last_maps(maps).backward()
    assert all(last.grad is not None for _, last in maps)


def test_a_result_is_written_with_where_it_was_measured(tmp_path, capsys):
    out = tmp_path / "results" / "x.json"
    options = argparse.Namespace(repeats=3, clock="wall", json=True, out=out)
    timing.finish(options, {"rows": [1]}, "table")
    written = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == written
    assert (written["rows"], written["repeats"]) == ([1], 3)
    assert written["environment"]["packages"]["torch"] == torch.__version__.partition("+")[0]


def test_cpu_time_is_refused_for_several_threads():
    with pytest.raises(SystemExit, match="--threads 1"):
        timing.start(argparse.Namespace(clock="cpu", threads=2, repeats=1))
