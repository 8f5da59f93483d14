"""Pre-training as a whole, on a small archive made through the real ingest."""

import json

import numpy as np
import pytest
import torch
from tests.pretraining.conftest import TINY, make_archive

from ringmoe.archive import TileLoader
from ringmoe.errors import CheckpointError, ConfigError, NonFiniteLossError
from ringmoe.models import load_model
from ringmoe.pretraining import (
    PretrainConfig,
    evaluate,
    load_objective,
    make_objective,
    masked_loss,
    pretrain,
    reconstruct,
)
from ringmoe.training import read_metrics

pytestmark = pytest.mark.slow  # each trains

MODALITIES = ("optical", "multispectral", "sar_complex", "sar_amplitude")


def config_for(archive, out, **changes):
    values = {
        "archive": archive.path, "out": out, "model": "nano", "overrides": TINY, "steps": 4,
        "batch_size": 8, "crop_size": 64, "mask_unit": 16, "warmup_steps": 1, "log_every": 1,
        "checkpoint_every": 2, "learning_rate": 0.4, "tensorboard": False, "device": "cpu",
    }  # fmt: skip
    return PretrainConfig(**(values | changes))


@pytest.fixture(scope="module")
def run(archive, tmp_path_factory):
    """Three steps, with a moving average."""
    out = tmp_path_factory.mktemp("run") / "run"
    return pretrain(config_for(archive, out, steps=3, ema=0.5), progress=False)


def test_the_loss_of_every_modality_falls_in_thirty_steps(archive, tmp_path):
    """On held-out tiles, against the first weights: at least a tenth less for each."""
    config = config_for(archive, tmp_path / "run", steps=30, batch_size=16)
    before = masked_loss(make_objective(config, MODALITIES), archive, images=9)
    after = masked_loss(pretrain(config, progress=False).run_dir, archive, images=9)
    assert set(before) == set(after) == set(MODALITIES)
    for modality in MODALITIES:
        assert after[modality] < 0.9 * before[modality], modality


def test_what_a_run_leaves(archive, run):
    files = {path.name for path in run.run_dir.iterdir()}
    assert files == {"config.yaml", "environment.json", "metrics.jsonl", "checkpoints", "model",
                     "pretraining.safetensors"}  # fmt: skip
    lines = read_metrics(run.metrics_path)
    assert len(lines) == 3
    for modality in MODALITIES:
        assert lines[0][f"reconstruction/{modality}"] > 0
    assert 1 <= lines[0]["balance"] <= 4
    blocks = len(load_model(run.model_dir).blocks())
    routers = blocks * (len(MODALITIES) + 1)  # of each modality, and the collaborative one
    assert lines[0]["loss"] == pytest.approx(
        lines[0]["reconstruction"] + 0.01 * routers * lines[0]["balance"]
    )
    assert json.loads((run.run_dir / "environment.json").read_text())["data"] == archive.fingerprint
    assert not [p for p in run.run_dir.rglob("*") if p.suffix in (".pt", ".pth", ".pkl", ".bin")]


def test_the_model_folder_is_the_moving_average(run):
    """With `ema`, what others load is the average, not the last step's weights."""
    from safetensors.torch import load_file

    weights = load_model(run.model_dir).state_dict()
    checkpoint = run.run_dir / "checkpoints" / "step-000003"
    average = load_file(checkpoint / "average.safetensors")
    last = load_file(checkpoint / "weights.safetensors")
    assert all(torch.equal(weights[name], average[f"model.{name}"]) for name in weights)
    assert not all(torch.equal(weights[name], last[f"model.{name}"]) for name in weights)


def test_evaluation_is_repeatable_and_leaves_the_objective_alone(archive, run):
    objective = load_objective(run.run_dir)
    seed = objective.seed
    first, second = (evaluate(objective, archive, images=8, batch_size=8) for _ in range(2))
    assert first.loss == second.loss
    assert objective.seed == seed
    assert first.images == 32
    assert first.routing.specialized.shape == (4, 4, 4)
    torch.testing.assert_close(
        first.routing.collaborative.sum(-1), torch.ones(4, 4, dtype=torch.float64)
    )
    other_batches = masked_loss(objective, archive, images=8, batch_size=4)
    assert other_batches == pytest.approx(first.loss, rel=1e-5)


def test_reconstruction_has_what_pictures_need(archive, run):
    objective = load_objective(run.run_dir)
    loader = TileLoader(archive, batch_size=8, crop_size=64, split="heldout", crop="centre")
    for batch in loader.batches(0):
        found = reconstruct(objective, batch)
        count = len(batch)
        assert found.input.shape == tuple(batch.observation.images.shape)
        assert found.mask.shape == found.valid.shape == (count, 64, 64)
        assert found.mask.reshape(count, -1).sum(1).tolist() == [10 * 256] * count
        assert found.prediction.shape == found.target.shape
        assert found.target.shape[1] == len(found.target_channels)
        if found.modality == "sar_complex":
            assert found.target_channels == ("power",)
            assert found.target_name == "log-power"
        assert np.isfinite(found.prediction).all()


