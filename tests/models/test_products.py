"""16-bit products in float32: one rounding of what float64 gives, gradients too."""

import pytest
import torch

from ringmoe.models import products
from ringmoe.models.experts import grouped_ffn

HALF_A_STEP = 2.0**-8  # of bfloat16, relative, with room for the sums in float32


@pytest.fixture(params=["emulated", "as it is"])
def machine(request, monkeypatch):
    """A CPU without instructions for bfloat16, and this one."""
    if request.param == "emulated":
        monkeypatch.setattr(products, "EMULATED", frozenset({torch.bfloat16}))
    return request.param


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16()


def assert_rounded(found, exact):
    assert found.dtype is torch.bfloat16
    error = (found.double() - exact).abs()
    assert (error <= HALF_A_STEP * exact.abs() + 1e-6).all()


def test_products_are_rounded_once(machine):
    x, matrix, bias = drawn(7, 33), drawn(33, 20), drawn(20)
    exact = x.double() @ matrix.double()
    out = x.new_empty(7, 20)
    products.mm_into(out, x, matrix)
    assert_rounded(out, exact)
    products.addmm_into(out, bias, x, matrix)
    assert_rounded(out, exact + bias.double())
    assert_rounded(products.linear(x, matrix.t(), bias), exact + bias.double())
    assert_rounded(products.linear(x, matrix.t(), None), exact)


def test_gradients_are_those_of_float64(machine):
    layer = products.Linear(33, 20).bfloat16()
    x = drawn(7, 33).requires_grad_()
    pull = drawn(7, 20)
    layer(x).backward(pull)
    assert x.grad is not None and layer.weight.grad is not None
    assert_rounded(x.grad, pull.double() @ layer.weight.double())
    assert_rounded(layer.weight.grad, pull.double().t() @ x.detach().double())
    assert_rounded(layer.bias.grad, pull.double().sum(0))


def test_experts_agree_on_both_machines(monkeypatch):
    """Outputs and gradients of both ways are within a few roundings of each other."""
    stacks = [drawn(3, 16, 64), drawn(3, 64), drawn(3, 64, 16), drawn(3, 16)]
    x, offsets = drawn(9, 16), torch.tensor([4, 4, 9])
    found = []
    for types in (frozenset(), frozenset({torch.bfloat16})):
        monkeypatch.setattr(products, "EMULATED", types)
        inputs = [t.clone().requires_grad_() for t in (x, *stacks)]
        y = grouped_ffn(inputs[0], offsets, *inputs[1:])
        y.sum().backward()
        found.append([y.detach(), *(t.grad for t in inputs)])
    for a, b in zip(*found, strict=True):
        assert b is not None and b.dtype is torch.bfloat16
        torch.testing.assert_close(b, a, rtol=2e-2, atol=2e-2 * float(a.abs().max()))


def test_nothing_else_is_converted(monkeypatch):
    """float32, and graphs that are traced for another machine, keep their products."""
    monkeypatch.setattr(products, "EMULATED", frozenset({torch.bfloat16}))
    assert products.emulated(drawn(1))
    assert not products.emulated(drawn(1).float())
    assert not products.emulated(drawn(1).to("meta"))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not products.emulated(drawn(1))
