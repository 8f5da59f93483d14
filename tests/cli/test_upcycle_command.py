"""`ringmoe upcycle` from every kind of source, and what docs/upcycling.md says of it."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import ROOT
from tests.models.samples import SMALL, difference, observe
from tests.models.swin_weights import draw, small_timm

from ringmoe.cli import main
from ringmoe.models import RingMoE, load_model, save_model

pytestmark = pytest.mark.slow  # some seconds in all

PAGE = ROOT / "docs" / "upcycling.md"


@pytest.fixture
def swin(tmp_path: Path) -> Path:
    folder = tmp_path / "swin"
    folder.mkdir()
    save_file(small_timm().state_dict(), folder / "model.safetensors")
    return folder


def test_a_timm_file_becomes_a_checkpoint_of_the_same_function(swin, tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["--window-size", "4", "--image-size", "64", "--noise", "0", "--seed", "3"]
    assert main(["upcycle", str(swin / "model.safetensors"), "--out", str(out), *flags]) == 0
    printed = capsys.readouterr().out
    assert str(out) in printed and "sar_complex" in printed
    model, image = load_model(out), observe("optical")
    assert (model.config.specialized_experts, model.config.collaborative_experts) == (4, 4)
    with torch.no_grad():
        expected = small_timm().forward_intermediates(image.images, intermediates_only=True)
        for ours, theirs in zip(model([image])[0], expected, strict=True):
            assert difference(ours, theirs) < 1e-6
    assert (
        "Upcycled from model.safetensors, noise 0, seed 3." in (out / "model-card.md").read_text()
    )


def test_settings_and_the_config_beside_the_file(swin, tmp_path):
    config = {"architecture": "swinv2_small_window4_64", "num_classes": 5}
    (swin / "config.json").write_text(json.dumps(config))
    out = tmp_path / "out"
    flags = ["--modalities", "optical", "sar_amplitude", "--specialized-experts", "2"]
    flags += ["--collaborative-experts", "1", "--gate", "unit"]
    assert main(["upcycle", str(swin), "--out", str(out), *flags]) == 0
    found = load_model(out).config
    assert (found.window_size, found.image_size, found.gate) == (4, 64, "unit")
    assert found.modalities == ("optical", "sar_amplitude")
    assert (found.specialized_experts, found.collaborative_experts) == (2, 1)


def test_by_default_the_experts_differ(swin, tmp_path):
    """The default is for training: with equal experts no router would learn."""
    flags = ["--window-size", "4", "--image-size", "64"]
    assert main(["upcycle", str(swin), "--out", str(tmp_path / "out"), *flags]) == 0
    stack = load_model(tmp_path / "out").blocks()[0].ffn.experts.w1.detach()
    noise = (stack[0] - stack[1]).std() / stack.square().mean().sqrt()
    assert float(noise) == pytest.approx(0.01 * 2**0.5, rel=0.25)  # of 8 x 32 entries


def test_a_dense_ringmoe_checkpoint(tmp_path, capsys):
    shape = {"specialized_experts": 0, "collaborative_experts": 0}
    source = save_model(draw(RingMoE(SMALL.replace(**shape))), tmp_path / "dense")
    out = tmp_path / "out"
    assert main(["upcycle", str(source), "--out", str(out), "--noise", "0"]) == 0
    dense, model = load_model(source, dtype=torch.float64), load_model(out, dtype=torch.float64)
    image = observe("sar_complex")
    with torch.no_grad():
        assert difference(model([image])[0][-1], dense([image])[0][-1]) < 1e-6
    assert main(["upcycle", str(source), "--out", str(out), "--window-size", "4"]) == 2
    assert "it knows window and image size" in capsys.readouterr().err


def test_errors_are_one_line(swin, tmp_path, capsys):
    out = str(tmp_path / "out")
    for source, message in (
        (swin, f"{swin}/model.safetensors: the weights do not tell their attention windows"),
        (tmp_path / "absent", "absent is missing: expected safetensors weights"),
    ):
        assert main(["upcycle", str(source), "--out", out]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not Path(out).exists()


def test_the_python_example_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    exec(compile(code, str(PAGE), "exec"), {})
    assert load_model("upcycled").config.modalities == (
        *("optical", "multispectral", "sar_amplitude"),
    )
