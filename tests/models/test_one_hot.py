"""The RMoE layer's fast path against one-hot dispatch without a capacity limit."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.models.one_hot import closest_call, one_hot_rmoe
from tests.models.samples import randomise
from torch import Tensor

from ringmoe.models import ModelConfig
from ringmoe.models.rmoe import RMoE
from ringmoe.sensors import MODALITIES

pytestmark = pytest.mark.slow  # some seconds in all

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}

spans_of_tokens = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=6)


def outputs_and_gradients(out: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """All of them; zeros where something has no part in the output."""
    generator = torch.Generator().manual_seed(2)
    upstream = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)
    found = torch.autograd.grad(out, leaves, upstream, allow_unused=True)
    pairs = zip(leaves, found, strict=True)
    return [out, *(torch.zeros_like(leaf) if grad is None else grad for leaf, grad in pairs)]


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@given(
    spans=spans_of_tokens,
    width=st.sampled_from([1, 4, 8, 24]),
    modalities=st.integers(1, 4),
    specialized=st.integers(0, 5),
    collaborative=st.integers(0, 5),
    shared=st.booleans(),
    gate=st.sampled_from(["softmax", "unit"]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60)
def test_outputs_and_gradients_equal_one_hot_dispatch(
    dtype, spans, width, modalities, specialized, collaborative, shared, gate, seed
):
    """Any mix in any order; modalities and experts without tokens; any branch absent.

    Every error relative to the largest value of its tensor, or to 1e-3 where that is smaller.
    Where two experts are equally likely within rounding the choice is rounding: left out.
    """
    spans = [(modality % modalities, count) for modality, count in spans]
    config = ModelConfig(
        modalities=tuple(MODALITIES)[:modalities],
        specialized_experts=specialized,
        collaborative_experts=collaborative,
        shared_expert=shared or not (specialized or collaborative),
        gate=gate,
        embed_dim=24,
        num_heads=(1, 1, 1, 1),
        mlp_ratio=2.0,
    )
    layer = RMoE(config, width).to(dtype)
    randomise(layer, seed)
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(count for _, count in spans)
    assume(tokens)
    x = torch.randn(tokens, width, generator=generator, dtype=torch.float64).to(dtype)
    if layer.router is not None:
        assume(closest_call(layer, x, spans) > 1e-5)
    leaves = [x.requires_grad_(), *layer.parameters()]
    ours = outputs_and_gradients(layer(x, spans)[0], leaves)
    expected = outputs_and_gradients(one_hot_rmoe(layer, x, spans), leaves)
    for a, b in zip(ours, expected, strict=True):
        scale = max(float(b.detach().abs().max()), 1e-3)
        assert float((a - b).detach().abs().max()) < TOLERANCES[dtype] * scale


def test_the_oracle_sees_what_it_should():
    """A broken fast path would be noticed: one wrong expert, one gate off by a hundredth."""
    layer = RMoE(ModelConfig(embed_dim=24, num_heads=(1, 1, 1, 1)), 8).double()
    randomise(layer)
    x, spans = torch.randn(9, 8, dtype=torch.float64), [(0, 4), (2, 5)]
    with torch.no_grad():
        ours = layer(x, spans)[0]
        assert torch.allclose(ours, one_hot_rmoe(layer, x, spans), rtol=1e-10, atol=1e-12)
        other_modality = one_hot_rmoe(layer, x, [(1, 4), (2, 5)])
        assert not torch.allclose(ours, other_modality, rtol=1e-3)
        layer.router.weight[-4:] *= 1.01
        assert not torch.allclose(ours, one_hot_rmoe(layer, x, spans), rtol=1e-5)
