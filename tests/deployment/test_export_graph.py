"""What exported models are made of, without exporting: experts, normalisation, bad input."""

import errno
import importlib.util
import os
import re

import numpy as np
import pytest
import torch
from tests.models.samples import difference, observe
from tests.tasks.labelled import make_backbone

from ringmoe.cli import main
from ringmoe.deployment import backbone_input, export, export_model, read_metadata
from ringmoe.deployment.graph import Graph, Normalisation
from ringmoe.deployment.unrolled_experts import unrolled
from ringmoe.errors import CheckpointError, ConfigError, UnknownChannelError
from ringmoe.models import save_model
from ringmoe.sensors import get_sensor, list_sensors, normalise
from ringmoe.tasks import Segmentation, TaskModel, TaskSource, save_task

RGB = TaskSource("rgb-dn8", ("red", "green", "blue"))


class TestUnrolledExperts:
    """The sum over all experts with gates of 0, or over the rows of each, is the layer's."""

    @pytest.mark.parametrize("masked", [True, False], ids=["masked", "routed"])
    @pytest.mark.parametrize(
        "shape",
        [
            {"specialized_experts": 3, "collaborative_experts": 4},
            {"specialized_experts": 0, "gate": "unit"},
            {"collaborative_experts": 0, "shared_expert": False},
            {"collaborative_experts": 4, "kept_experts": ((0, 3), (), (1,), (0, 1, 2, 3))},
        ],
        ids=["both", "collaborative", "specialized", "pruned"],
    )
    @torch.no_grad()
    def test_computes_what_the_layers_compute(self, shape, masked):
        """Two modalities, the first in two images of different sizes; float64."""
        model = make_backbone(**shape).double()
        images = [
            observe("optical", 2, (32, 32)),
            observe("optical", 1, (64, 32), seed=1),
            observe("sar_amplitude", 3, (32, 32), seed=2),
        ]
        expected = model(images)
        layers = [block.ffn for block in model.blocks()]
        with unrolled(model, masked):
            assert all(block.ffn not in layers for block in model.blocks() if block.ffn.router)
            found = model(images)
        assert [block.ffn for block in model.blocks()] == layers
        for ours, theirs in zip(found, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert difference(a, b) < 1e-12

    def test_shares_the_weights(self):
        model = make_backbone(specialized_experts=1)
        stack = model.blocks()[0].ffn.experts.w1
        with unrolled(model, masked=False):
            assert model.blocks()[0].ffn.w1[1].data_ptr() == stack[1].data_ptr()
        with unrolled(model, masked=True):
            part = model.blocks()[0].ffn.neighbours["1"].w1
            assert part.data_ptr() == stack[1].data_ptr()

    def test_a_dense_layer_stays(self):
        model = make_backbone(specialized_experts=0, collaborative_experts=0)
        layer = model.blocks()[0].ffn
        with unrolled(model, masked=True):
            assert model.blocks()[0].ffn is layer


@pytest.mark.parametrize("sensor", list_sensors(), ids=lambda sensor: sensor.name)
def test_normalisation_is_that_of_the_sensors(sensor):
    """Over the values that products hold, and below zero, as subtracted noise leaves them."""
    channels = sensor.stem_channels()
    low, high = np.array([channel.valid_range for channel in channels]).T[..., None, None]
    shares = np.random.default_rng(0).uniform(-0.1, 1, (2, len(channels), 5, 6))
    values = (low + shares * (high - low)).astype(np.float32)
    expected = normalise(values, channels)
    found = Normalisation(channels)(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


class TestWhatEntersABackbone:
    modalities = ("optical", "sar_amplitude")

    def test_the_sensor_says_all(self):
        image = backbone_input(("optical", "multispectral"), sensor="sentinel2-l2a")
        sensor = get_sensor("sentinel2-l2a")
        assert (image.modality, image.channels, image.gsd) == (
            "multispectral",
            sensor.channels,
            sensor.gsd,
        )

    def test_the_only_modality(self):
        image = backbone_input(("optical",))
        assert (image.modality, image.channels) == ("optical", ("red", "green", "blue"))

    def test_chosen_channels_in_their_order(self):
        image = backbone_input(self.modalities, "sar_amplitude", channels=["VV", "HH"], gsd=3)
        assert (image.channels, image.gsd, image.sensor) == (("VV", "HH"), 3, "")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "serves optical, sar_amplitude: choose one with --modality"),
            ({"modality": "multispectral"}, "the backbone has no multispectral: it serves optical"),
            ({"modality": "optical", "sensor": "sentinel1-grd"}, "of modality sar_amplitude, not"),
        ],
    )
    def test_what_does_not_follow_is_refused(self, given, message):
        with pytest.raises(ConfigError, match=message):
            backbone_input(self.modalities, **given)

    def test_normalisation_without_a_sensor(self):
        model = make_backbone()
        with pytest.raises(ConfigError, match="needs to know the sensor"):
            Graph(model, [backbone_input(self.modalities, "optical")], normalises=True)

    def test_a_channel_that_the_stem_does_not_know(self, tmp_path):
        image = backbone_input(("optical",), channels=["red", "nir"])
        with pytest.raises(UnknownChannelError, match="nir"):
            export_model(make_backbone(), tmp_path / "m.pt2", image_size=32, image=image)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_model(make_backbone(), tmp_path_factory.mktemp("export") / "backbone")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    model = TaskModel(make_backbone(), Segmentation(classes=("a", "b")), {"image": RGB})
    return save_task(model, tmp_path_factory.mktemp("export") / "task", tile_size=32)


