"""Pruning a checkpoint that is larger than memory: how much memory, how fast beside a plain copy.

    python -m benchmarks.pruning_scale --preset giant --folder /scratch --out giant.json

A checkpoint of the preset's shape with random bfloat16 weights is written to the folder, and pruned
there by each method in a process of its own, which tells its peak of resident memory (Linux's
VmHWM). Beside it stands a plain copy of as many bytes of the checkpoint, by sendfile as in
Python's `shutil`. Both end with the data on disk (fsync), and both start with files that the system
has been told to forget (posix_fadvise). The folder needs room for the checkpoint and the sub-model:
43 GB for giant.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import describe_environment
from ringmoe.files import replacing, sync
from ringmoe.models import PRESETS, ModelConfig, default_card, plan_load
from ringmoe.models.folder import CARD, write_config
from ringmoe.models.plan import shapes
from ringmoe.models.shard_writer import ShardWriter
from ringmoe.models.shards import MAX_SHARD_BYTES
from ringmoe.pruning import method_named, prune

METHODS = ("submodel", "ka", "ks")
CHUNK = 2**22  # values drawn at once
BOUND = 0.02 * 3**0.5  # of a uniform distribution of standard deviation 0.02


def write_random_checkpoint(folder: Path, config: ModelConfig, seed: int = 0) -> Path:
    """A checkpoint of bfloat16 weights, uniform of standard deviation 0.02, drawn as written."""
    generator = torch.Generator().manual_seed(seed)
    outline = {
        name: torch.empty(shape, dtype=torch.bfloat16, device="meta")
        for name, shape in shapes(config).items()
    }
    with replacing(folder) as unfinished:
        unfinished.mkdir()
        with ShardWriter(outline, unfinished, MAX_SHARD_BYTES) as writer:
            for name, tensor in outline.items():
                for start in range(0, tensor.numel(), CHUNK):
                    count = min(CHUNK, tensor.numel() - start)
                    values = torch.empty(count).uniform_(-BOUND, BOUND, generator=generator)
                    writer.append(name, values)
        write_config(unfinished, config)
        (unfinished / CARD).write_text(default_card(config))
    return folder


def prune_and_tell(checkpoint: Path, out: Path, method: str, modality: str) -> dict[str, Any]:
    """Prune in this process; seconds, and its peak of resident memory before and after."""
    before, start = peak_bytes(), time.perf_counter()
    prune(checkpoint, out, method_named(method), [modality])
    return {
        "seconds": time.perf_counter() - start,
        "peak_bytes": peak_bytes(),
        "peak_bytes_before": before,  # Python, torch and this package
    }


def prune_in_process(checkpoint: Path, out: Path, method: str, modality: str) -> dict[str, Any]:
    """The same in a fresh process, which has no peak of its own yet."""
    command = [sys.executable, "-m", "benchmarks.pruning_scale", "--run", method, "--out", str(out)]
    command += ["--folder", str(checkpoint), "--modality", modality]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def peak_bytes() -> int:
    """Peak of this process's resident memory (Linux)."""
    status = Path("/proc/self/status").read_text()
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


def measure(preset: str, folder: Path, modality: str, methods: tuple[str, ...]) -> dict[str, Any]:
    """Write, prune by each method, copy; nothing of it stays."""
    source, copy = folder / f"scale-{preset}", folder / f"scale-{preset}-copy"
    try:
        start = time.perf_counter()
        write_random_checkpoint(source, PRESETS[preset])
        written, plan = time.perf_counter() - start, plan_load(source, [modality])
        copied = copy_plainly(source, copy, plan.bytes)
        found: dict[str, Any] = {}
        for method in methods:
            out = folder / f"scale-{preset}-{method}"
            forget(source)
            run = prune_in_process(source, out, method, modality)
            size = sum(file.stat().st_size for file in out.glob("*.safetensors"))
            shutil.rmtree(out)
            found[method] = run | {
                "bytes_read": plan.bytes,
                "bytes_written": size,
                "read_bytes_per_s": plan.bytes / run["seconds"],
                "seconds_over_copy": run["seconds"] / copied,
            }
    finally:
        for path in folder.glob(f"scale-{preset}*"):
            shutil.rmtree(path)
    return {
        "preset": preset,
        "modality": modality,
        "checkpoint_bytes": plan.stored_bytes,
        "writing_it_seconds": written,
        "copy": {
            "bytes": plan.bytes,
            "seconds": copied,
            "bytes_per_s": plan.bytes / copied,
        },
        "methods": found,
        "environment": describe_environment(),
    }


def copy_plainly(source: Path, target: Path, size: int) -> float:
    """Seconds that a copy of the first bytes of a checkpoint takes, file by file."""
    forget(source)
    target.mkdir()
    start = time.perf_counter()
    for file in sorted(source.glob("*.safetensors")):
        wanted = min(size, file.stat().st_size)
        with file.open("rb") as read, (target / file.name).open("wb") as written:
            done = 0
            while done < wanted:
                done += os.sendfile(written.fileno(), read.fileno(), done, wanted - done)
        sync(target / file.name)
        size -= wanted
    seconds = time.perf_counter() - start
    shutil.rmtree(target)
    return seconds


def forget(folder: Path) -> None:
    """Ask the system to drop a folder's files from its cache."""
    for file in folder.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--folder", type=Path, default=Path("."), help="where there is room")
    parser.add_argument("--modality", default="sar_amplitude")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--run", help=argparse.SUPPRESS)  # one method, in a process of its own
    given = parser.parse_args()
    if given.run:
        print(json.dumps(prune_and_tell(given.folder, given.out, given.run, given.modality)))
        return
    result = measure(given.preset, given.folder, given.modality, tuple(given.methods))
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
