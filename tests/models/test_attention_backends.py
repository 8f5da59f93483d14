"""The fused attention of GPUs against the plain products of CPUs, which timm's tests hold."""

import pytest
import torch
from tests.models.samples import difference, randomise
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ringmoe.models import attention as module
from ringmoe.models.attention import WindowAttention, backend_for, fused_attention, plain_attention

DIM, HEADS = 32, 2


def make(shifted: bool, dtype: torch.dtype = torch.float64) -> WindowAttention:
    """One temperature above the clamp at log(100), where rounding tells most, one usual."""
    attention = WindowAttention(DIM, HEADS, 4, 4, shifted).double()
    randomise(attention)
    with torch.no_grad():
        attention.logit_scale.copy_(torch.tensor([5.0, 2.3]).view(2, 1, 1))
    return attention.to(dtype)


def images(dtype: torch.dtype = torch.float64) -> Tensor:
    """Three maps of 6 x 9 tokens: windows of 4 x 4 are masked for padding, and where shifted."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 6, 9, DIM, generator=generator, dtype=torch.float64).to(dtype)


def results(attention: WindowAttention, x: Tensor) -> dict[str, Tensor]:
    """The output, and the gradients of the input and of every parameter."""
    x = x.clone().requires_grad_()
    out = attention(x)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    leaves = {"input": x, **dict(attention.named_parameters())}
    gradients = torch.autograd.grad(out, list(leaves.values()), upstream.to(out))
    return {"output": out, **dict(zip(leaves, gradients, strict=True))}


def fuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backend_for", lambda device: fused_attention)


def test_the_backend_follows_the_device():
    assert backend_for(torch.device("cpu")) is plain_attention
    assert backend_for(torch.device("cuda", 0)) is fused_attention


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("shifted", [False, True])
def test_both_agree_in_outputs_and_gradients(monkeypatch, shifted, dtype, tolerance):
    attention = make(shifted, dtype)
    plain = results(attention, images(dtype))
    fuse(monkeypatch)
    for name, fused in results(attention, images(dtype)).items():
        assert difference(fused, plain[name]) < tolerance, name


def test_fused_bfloat16_errs_by_less_than_a_twentieth(monkeypatch):
    """Rounding queries and keys to 8 bits moves a logit of 100 by up to 0.4, an output by less."""
    exact = make(shifted=True)(images())
    fuse(monkeypatch)
    rounded = make(shifted=True, dtype=torch.bfloat16)(images(torch.bfloat16))
    assert rounded.dtype == torch.bfloat16
    assert (rounded.double() - exact).abs().max() < 0.05 * max(1.0, float(exact.abs().max()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-9), (torch.float32, 1e-4), (torch.bfloat16, 0.05)],
)
def test_a_gpu_gives_what_a_cpu_gives(dtype, tolerance):
    exact = results(make(shifted=True), images())
    gpu = results(make(True, dtype).cuda(), images(dtype).cuda())
    names = ["output"] if dtype == torch.bfloat16 else list(exact)
    for name in names:
        assert difference(gpu[name].double().cpu(), exact[name]) < tolerance, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_needs_no_kernel_that_keeps_the_logits():
    """Forward and backward, with the bias's gradient, where only the fused kernel is allowed."""
    attention = make(True, torch.bfloat16).cuda()
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
        gpu = results(attention, images(torch.bfloat16).cuda())
    assert all(value.isfinite().all() for value in gpu.values())