class TestBadInput:
    """One line on standard error, exit code 2, and no file."""

    def error(self, capsys, *words):
        assert main(["export", *map(str, words)]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and "Traceback" not in line
        return line

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--out", "model.pth"], r"model\.pth: let the name end in \.onnx or \.pt2"),
            (["--out", "m.pt2"], r"serves optical, sar_amplitude: choose one with --modality"),
            (["--out", "m.pt2", "--modality", "radar"], "the backbone has no radar"),
            (
                ["--out", "m.pt2", "--modality", "optical", "--image-size", "40"],
                "40 x 40 pixels cannot enter the model: pad or crop to multiples of 32",
            ),
            (
                ["--out", "m.pt2", "--modality", "optical", "--image-size", "-32"],
                "image_size must be a positive multiple of 32, got -32",
            ),
            (
                ["--out", "m.pt2", "--modality", "optical", "--gsd", "-5"],
                "gsd must be a positive number of metres, got -5",
            ),
            (
                ["--out", "m.pt2", "--sensor", "rgb-dn8", "--gsd", "0"],
                "gsd must be a positive number of metres, got 0",
            ),
            (["--out", "m.pt2", "--modality", "optical", "--batch", "-1"], "batch must be 1 or mo"),
            (["--out", "m.pt2", "--modality", "optical", "--with-normalisation"], "give --sensor"),
        ],
    )
    def test_of_a_backbone(self, backbone, tmp_path, monkeypatch, capsys, words, message):
        monkeypatch.chdir(tmp_path)
        assert re.search(message, self.error(capsys, backbone, *words))
        assert not list(tmp_path.iterdir())

    def test_a_task_has_its_own_images(self, task, tmp_path, capsys):
        line = self.error(capsys, task, "--out", tmp_path / "m.pt2", "--modality", "optical")
        assert "modality: a task's model has its own images" in line

    def test_onnx_is_not_installed(self, backbone, tmp_path, monkeypatch, capsys):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
        )
        line = self.error(capsys, backbone, "--out", tmp_path / "m.onnx", "--modality", "optical")
        assert "ONNX needs onnxscript: pip install 'ringmoe[onnx]', or write a .pt2" in line

    def test_no_checkpoint(self, tmp_path, capsys):
        assert "is no checkpoint" in self.error(capsys, tmp_path, "--out", tmp_path / "m.pt2")

    def test_a_folder_in_the_way(self, backbone, tmp_path, capsys):
        (tmp_path / "m.pt2").mkdir()
        assert "is a folder" in self.error(capsys, backbone, "--out", tmp_path / "m.pt2")

    def test_a_full_disk(self, backbone, tmp_path, monkeypatch, capsys):
        """The older file stands, and nothing half-written lies beside it."""

        def full(program, out, metadata):
            out.write_text("the first part of")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))

        monkeypatch.setattr(export, "trace", lambda *_: None)
        monkeypatch.setattr(export, "write_pt2", full)
        (tmp_path / "m.pt2").write_text("an older one")
        line = self.error(capsys, backbone, "--out", tmp_path / "m.pt2", "--modality", "optical")
        assert f"cannot write {tmp_path / 'm.pt2'}: No space left" in line
        assert (tmp_path / "m.pt2").read_text() == "an older one"
        assert len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize("name", ["m.onnx", "m.pt2"])
    def test_metadata_of_something_else(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(CheckpointError, match=name):
            read_metadata(tmp_path / name)
