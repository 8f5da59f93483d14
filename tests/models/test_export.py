"""torch.export and torch.compile take the model whole, and change nothing."""

import re
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from tests.models.samples import difference, observe, small_model
from torch import Tensor, nn

from ringmoe.models import RingMoE
from ringmoe.models.experts import Experts

pytestmark = pytest.mark.slow  # some seconds in all

PAGE = Path(__file__).parents[2] / "docs" / "other-libraries.md"

# Two stages, one with a shifted and a padded block: each kind of step, quickly traced.
SHAPE = {"depths": (2, 1), "num_heads": (1, 2), "window_size": 7}
CHANNELS = ("red", "green", "blue")


def model(dtype: torch.dtype = torch.float32, **changes: object) -> RingMoE:
    shape = {"modalities": ("optical", "sar_amplitude"), **SHAPE, **changes}
    return small_model(dtype=dtype, **shape)


def images(batch: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, 3, 96, 96, generator=torch.Generator().manual_seed(seed))


def code_of_the_page(name: str) -> str:
    return re.search(rf"<!-- {name} -->\s+```python\n(.*?)```", PAGE.read_text(), re.S)[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the page's code has exported a view to `encoder.pt2`."""
    folder = tmp_path_factory.mktemp("export")
    with chdir(folder):
        exec(code_of_the_page("export"), {"torch": torch, "model": model()})
    return folder


@pytest.fixture(scope="module")
def encoder(folder) -> nn.Module:
    return torch.export.load(folder / "encoder.pt2").module()


@pytest.fixture(autouse=True)
def forget_compiled():
    yield
    torch._dynamo.reset()


@pytest.mark.slow
class TestExport:
    @torch.no_grad()
    @pytest.mark.parametrize("batch", [1, 2, 5])
    def test_agrees_at_any_batch(self, encoder, batch):
        """Other images than it was exported with, whose tokens choose other experts."""
        x = images(batch, seed=batch)
        for ours, expected in zip(encoder(x), model().view("optical", CHANNELS)(x), strict=True):
            assert ours.shape == expected.shape
            assert difference(ours, expected) < 1e-5

    def test_another_size_is_refused(self, encoder):
        with pytest.raises(AssertionError, match="Guard failed"):
            encoder(torch.randn(2, 3, 64, 64))

    @torch.no_grad()
    def test_is_loaded_by_a_process_that_imports_the_models(self, folder):
        x = images(3)
        torch.save([x, *model().view("optical", CHANNELS)(x)], folder / "expected.pt")
        script = (
            "import torch; images, *expected = torch.load('expected.pt', weights_only=True)\n"
            + code_of_the_page("load")
            + "for m, e in zip(maps, expected, strict=True):\n"
            "    print(float((m - e).abs().max() / e.abs().max()))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        errors = [float(line) for line in done.stdout.split()]
        assert len(errors) == 2 and max(errors) < 1e-5


class TestOperator:
    """PyTorch's own checks: schema, gradient, shapes of the fake kernel, symbolic sizes."""

    @pytest.mark.parametrize("keep", [False, True])
    def test_forward(self, keep):
        experts = Experts(3, 4, 6)
        experts.reset_parameters()
        x = torch.randn(5, 4, requires_grad=keep)
        offsets = torch.tensor([2, 2, 5])
        weights = [w if keep else w.detach() for w in experts.parameters()]
        torch.library.opcheck(torch.ops.ringmoe.grouped_ffn, (x, offsets, *weights, keep))

    @pytest.mark.parametrize("learns", [False, True])
    def test_backward(self, learns):
        x, grad = torch.randn(2, 5, 4)
        w1, w2 = torch.randn(3, 4, 6), torch.randn(3, 6, 4)
        hidden, active = torch.randn(2, 5, 6)
        offsets = torch.tensor([2, 2, 5])
        torch.library.opcheck(
            torch.ops.ringmoe.grouped_ffn_backward,
            (grad, x, offsets, w1, w2, hidden, active, learns),
        )


@pytest.mark.slow
class TestCompile:
    @torch.no_grad()
    def test_a_view_has_no_graph_breaks(self):
        view = model().view("optical", CHANNELS)
        compiled = torch.compile(view, backend="eager", fullgraph=True)
        for ours, expected in zip(compiled(images(2)), view(images(2)), strict=True):
            assert difference(ours, expected) < 1e-5

    @pytest.mark.slow
    def test_training_has_no_graph_breaks(self):
        """Forward and backward of two modalities in one pass, in float64."""
        trained = model(torch.float64)
        observations = [
            observe("optical", size=(96, 32)),
            observe("sar_amplitude", channels=("VV", "VH"), size=(96, 32)),
        ]

        def gradients(forward) -> dict[str, Tensor]:
            trained.zero_grad()
            maps = [m for pyramid in forward(observations) for m in pyramid]
            sum((m * m.detach().cos()).sum() for m in maps).backward()
            return {n: p.grad for n, p in trained.named_parameters() if p.grad is not None}

        eager = gradients(trained)
        compiled = gradients(torch.compile(trained, backend="aot_eager", fullgraph=True))
        assert set(compiled) == set(eager)
        for name, gradient in eager.items():
            assert torch.allclose(compiled[name], gradient, rtol=1e-9, atol=1e-12), name

    @pytest.mark.slow
    @pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler on CPUs")
    @torch.no_grad()
    def test_inductors_code_agrees(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
        view = model(depths=(1, 1)).view("optical", CHANNELS)
        compiled = torch.compile(view, fullgraph=True)
        for ours, expected in zip(compiled(images(2)), view(images(2)), strict=True):
            assert difference(ours, expected) < 1e-5
