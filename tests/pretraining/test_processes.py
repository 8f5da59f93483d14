"""What must hold across processes: two ranks equal one, and a kill changes nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.pretraining.conftest import TINY

from ringmoe.training import RunFolder, read_metrics

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def write_config(archive, folder, **changes) -> Path:
    values = {
        "archive": str(archive.path), "overrides": TINY, "crop_size": 64, "mask_unit": 16,
        "steps": 10, "batch_size": 8, "warmup_steps": 2, "learning_rate": 0.05, "log_every": 1,
        "tensorboard": False, "device": "cpu",
    }  # fmt: skip
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values | changes))
    return path


def command(config, out, *words, ranks=1) -> list[str]:
    launcher = TORCHRUN if ranks == 2 else []
    return [
        sys.executable, *launcher, "-m", "ringmoe", "pretrain",
        "--config", str(config), "--out", str(out), *words,
    ]  # fmt: skip


def train(config, out, *words, ranks=1) -> str:
    done = subprocess.run(
        command(config, out, *words, ranks=ranks),
        cwd=ROOT, env=ENVIRONMENT, timeout=300, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def final_weights(out) -> dict[str, torch.Tensor]:
    newest = RunFolder(out).latest_checkpoint()
    assert newest is not None
    return load_file(newest / "weights.safetensors")


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_two_processes_equal_one(archive, tmp_path, precision):
    """Shares of 5:1:1:1 of 8 images: rank 0 gets no multispectral image, rank 1 has them all.

    The optical tiles have a corner without data, and every second SLC batch is dual-pol. float64:
    weights after 10 steps to 1e-9; float32: losses of 10 steps to 1e-5. In float32 the learning
    rate is a quarter: at the whole one a token near a tie chose another expert in the seventh step,
    and the losses, 6e-8 apart until then, were 2e-5 apart.
    """
    shares = {"optical": 5, "multispectral": 1, "sar_complex": 1, "sar_amplitude": 1}
    rate = 0.05 if precision == "float64" else 0.0125
    config = write_config(archive, tmp_path, precision=precision, shares=shares, learning_rate=rate)
    train(config, tmp_path / "one")
    said = train(config, tmp_path / "two", ranks=2)
    assert said.count("model: ") == 1  # by one for all
    one, two = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert len(one) == len(two) == 10
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0, abs=1e-5)
        assert a["balance"] == pytest.approx(b["balance"], rel=0, abs=1e-5)
    if precision == "float64":
        weights, other = final_weights(tmp_path / "one"), final_weights(tmp_path / "two")
        assert weights.keys() == other.keys()
        for name, value in weights.items():
            assert value.dtype is torch.float64
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-9)


def test_a_killed_run_resumes_to_the_same_bits(archive, tmp_path):
    """SIGKILL after a random step, `--resume`: all weights as in the run that was never killed."""
    config = write_config(archive, tmp_path, steps=12, checkpoint_every=3, precision="float32")
    train(config, tmp_path / "whole")
    last = random.randint(1, 10)
    print(f"killed once step {last} was logged")
    out = tmp_path / "killed"
    with subprocess.Popen(
        command(config, out), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.DEVNULL
    ) as process:
        metrics = out / "metrics.jsonl"
        while process.poll() is None:
            if metrics.exists() and len(read_metrics(metrics)) >= last:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "model").exists()
    train(config, out, "--resume")
    whole, resumed = final_weights(tmp_path / "whole"), final_weights(out)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    model = Path("model") / "model.safetensors"
    assert (out / model).read_bytes() == (tmp_path / "whole" / model).read_bytes()
    losses = [
        [(line["step"], line["loss"]) for line in read_metrics(tmp_path / name / "metrics.jsonl")]
        for name in ("whole", "killed")
    ]
    assert losses[0] == losses[1]
