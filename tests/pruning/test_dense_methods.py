"""KS, KA and KC against their formulas, computed anew with NumPy in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.samples import observe
from tests.models.test_describe import parameters_by_hand
from tests.pruning.samples import make_model

from ringmoe.errors import ConfigError
from ringmoe.models import PRESETS, RingMoE, describe
from ringmoe.pruning import METHODS, Averaging, Decomposition, Experts, Summation, prune_model
from ringmoe.pruning.decomposition import compress_branch

pytestmark = pytest.mark.slow  # some seconds in all

Arrays = dict[str, np.ndarray]  # w1 (C, H), b1 (H,), w2 (H, C), b2 (C,)


def experts_of(model: RingMoE, block: int, modality: str) -> tuple[list[Arrays], list[Arrays]]:
    """Specialized and collaborative experts of a block, one by one."""
    stack = {n: p.detach().numpy() for n, p in model.blocks()[block].ffn.experts.named_parameters()}
    each = [{n: array[e] for n, array in stack.items()} for e in range(len(stack["b1"]))]
    n, modalities = model.config.specialized_experts, model.config.modalities
    first = n * modalities.index(modality)
    return each[first : first + n], each[n * len(modalities) :]


def shared_of(model: RingMoE, block: int) -> Arrays:
    shared = model.blocks()[block].ffn.shared
    return {
        "w1": shared.fc1.weight.detach().numpy().T,
        "b1": shared.fc1.bias.detach().numpy(),
        "w2": shared.fc2.weight.detach().numpy().T,
        "b2": shared.fc2.bias.detach().numpy(),
    }


def svd(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`U S` and `S V^T`, where the largest entry of each column of U is positive."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    sign = np.sign(u[np.abs(u).argmax(0), np.arange(len(s))])
    return u * sign * s, (vt.T * sign * s).T


def compressed(experts: list[Arrays]) -> Arrays:
    """Each expert's share of the hidden width; singular values beyond the rank are zero."""
    (width, hidden), n = experts[0]["w1"].shape, len(experts)
    share = hidden // n
    w1, w2 = np.zeros((width, hidden)), np.zeros((hidden, width))
    for e, expert in enumerate(experts):
        left, right = svd(expert["w1"])[0][:, :share], svd(expert["w2"])[1][:share]
        w1[:, e * share : e * share + left.shape[1]] = left
        w2[e * share : e * share + len(right)] = right
    return {
        "w1": w1,
        "b1": np.zeros(hidden),
        "w2": w2,
        "b2": np.mean([e["b2"] for e in experts], 0),
    }


def by_formula(method: str, specialized: list[Arrays], collaborative: list[Arrays]) -> Arrays:
    """Without the shared expert."""
    if method == "kc":
        parts = [compressed(branch) for branch in (specialized, collaborative) if branch]
        return {n: sum(part[n] for part in parts) for n in ("w1", "b1", "w2", "b2")}
    reduce = np.sum if method == "ks" else np.mean
    branches = [branch for branch in (specialized, collaborative) if branch]
    return {
        n: sum(reduce([e[n] for e in branch], axis=0) for branch in branches)
        for n in ("w1", "b1", "w2", "b2")
    }


METHOD = {"ks": Summation(), "ka": Averaging(), "kc": Decomposition()}


@pytest.mark.parametrize("name", METHOD)
@pytest.mark.parametrize(
    "changes",
    [{}, {"kept_experts": [[], [1, 2, 3], [2]]}, {"specialized_experts": 0}, {"mlp_ratio": 0.5}],
    ids=["full", "pruned before", "collaborative alone", "narrow"],
)
def test_weights_are_those_of_the_formula(name, changes):
    """To 1e-9 of the largest weight, in every block; everything but the FFN is as it was."""
    changes = {"modalities": ("sar_complex", "optical")} | changes
    model = make_model(**changes)
    pruned = prune_model(model, METHOD[name], ["optical"])
    assert pruned.config == model.config.replace(
        modalities=("optical",),
        specialized_experts=0,
        collaborative_experts=0,
        kept_experts=None,
    )
    for block in range(3):
        specialized, collaborative = experts_of(model, block, "optical")
        if not model.config.specialized_experts:
            specialized = []
        due = by_formula(name, specialized, collaborative) if specialized + collaborative else {}
        found, before = shared_of(pruned, block), shared_of(model, block)
        for tensor, value in found.items():
            expected = before[tensor] + due.get(tensor, 0)
            assert np.abs(value - expected).max() < 1e-9 * np.abs(expected).max(), (block, tensor)
    state = model.state_dict()
    for tensor, value in pruned.state_dict().items():
        assert ".ffn." in tensor or torch.equal(value, state[tensor])
    with torch.no_grad():
        (maps,) = pruned([observe("optical", size=(32, 32))])
    assert all(m.isfinite().all() for m in maps)


