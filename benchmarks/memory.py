"""Peak memory of activations: what forward and backward need beside weights and gradients.

    python -m benchmarks.memory CASE BATCH      one case, in MiB; benchmarks.backbone runs them all

Each figure is a process's peak of resident memory (Linux's VmHWM, so fragments and temporaries
count) over that of a like process that stopped before its forward pass: both hold the weights, and
gradients already touched, into which the backward pass adds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.timing import ALLOCATOR

CASES: dict[str, tuple[dict[str, Any], bool]] = {  # changes to tiny, whether it checkpoints
    "rmoe": ({}, False),
    "rmoe, checkpointing": ({}, True),
    "dense, hidden width 12C": (
        {"specialized_experts": 0, "collaborative_experts": 0, "mlp_ratio": 12.0},
        False,
    ),
}


def measure_memory(batch: int) -> dict[str, Any] | None:
    """MiB of activations by case, and the two ratios that count; None but on Linux."""
    if sys.platform != "linux":
        return None
    found = {
        case: max(1, _peak(case, batch) - _peak(case, batch, before_forward=True)) for case in CASES
    }
    rmoe, checkpointing, dense = found.values()
    return {
        "preset": "tiny",
        "batch": batch,
        "activations_mib": found,
        "rmoe_to_dense": rmoe / dense,
        "checkpointing_to_rmoe": checkpointing / rmoe,
    }


def _peak(case: str, batch: int, before_forward: bool = False) -> int:
    """MiB of a fresh process, with the system's allocator as it comes."""
    settings = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    command = [sys.executable, "-m", "benchmarks.memory", case, str(batch * (not before_forward))]
    return int(subprocess.run(command, env=settings, check=True, capture_output=True).stdout)


def run(case: str, batch: int) -> int:
    """Forward and backward of this process's own; with a batch of 0 neither."""
    import torch

    from benchmarks.backbone import last_maps, observe
    from ringmoe.models import create_model

    changes, checkpoints = CASES[case]
    model = create_model("tiny", **changes)
    model.set_grad_checkpointing(checkpoints)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter).fill_(0)
    if batch:
        images = observe(batch, model.config.image_size, model.config.modalities)
        last_maps(model(images)).backward()
    status = Path("/proc/self/status").read_text()
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) // 1024


if __name__ == "__main__":
    print(run(sys.argv[1], int(sys.argv[2])))