def test_a_modality_may_be_left_out_and_shares_may_differ(archive, tmp_path):
    config = config_for(
        archive, tmp_path / "run", modalities=["sar_amplitude", "optical"],
        shares={"optical": 3, "sar_amplitude": 1}, steps=2, accumulate=2,
    )  # fmt: skip
    result = pretrain(config, progress=False)
    assert load_model(result.model_dir).config.modalities == ("optical", "sar_amplitude")
    lines = read_metrics(result.metrics_path)
    assert "reconstruction/optical" in lines[0]
    assert "reconstruction/sar_complex" not in lines[0]
    assert 1 <= lines[0]["balance"] <= 4


def test_resume_refuses_another_run(archive, tmp_path):
    out = tmp_path / "run"
    pretrain(config_for(archive, out), progress=False)
    with pytest.raises(ConfigError, match="already holds a run"):
        pretrain(config_for(archive, out), progress=False)
    with pytest.raises(ConfigError, match="mask_ratio was 0.6 and is now 0.5") as caught:  # noqa: RUF043
        pretrain(config_for(archive, out, mask_ratio=0.5), resume=True, progress=False)
    assert "\n" not in str(caught.value)


def test_resume_refuses_another_archive(archive, tmp_path):
    pretrain(config_for(archive, tmp_path / "run", steps=1), progress=False)
    other = make_archive(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="cannot resume on other data"):
        pretrain(config_for(other, tmp_path / "run", steps=1), resume=True, progress=False)


def test_a_finished_run_resumes_to_itself(archive, tmp_path):
    config = config_for(archive, tmp_path / "run")
    result = pretrain(config, progress=False)
    before = (result.model_dir / "model.safetensors").read_bytes()
    pretrain(config, resume=True, progress=False)
    assert (result.model_dir / "model.safetensors").read_bytes() == before
    assert [line["step"] for line in read_metrics(result.metrics_path)] == [1, 2, 3, 4]


def test_an_unfinished_run_says_so(archive, tmp_path):
    with pytest.raises(ConfigError, match="no run folder"):
        load_objective(tmp_path)
    result = pretrain(config_for(archive, tmp_path / "run"), progress=False)
    (result.run_dir / "pretraining.safetensors").unlink()
    with pytest.raises(CheckpointError, match="finish the run with --resume"):
        load_objective(result.run_dir)


def test_a_run_in_float64_can_be_looked_at(archive, tmp_path):
    config = config_for(archive, tmp_path / "run", steps=1, precision="float64")
    objective = load_objective(pretrain(config, progress=False).run_dir)
    assert {p.dtype for p in objective.parameters()} == {torch.float64}
    assert evaluate(objective, archive, images=8, batch_size=8).loss["optical"] > 0


def test_a_loss_that_is_not_finite_names_the_tiles(archive, tmp_path):
    """A learning rate far too high: the loss overflows after some steps."""
    out = tmp_path / "run"
    config = config_for(
        archive, out, steps=60, learning_rate=1e38, warmup_steps=0, checkpoint_every=1
    )
    with pytest.raises(NonFiniteLossError) as caught:
        pretrain(config, progress=False)
    (saved,) = out.glob("non-finite-*.json")
    found = json.loads(saved.read_text())
    assert f"step {found['step']}:" in str(caught.value)
    assert {entry["modality"] for entry in found["micro_batches"][0]} == set(MODALITIES)
    assert "scene-" in found["micro_batches"][0][0]["tiles"][0]
    newest = sorted(out.glob("checkpoints/step-*"))[-1]
    assert int(newest.name[5:]) == found["step"]  # steps taken before the one that failed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_size": 65}, "crop_size: expected a multiple of 32, got 65"),
        ({"crop_size": -32}, "crop_size: expected a multiple of 32, got -32"),
        ({"crop_size": 96, "mask_unit": 32}, "crop_size 96 is larger than the 64 px tiles"),
        ({"mask_unit": 2}, "mask_unit"),
        ({"shares": {"optical": 1}}, "shares"),
        ({"mask_ratio": 1.0}, "mask_ratio: expected over 0 and under 1"),
        ({"mask_unit": 24}, "mask_unit: 24 px does not divide an image of 64 x 64"),
        ({"model": "nanno"}, "model: expected one of nano"),
        ({"targets": {"optical": "power"}}, "targets: optical has no target 'power'"),
        ({"targets": {"radar": "power"}}, "unknown modality 'radar'"),
        ({"modalities": ["optical", "lidar"]}, "unknown modality 'lidar'"),
        ({"overrides": {"embed_dims": 3}}, "unknown model setting 'embed_dims'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    archive, tmp_path, changes, message
):
    with pytest.raises(ConfigError, match=message) as caught:
        pretrain(config_for(archive, tmp_path / "run", **changes), progress=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
