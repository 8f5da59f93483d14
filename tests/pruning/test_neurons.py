"""Neuron selection: its rule in NumPy, and where it is exact."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import erf
from tests.models.samples import difference, observe
from tests.pruning.samples import CONFIG, make_model

from ringmoe.errors import ConfigError
from ringmoe.pruning import NeuronSelection, SubModel, method_named, prune_model
from ringmoe.pruning.calibrate import collect
from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.neurons import select_neurons


def optical(seed=5):
    return observe("optical", 2, (32, 32), seed=seed)


def layer_of(model, block):
    """One block as pruning to optical sees it."""
    part = prune_model(model, SubModel(), ["optical"])
    return Layer.of(part.config, block, part.blocks()[block].ffn.state_dict())


def apply(ffn: Experts, x):
    w1, b1, w2, b2 = (tensor[0] for tensor in ffn)
    return F.gelu(x @ w1 + b1) @ w2 + b2


def test_units_and_gates_are_chosen_by_the_rule():
    """The rule written out unit by unit in NumPy; the FFN as a function, as order is free."""
    whole = make_model()
    statistics = collect(whole, [[optical()]])
    for block, own in enumerate(statistics.layers):
        layer = layer_of(whole, block)
        units, bias = [], 0
        for part, experts in (
            ("specialized", layer.specialized_of("optical")),
            ("collaborative", layer.collaborative),
            ("shared", layer.shared),
        ):
            w1, b1, w2, b2 = (tensor.numpy() for tensor in experts)
            for e in range(len(w1)):
                gate = 1.0 if part == "shared" else float(own.gate_mass[part][0, e])
                bias = bias + gate * b2[e]
                for unit in range(w1.shape[2]):
                    energy = float(own.unit_energy[part][0, e, unit])
                    units.append((energy, w1[e][:, unit], b1[e][unit], gate * w2[e][unit]))
        units.sort(key=lambda unit: -unit[0])
        x = np.random.default_rng(0).normal(size=(50, layer.shared.w1.shape[1]))
        expected = 0 * x + bias
        for _, column, b, row in units[: layer.shared.b1.shape[1]]:
            h = x @ column + b
            expected += np.outer(h * (1 + erf(h / np.sqrt(2))) / 2, row)
        made = select_neurons(layer, statistics.of(["optical"]).layers[block])
        np.testing.assert_allclose(apply(made, torch.from_numpy(x)), expected, rtol=1e-9, atol=1e-9)
        assert [t.shape for t in made] == [t.shape for t in layer.shared]


@pytest.mark.parametrize("gate", ["softmax", "unit"])
def test_exact_where_one_expert_takes_all_tokens_and_live_units_fit(gate):
    """Routers that send every token to one expert at one gate, and H units live of 3 H.

    With rows of zeros, softmax over 4 experts is 1 / 4 for any token and the argmax is the first;
    the gate is 1 / 4 (or 1). A unit with a zero row of w2 contributes nothing: of the three
    experts that are used, a third of the units keep theirs, scattered.
    """
    whole = make_model(gate=gate)
    with torch.no_grad():
        for block in whole.blocks():
            ffn = block.ffn
            ffn.router.weight.zero_()
            hidden = ffn.experts.w2.shape[1]
            live = torch.randperm(3 * hidden, generator=torch.Generator().manual_seed(3))[:hidden]
            mask = torch.zeros(3 * hidden, 1).index_fill_(0, live, 1).view(3, hidden, 1)
            ffn.experts.w2[0] *= mask[0]  # the first expert of optical
            ffn.experts.w2[12] *= mask[1]  # the first collaborative one
            ffn.shared.fc2.weight *= mask[2].T
    statistics = collect(whole, [[optical()]])
    assert statistics.layers[0].frequency["specialized"].tolist() == [[1, 0, 0, 0]]
    dense = prune_model(whole, NeuronSelection(), ["optical"], statistics)
    with torch.no_grad():
        maps = zip(dense([optical(seed=6)])[0], whole([optical(seed=6)])[0], strict=True)
    assert all(difference(ours, due) < 1e-9 for ours, due in maps)


def test_the_result_is_a_dense_model_of_one_modality():
    whole = make_model()
    statistics = collect(whole, [[optical()]])
    method = method_named("neurons")
    dense = prune_model(whole, method, ["optical"], statistics)
    one = ("optical",)
    assert dense.config == CONFIG.replace(
        modalities=one, specialized_experts=0, collaborative_experts=0
    )
    with pytest.raises(ConfigError, match="makes a model of one modality"):
        method.config(CONFIG, statistics)


def test_other_modalities_statistics_do_not_matter():
    """Statistics of both give what statistics of the one give."""
    whole = make_model()
    sar = observe("sar_amplitude", 2, (32, 32))
    both = collect(whole, [[sar, optical()]])
    one = collect(whole, [[optical()]])
    for block in range(3):
        layer = layer_of(whole, block)
        for a, b in zip(
            select_neurons(layer, both.layers[block]),
            select_neurons(layer, one.layers[block]),
            strict=True,
        ):
            torch.testing.assert_close(a, b)
