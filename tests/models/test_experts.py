import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.models.samples import difference, randomise
from torch import Tensor

from ringmoe.models.experts import Experts, _grouped_mm_ffn, grouped_ffn

C, HIDDEN = 8, 16


def draw(sizes: list[int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Rows, offsets and weights for groups of these sizes, as leaves that take gradients."""
    experts = Experts(len(sizes), C, HIDDEN).to(dtype)
    randomise(experts)
    x = torch.randn(sum(sizes), C, dtype=dtype, requires_grad=True)
    offsets = torch.tensor(sizes).cumsum(0)
    return x, offsets, experts.w1, experts.b1, experts.w2, experts.b2


def plain_loop(
    x: Tensor, offsets: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """The definition, by plain autograd."""
    rows, start = [], 0
    for group, end in enumerate(offsets.tolist()):
        hidden = F.gelu(x[start:end] @ w1[group] + b1[group])
        rows.append(hidden @ w2[group] + b2[group])
        start = end
    return torch.cat(rows)


def outputs_and_gradients(function, arguments: tuple[Tensor, ...]) -> list[Tensor]:
    leaves = [a for a in arguments if a.requires_grad]
    out = function(*arguments)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=out.dtype)
    return [out, *torch.autograd.grad(out, leaves, upstream)]


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum))
def test_equals_a_plain_loop_in_outputs_and_gradients(sizes):
    """Groups without rows included: their weights get a gradient of exactly zero."""
    arguments = draw(sizes)
    for ours, expected in zip(
        outputs_and_gradients(grouped_ffn, arguments),
        outputs_and_gradients(plain_loop, arguments),
        strict=True,
    ):
        assert torch.allclose(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(not hasattr(F, "grouped_mm"), reason="torch has no grouped_mm")
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum))
def test_the_cuda_backends_arithmetic_equals_a_plain_loop(sizes):
    """Run on the CPU, where grouped_mm exists too: the arithmetic, not the kernel."""
    arguments = draw(sizes, torch.float32)
    for ours, expected in zip(
        outputs_and_gradients(_grouped_mm_ffn, arguments),
        outputs_and_gradients(plain_loop, arguments),
        strict=True,
    ):
        assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_gradients_equal_finite_differences():
    arguments = draw([2, 0, 3])
    offsets = arguments[1]
    assert torch.autograd.gradcheck(
        lambda x, *weights: grouped_ffn(x, offsets, *weights), (arguments[0], *arguments[2:])
    )


def test_frozen_experts_pass_the_gradient_on():
    x, offsets, *weights = draw([2, 3])
    frozen = [weight.detach() for weight in weights]
    (ours,) = torch.autograd.grad(grouped_ffn(x, offsets, *frozen).sum(), x)
    (expected,) = torch.autograd.grad(plain_loop(x, offsets, *frozen).sum(), x)
    assert difference(ours, expected) < 1e-12


def test_autocast_computes_in_bfloat16_and_gives_float32_gradients():
    arguments = draw([4, 4], torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = grouped_ffn(*arguments)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert arguments[2].grad.dtype == torch.float32
    assert difference(out.float(), plain_loop(*arguments)) < 0.02


def test_copies_are_drawn_independently():
    """Two experts of 64 x 256 normal entries: correlation 0 within 4 / sqrt(16384) = 0.03."""
    experts = Experts(3, 64, 256)
    experts.reset_parameters(torch.Generator().manual_seed(0))
    for stack in (experts.w1, experts.w2):
        assert float(stack.detach().std()) == pytest.approx((2 / (64 + 256)) ** 0.5, rel=0.02)
        correlation = torch.corrcoef(stack.detach().flatten(1))
        assert (correlation - torch.eye(3)).abs().max() < 0.03
