"""On a GPU what computes with boxes gives what it gives on a CPU."""

import pytest
import torch

from ringmoe import boxes

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def draw(count, dtype=torch.float64, seed=0):
    """Rotated boxes in 400 x 400 pixels, many of which overlap."""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, 5, generator=generator, dtype=torch.float64)
    low, high = torch.tensor([[0, 0, 20, 5, -1.57], [400, 400, 60, 20, 1.57]]).double()
    return (low + unit * (high - low)).to(dtype)


def test_overlap():
    a, b = draw(300), draw(200, seed=1)
    found = boxes.rotated_iou(a.cuda(), b.cuda())
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), boxes.rotated_iou(a, b), rtol=0, atol=1e-9)
    pairs = boxes.paired_iou(a[:200].cuda(), b.cuda())
    torch.testing.assert_close(pairs.cpu(), boxes.paired_iou(a[:200], b), rtol=0, atol=1e-9)


def test_suppression():
    some, scores = draw(1000), torch.rand(1000, generator=torch.Generator().manual_seed(2))
    classes = torch.arange(1000) % 3
    found = boxes.nms(some.cuda(), scores.cuda(), 0.3, classes.cuda())
    assert found.is_cuda
    assert torch.equal(found.cpu(), boxes.nms(some, scores, 0.3, classes))


@pytest.mark.parametrize("kind", ["probiou", "kld"])
def test_loss_and_its_gradient(kind):
    a, b = draw(100), draw(100) + torch.tensor([3.0, -2, 4, 1, 0.1]).double()
    results = []
    for device in ("cpu", "cuda"):
        ours = a.to(device).requires_grad_()
        loss = boxes.gaussian_distance(ours, b.to(device), kind).mean()
        loss.backward()
        results.append((loss.detach().cpu(), ours.grad.cpu()))
    for found, due in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, due, rtol=1e-9, atol=1e-12)


def test_region_of_interest():
    maps = torch.randn(2, 8, 100, 100, generator=torch.Generator().manual_seed(3)).double()
    regions = torch.cat([(torch.arange(50) % 2)[:, None].double(), draw(50)], dim=1)
    found = boxes.rotated_roi_align(maps.cuda(), regions.cuda(), size=7, scale=1 / 4)
    due = boxes.rotated_roi_align(maps, regions, size=7, scale=1 / 4)
    torch.testing.assert_close(found.cpu(), due, rtol=0, atol=1e-9)