@given(
    count=st.integers(1, 6), width=st.integers(1, 5), hidden=st.integers(6, 14), seed=st.integers()
)
@settings(max_examples=40)
def test_compressed_branches_of_any_shape(count, width, hidden, seed):
    """Fewer singular values than the share, more, and widths that the number does not divide."""
    rng = np.random.default_rng(abs(seed))
    stack = {
        "w1": rng.normal(size=(count, width, hidden)),
        "b1": rng.normal(size=(count, hidden)),
        "w2": rng.normal(size=(count, hidden, width)),
        "b2": rng.normal(size=(count, width)),
    }
    found = compress_branch(Experts(**{n: torch.from_numpy(a) for n, a in stack.items()}))
    due = compressed([{n: a[e] for n, a in stack.items()} for e in range(count)])
    for name, value in found._asdict().items():
        assert np.abs(value[0].numpy() - due[name]).max() < 1e-7, name


def test_nothing_is_truncated_where_the_share_is_the_rank():
    """4 experts of hidden width 4 C: the sum over e of W1_e W1_e^T is W1 W1^T, all components."""
    model = make_model()
    stack = Experts(*(p.detach()[:4] for p in model.blocks()[0].ffn.experts.parameters()))
    found = compress_branch(stack)
    due = sum(w @ w.T for w in stack.w1)
    assert torch.allclose(found.w1[0] @ found.w1[0].T, due, rtol=1e-9, atol=1e-12)


def test_equal_experts_are_not_the_layer_again():
    """GELU is not homogeneous: gelu(2 x) is not 2 gelu(x).

    All three branches the same expert f, unit gates: the layer is 3 f(x), which the norm takes for
    f(x). KA gives `gelu(3 x w1 + 3 b1) 3 w2 + 3 b2`, another function even after a norm.
    """
    model = make_model(gate="unit", modalities=("optical",))
    with torch.no_grad():
        for block in model.blocks():
            shared, stack = block.ffn.shared, block.ffn.experts
            stack.w1.copy_(shared.fc1.weight.T.expand_as(stack.w1))
            stack.b1.copy_(shared.fc1.bias.expand_as(stack.b1))
            stack.w2.copy_(shared.fc2.weight.T.expand_as(stack.w2))
            stack.b2.copy_(shared.fc2.bias.expand_as(stack.b2))
    image = observe("optical", size=(32, 32))
    with torch.no_grad():
        (before,), (after,) = model([image]), prune_model(model, Averaging())([image])
    relative = (after[-1] - before[-1]).norm() / before[-1].norm()
    assert 0.01 < relative < 2


@pytest.mark.parametrize("name", METHOD)
def test_bfloat16_is_rounded_once(name):
    """Computed in float32 and wider, so that the result is the nearest bfloat16 of the formula.

    To half a step, 2^-8 of the value (8 significant bits), and what float32 is off where terms
    cancel.
    """
    model = make_model(torch.bfloat16, modalities=("optical",))
    found = prune_model(model, METHOD[name]).state_dict()
    due = prune_model(model.double(), METHOD[name]).state_dict()
    for tensor, value in found.items():
        assert value.dtype == torch.bfloat16
        error = (value.double() - due[tensor]).abs()
        assert (error <= 1.001 * 2**-8 * due[tensor].abs() + 1e-6).all(), tensor


def test_one_ffn_a_block_of_giant():
    """The dense shape: 1.061 billion weights, in closed form."""
    config = PRESETS["giant"].replace(modalities=("sar_amplitude",))
    for name in METHOD:
        found = describe(METHODS[name]().config(config, None))["parameters"]["total"]
        shape = (config.embed_dim, config.depths, config.num_heads)
        assert found == parameters_by_hand(*shape, 1, 0, (5,))
        assert found == pytest.approx(1.061e9, rel=1e-3)


@pytest.mark.parametrize("name", METHOD)
def test_several_modalities_are_refused_with_those_to_choose_from(name):
    with pytest.raises(
        ConfigError, match=f"'{name}' makes a model of one modality: choose one of optical, sar"
    ):
        prune_model(make_model(), METHOD[name])
