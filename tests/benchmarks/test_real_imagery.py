"""The measurement on real imagery: its plan, what a cell says, and the tables made of cells."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from benchmarks.real_features import Network, Pixels, Statistics, image_samples, pixel_samples
from benchmarks.real_imagery import HERE, TRAINED, UNTRAINED, Settings, Subject, run_cells
from benchmarks.real_table import spread, tables
from PIL import Image

from ringmoe.datasets import LabelledTiles, class_folders
from ringmoe.errors import ConfigError
from ringmoe.models import create_model
from ringmoe.observation import Observation
from ringmoe.sensors import get_sensor


@pytest.fixture(scope="module")
def settings() -> Settings:
    plan = yaml.safe_load((HERE / "real_imagery.yaml").read_text())
    return Settings(plan, Path("data"), Path("archive"), Path("runs"), "select")


def test_every_variant_is_a_recipe_that_pretraining_accepts(settings):
    for variant in settings.changes:
        settings.recipe(variant, 1).check()


def test_a_variant_differs_from_the_base_by_what_it_says(settings):
    """Mappings are merged: one changed target leaves the other three as they were."""
    base, plain = settings.recipe("short", 1), settings.recipe("sar-complex-plain", 1)
    assert plain.targets == base.targets | {"sar_complex": "plain"}
    assert (plain.steps, plain.seed, plain.overrides) == (base.steps, 1, base.overrides)
    assert plain.out != base.out


def test_the_dense_twin_has_the_active_work_of_the_default(settings):
    """Three experts a token of hidden width 4C, or one of 12C: the same FLOPs but the routers'.

    Counted in the matrices of a block: the twin's one FFN has three times one expert's.
    """
    with torch.device("meta"):
        twin = create_model("nano", **settings.recipe("dense-twin", 0).overrides)
        default = create_model("nano")
    for block, other in zip(twin.blocks(), default.blocks(), strict=True):
        one = block.ffn.shared.fc1.weight.numel() + block.ffn.shared.fc2.weight.numel()
        each = other.ffn.shared.fc1.weight.numel() + other.ffn.shared.fc2.weight.numel()
        assert block.ffn.router is None
        assert one == 3 * each


def write_images(root: Path) -> None:
    rng = np.random.default_rng(0)
    for name, mean in (("dark", 60), ("light", 180)):
        (root / name).mkdir(parents=True)
        for number in range(1, 11):
            pixels = rng.normal(mean, 30, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{name}_{number}.png")


def test_samples_keep_images_labels_and_validation_in_step(tmp_path):
    """Dark and light images: the first feature, mean red, must split them as the labels do."""
    write_images(tmp_path)
    images = class_folders(tmp_path, "rgb-dn8")
    validation = np.arange(20) % 10 >= 8
    samples = image_samples(Statistics(), images, validation, {"size": 32, "how": "resize"})
    assert samples.x.shape == (20, 69)
    assert ((samples.x[:, 0] > 0) == (samples.y == 1)).all()
    assert samples.validation.tolist() == validation.tolist()
    network = Network(create_model("nano", seed=0, modalities=["optical"]))
    features = image_samples(network, images, validation, {"size": 32, "how": "resize"}).x
    assert features.shape == (20, 2 * (32 + 64 + 128 + 256))
    assert features.isfinite().all()


def test_pixel_samples_skip_what_has_no_label():
    """Of 32 x 32 px every 8th from the 4th: 4 x 4; one tile has no labels, so 16 of 32 remain."""
    values = np.zeros((2, 4, 32, 32), np.complex64)
    values[1, 0, 12, 20] = 5 + 5j
    labels = np.full((2, 32, 32), -1)
    labels[1] = np.arange(32)[:, None] // 8
    tiles = LabelledTiles(values, labels, ("a", "b", "c", "d"), "airsar")
    samples = pixel_samples(Statistics(), tiles, np.array([True, False]), 8)
    assert samples.x.shape == (16, 12)  # 4 polarisations: value, mean, deviation
    assert samples.y.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert not samples.validation.any()
    brightest = samples.x[:, 0].argmax().item()  # row 12 is the 2nd of the grid, column 20 the 3rd
    assert brightest == 6


def test_pixels_are_amplitudes_again():
    """The logarithm and the normalisation are taken back: 0, 100 and 255 as they were."""
    (channel,) = get_sensor("sar-amplitude-dn8").select(["unknown"])
    digital = torch.tensor([0.0, 100.0, 255.0]).view(1, 1, 1, 3)
    normalised = ((digital + channel.log_floor).log() - channel.mean) / channel.std
    observation = Observation(normalised, "sar_amplitude", (channel,))
    torch.testing.assert_close(
        Pixels().pooled([observation]), digital.view(1, 3), rtol=1e-4, atol=1e-3
    )


def test_select_never_reads_the_test_part(settings, monkeypatch):
    """In the select stage the test part of a benchmark is not so much as asked for its pixels."""

    class Untouchable:
        def __len__(self):
            return 7

        def __getattr__(self, name):
            raise AssertionError(f"the test part was asked for {name}")

    class Fake:
        train = LabelledTiles(
            np.ones((4, 13, 32, 32), np.float32),
            np.where(np.arange(32)[:, None] < 4, np.arange(32) // 16, -1)[None].repeat(4, 0),
            ("a", "b"),
            "sentinel2-l1c",
        )
        test = Untouchable()
        validation = np.array([False, False, False, True])

    monkeypatch.setattr("benchmarks.real_imagery.benchmark", lambda name, root: Fake)
    result = Subject(settings, "statistics", 0).measure("land-use-linear")
    assert set(result) == {"setting", "accuracy", "class_accuracy"}


def test_cells_are_measured_once_and_never_taken_for_those_of_another_recipe(
    settings, monkeypatch, tmp_path
):
    measured = []
    monkeypatch.setattr(Subject, "measure", lambda self, probe: measured.append(probe) or {})
    for _ in range(2):
        run_cells(settings, ["pixels", "default"], [0], tmp_path)
    assert measured == ["mstar-knn", *TRAINED]
    other = copy.deepcopy(settings.plan)
    other["variants"]["default"] = {"learning_rate": 0.5}
    with pytest.raises(ConfigError, match="of other settings"):
        run_cells(replace(settings, plan=other), ["default"], [0], tmp_path)


def test_tables_tell_mean_and_spread(tmp_path):
    """40, 50 and 60 %: mean 50, sample standard deviation 10; one seed has no spread."""
    for variant, accuracies in {"default": (0.4, 0.5, 0.6), "random": (0.3,)}.items():
        for seed, accuracy in enumerate(accuracies):
            path = tmp_path / variant / f"seed{seed}-aid-linear.json"
            path.parent.mkdir(exist_ok=True)
            cell = {
                "variant": variant,
                "probe": "aid-linear",
                "result": {"accuracy": accuracy, "class_accuracy": accuracy},
            }
            path.write_text(json.dumps(cell))
    lines = tables(tmp_path).splitlines()
    assert lines[0].startswith("| variant | AID linear |")
    assert lines[2].startswith("| random | 30.0 (1) |")
    assert lines[3].startswith("| default | 50.0 ± 10.0 |")
    assert spread([]) == ""
    assert set(UNTRAINED) == {"random", "statistics", "pixels"}
