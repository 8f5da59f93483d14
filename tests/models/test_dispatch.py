"""Rows by expert: rounded up or not, the layer and its gradients are the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.models.one_hot import one_hot_rmoe
from tests.models.samples import difference, randomise

from ringmoe.models import ModelConfig, products, rmoe
from ringmoe.models.dispatch import lay_rows
from ringmoe.models.rmoe import RMoE

SPANS = [(0, 70), (1, 41)]


@pytest.mark.parametrize("gate", ["softmax", "unit"])
def test_rounding_up_changes_neither_the_layer_nor_its_gradients(gate, monkeypatch):
    """Against the one-hot oracle, which has no rows, in float64."""
    monkeypatch.setattr(rmoe, "compiles_shapes", lambda x: True)
    config = ModelConfig(modalities=("optical", "sar_amplitude"), gate=gate)
    layer = RMoE(config, 8).double()
    randomise(layer)
    x = torch.randn(111, 8, dtype=torch.float64, requires_grad=True)
    leaves = [x, *layer.parameters()]
    weights = torch.randn(111, 8, dtype=torch.float64)
    found, routing = layer(x, SPANS)
    assert lay_rows(routing.experts, len(layer.experts.w1), rounded=True).filled
    expected = one_hot_rmoe(layer, x, SPANS)
    assert difference(found, expected) < 1e-12
    for y in (found, expected):
        y.grads = torch.autograd.grad((y * weights).sum(), leaves, allow_unused=True)
    for mine, other in zip(found.grads, expected.grads, strict=True):
        assert (mine is None) == (other is None)
        assert mine is None or difference(mine, other) < 1e-10


@given(st.lists(st.integers(0, 6), min_size=1, max_size=300), st.booleans())
def test_every_row_is_its_experts(chosen, rounded):
    """Each token's row lies in its expert's, all others belong to nobody."""
    experts = torch.tensor(chosen)[None]
    layout = lay_rows(experts, 7, rounded=rounded)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), layout.offsets[:-1]])
    (place,) = layout.place
    assert (layout.token[place] == torch.arange(len(chosen))).all()
    assert ((starts[experts[0]] <= place) & (place < layout.offsets[experts[0]])).all()
    assert len(set(place.tolist())) == len(chosen)
    assert layout.filled == (len(layout.token) > len(chosen))
    assert int(layout.offsets[-1]) == len(layout.token)


def test_few_numbers_of_rows_come_again():
    """Of 1 to 100,000 rows: never fewer, at most 31 or an eighth more, eight numbers an octave."""
    met = set()
    for count in (*range(1, 3000), *range(3000, 100_000, 97)):
        layout = lay_rows(torch.zeros(1, count, dtype=torch.int64), 2, rounded=True)
        first, last = layout.offsets.tolist()
        assert first == last == len(layout.token)  # an expert without tokens has no rows
        assert count <= first <= max(count + 31, count * 9 / 8)
        met.add(first)
    assert len(met) <= 8 + 8 * 9


@pytest.mark.parametrize("native", [True, False])
def test_only_products_that_are_compiled_are_rounded_up(native, monkeypatch):
    monkeypatch.setattr(products, "EMULATED", frozenset() if native else {torch.bfloat16})
    x = torch.zeros(2)
    assert not products.compiles_shapes(x)
    assert products.compiles_shapes(x.bfloat16()) == native
    assert not products.compiles_shapes(x.bfloat16().to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert products.compiles_shapes(x) == native
