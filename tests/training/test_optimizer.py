"""Which parameters are decayed."""

import pytest
import torch
from torch import nn

from ringmoe.models import create_model
from ringmoe.pretraining import MaskedModelling
from ringmoe.training.optimizer import decayed, make_optimizer


def test_what_is_decayed_in_the_model():
    """Exactly the matrices are: of stems, attention, routers, experts, merging and decoders."""
    objective = MaskedModelling(create_model("nano", seed=0), mask_unit=16)
    names = [name for name, _ in objective.named_parameters()]
    left_out = [name for name in names if name not in decayed(objective)]
    endings = ("bias", ".b1", ".b2", "logit_scale", "mask_token", "norm.weight")
    endings += ("norm1.weight", "norm2.weight", "cpb_mlp.0.weight", "cpb_mlp.2.weight")
    assert left_out
    assert all(name.endswith(endings) for name in left_out)
    kept = {
        name.rsplit(".", 1)[0].split(".")[-1] + "." + name.rsplit(".", 1)[1]
        for name in decayed(objective)
    }
    assert kept == {
        *(f"{m}.weight" for m in objective.modalities),  # stems and decoders
        "qkv.weight", "proj.weight", "router.weight", "experts.w1", "experts.w2",
        "fc1.weight", "fc2.weight", "reduction.weight",
    }  # fmt: skip


def test_a_step_without_gradient_moves_only_what_is_decayed():
    """Decoupled decay: w becomes w * (1 - lr * decay) = w * (1 - 0.1 * 0.5)."""
    net = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    net.norm = nn.LayerNorm(3)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = make_optimizer(net, weight_decay=0.5)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    optimizer.step()
    after = dict(net.named_parameters())
    torch.testing.assert_close(after["0.weight"], 0.95 * before["0.weight"])
    for name in ("0.bias", "1.bias", "norm.weight", "norm.bias"):
        assert torch.equal(after[name], before[name])


def test_rates_of_their_own():
    """A tenth of the rate moves a weight a tenth as far: AdamW's first step is lr * sign(grad)."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    before = [p.detach().clone() for p in net.parameters()]
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer = make_optimizer(
        net, weight_decay=0.0, rate=lambda name: 0.1 if name.startswith("0.") else 1.0
    )
    for group in optimizer.param_groups:
        group["lr"] = 0.01 * group["rate"]
    optimizer.step()
    moved = [(b - p).mean().item() for b, p in zip(before, net.parameters(), strict=True)]
    assert moved == [pytest.approx(0.001, rel=1e-4), pytest.approx(0.01, rel=1e-4)]
