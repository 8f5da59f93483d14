import math

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.models.samples import difference, randomise
from torch import Tensor

from ringmoe.models import ModelConfig
from ringmoe.models.rmoe import RMoE

MODALITIES = ("optical", "multispectral", "sar_amplitude")


def make_layer(dim: int = 8, **changes: object) -> RMoE:
    layer = RMoE(ModelConfig(modalities=MODALITIES).replace(**changes), dim).double()
    randomise(layer)
    return layer


def one_token_at_a_time(layer: RMoE, x: Tensor, spans: list[tuple[int, int]]) -> Tensor:
    """The layer's equation, written for one token: y = shared + g_s e_s + g_c e_c."""
    router, experts = layer.router, layer.experts
    modalities = [modality for modality, count in spans for _ in range(count)]
    out = []
    for token, modality in zip(x, modalities, strict=True):
        y = 0 if layer.shared is None else layer.shared(token)
        first_shared = router.first_collaborative
        branches = [
            (modality * router.specialized, router.specialized),
            (first_shared, router.collaborative),
        ]
        for start, count in branches:
            if not count:
                continue
            probability = (router.weight[start : start + count] @ token).softmax(0)
            choice = int(probability.argmax())
            expert = start + choice
            hidden = F.gelu(token @ experts.w1[expert] + experts.b1[expert])
            gate = probability[choice] if router.gate == "softmax" else 1.0
            y = y + gate * (hidden @ experts.w2[expert] + experts.b2[expert])
        out.append(y)
    return torch.stack(out)


spans_of_tokens = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=5
).filter(lambda spans: sum(count for _, count in spans) > 0)


@given(
    spans=spans_of_tokens,
    specialized=st.integers(0, 3),
    collaborative=st.integers(0, 3),
    shared=st.booleans(),
    gate=st.sampled_from(["softmax", "unit"]),
)
def test_equals_the_equation_in_outputs_and_gradients(
    spans, specialized, collaborative, shared, gate
):
    """Any mix of modalities, in any order, some without tokens; any of the branches absent."""
    if not (specialized or collaborative):
        return  # dense: the test below
    layer = make_layer(
        specialized_experts=specialized,
        collaborative_experts=collaborative,
        shared_expert=shared,
        gate=gate,
    )
    tokens = sum(count for _, count in spans)
    x = torch.randn(tokens, 8, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(tokens, 8, dtype=torch.float64)
    leaves = [x, *layer.parameters()]

    def outputs_and_gradients(out: Tensor) -> list[Tensor | None]:
        return [out, *torch.autograd.grad(out, leaves, upstream, allow_unused=True)]

    ours = outputs_and_gradients(layer(x, spans)[0])
    expected = outputs_and_gradients(one_token_at_a_time(layer, x, spans))
    for a, b in zip(ours, expected, strict=True):
        a, b = (torch.zeros(1, dtype=torch.float64) if t is None else t for t in (a, b))
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


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
