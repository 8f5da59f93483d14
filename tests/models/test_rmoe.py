import math

import torch
import torch.nn.functional as F
from tests.models.samples import difference, randomise

from ringmoe.models import ModelConfig
from ringmoe.models.rmoe import RMoE

MODALITIES = ("optical", "multispectral", "sar_amplitude")


def make_layer(dim: int = 8, **changes: object) -> RMoE:
    layer = RMoE(ModelConfig(modalities=MODALITIES).replace(**changes), dim).double()
    randomise(layer)
    return layer


def test_one_layer_by_hand():
    """A token x = 1 of one channel, hidden width 1, one expert a branch but two collaborative.

    Specialized: one expert, probability 1: gelu(1 * 1) * 1 = 0.841345.
    Collaborative: logits (0, ln 3), so the second with 3 / 4: 0.75 * gelu(2 * 1) * 1
    = 0.75 * 1.954500 = 1.465875.
    Shared: gelu(3 * 1) * 1 + 10 = 2.995950 + 10. The sum: 15.303170.
    (gelu(x) = x Phi(x), Phi(1) = 0.841345, Phi(2) = 0.977250, Phi(3) = 0.998650.)
    """
    config = ModelConfig(
        modalities=("optical",), specialized_experts=1, collaborative_experts=2, mlp_ratio=1.0
    )
    layer = RMoE(config, 1).double()
    with torch.no_grad():
        layer.router.weight.copy_(torch.tensor([[5.0], [0.0], [math.log(3)]]))
        layer.experts.w1.copy_(torch.tensor([1.0, 7.0, 2.0]).view(3, 1, 1))
        layer.experts.w2.fill_(1)
        layer.experts.b1.fill_(0)
        layer.experts.b2.fill_(0)
        layer.shared.fc1.weight.fill_(3)
        layer.shared.fc2.weight.fill_(1)
        layer.shared.fc1.bias.fill_(0)
        layer.shared.fc2.bias.fill_(10)
    y, _ = layer(torch.ones(1, 1, dtype=torch.float64), [(0, 1)])
    assert abs(y.item() - 15.303170) < 1e-6


def test_without_routed_experts_it_is_a_dense_ffn():
    layer = make_layer(specialized_experts=0, collaborative_experts=0)
    x = torch.randn(5, 8, dtype=torch.float64)
    y, routing = layer(x, [(0, 5)])
    assert routing is None
    assert set(dict(layer.named_parameters())) == {
        f"shared.fc{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")
    }
    fc1, fc2 = layer.shared.fc1, layer.shared.fc2
    expected = F.gelu(x @ fc1.weight.t() + fc1.bias) @ fc2.weight.t() + fc2.bias
    assert difference(y, expected) < 1e-12


def router_gradient(gate: str) -> float:
    layer = make_layer(gate=gate)
    y, _ = layer(torch.randn(20, 8, dtype=torch.float64), [(0, 10), (1, 10)])
    y.square().sum().backward()
    grad = layer.router.weight.grad
    return 0.0 if grad is None else float(grad.abs().max())


def test_the_router_learns_from_the_output_with_the_softmax_gate_alone():
    """The released code divides the top-1 gate by itself: its router gets no such gradient."""
    assert router_gradient("softmax") > 1e-3
    assert router_gradient("unit") == 0


def test_no_token_is_dropped_when_all_choose_one_expert():
    """A homogeneous image: the release drops up to 69 % of such tokens; here none is."""
    layer = make_layer()
    token = torch.randn(1, 8, dtype=torch.float64)
    alone, _ = layer(token, [(1, 1)])
    crowd, _ = layer(token.expand(500, 8).contiguous(), [(1, 500)])
    assert difference(crowd, alone.expand(500, 8)) < 1e-12
