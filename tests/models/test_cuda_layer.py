"""The RMoE layer on a GPU: what the CPU gives, without waiting for the device, in a CUDA graph."""

import pytest
import torch

from ringmoe.models import ModelConfig
from ringmoe.models.experts import Experts
from ringmoe.models.rmoe import RMoE
from ringmoe.models.router import Router

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

DIM, SPANS = 64, [(m, 96) for m in range(4)]


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = RMoE(ModelConfig(), DIM)
    for module in layer.modules():
        if isinstance(module, Router | Experts):
            module.reset_parameters()
    return layer.eval()


def tokens(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(n for _, n in SPANS), DIM, generator=generator)


@torch.no_grad()
def test_it_gives_what_the_cpu_gives(layer):
    x = tokens(1)
    expected = layer.double()(x.double(), SPANS)[0]
    found = layer.float().cuda()(x.cuda(), SPANS)[0]
    torch.testing.assert_close(found.cpu().double(), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_nothing_waits_for_the_device(layer):
    layer, x = layer.cuda().bfloat16(), tokens(1).cuda().bfloat16()
    layer(x, SPANS)  # libraries are loaded
    torch.cuda.set_sync_debug_mode("error")
    try:
        layer(x, SPANS)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@torch.no_grad()
def test_a_graph_is_captured_once_and_serves_other_tokens(layer):
    """Other tokens go to other experts: the offsets are read on the device when it runs."""
    layer, x = layer.cuda().bfloat16(), tokens(1).cuda().bfloat16()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            layer(x, SPANS)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = layer(x, SPANS)[0]
    for seed in (2, 3):
        x.copy_(tokens(seed))
        graph.replay()
        torch.testing.assert_close(out, layer(x, SPANS)[0], rtol=2e-2, atol=2e-2)
