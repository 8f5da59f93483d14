"""Two processes equal one, on an objective made to be hard to split."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.training.ranks import train

from ringmoe.errors import ConfigError
from ringmoe.training import choose_device

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Rank 0 holds 9 to 12 of 12 rows, rank 1 the rest, at times none; float64, to 1e-12."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "tests/training/ranks.py", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)
    _, weights, losses = train()
    for rank in range(2):
        world_size, *found = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        assert world_size == 2
        assert found[0] == pytest.approx(weights, rel=0, abs=1e-12)
        assert found[1] == pytest.approx(losses, rel=0, abs=1e-12)


def test_a_device_that_is_not_here(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="torch sees no GPU; use cpu or auto"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="expected auto, cpu or cuda, got 'gpu'"):
        choose_device("gpu")
