"""Timing subjects against each other in one process: they take turns, and minima are compared.

What disturbs a machine slows a turn and never speeds one up, so the least time of each subject is
the one to compare; turns taken by all meet the same weather.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.environment import describe_environment

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "100000000000", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
"""glibc gives large blocks back to the system as they are freed, unless told not to.

It then takes them anew, page by page, in every call: that would be most of what is measured.
"""

Subjects = Mapping[str, Callable[[], object]]


def keep_memory() -> None:
    """Start this command once more with `ALLOCATOR` set, if it is not: it is read at the start."""
    if sys.platform == "linux" and not all(name in os.environ for name in ALLOCATOR):
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, ALLOCATOR | os.environ)


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Turns:
    """How subjects are timed.

    Attributes:
        repeats: Turns of each subject that count.
        clock: "wall"; or "cpu", the time the process had a processor, for a machine that others
            use too. That adds up over threads: it says something of one thread alone.
        warmup: Turns before those that count.
    """

    repeats: int
    clock: str = "wall"
    warmup: int = 2

    def fastest(self, subjects: Subjects) -> dict[str, float]:
        """The least seconds of each subject over turns that alternate."""
        best = dict.fromkeys(subjects, float("inf"))
        now = CLOCKS[self.clock]
        for turn in range(self.warmup + self.repeats):
            for name, subject in subjects.items():
                _wait()
                before = now()
                subject()
                _wait()
                taken = now() - before
                if turn >= self.warmup:
                    best[name] = min(best[name], taken)
        return best


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def forward(module: nn.Module, *inputs: Any) -> Callable[[], object]:
    """A subject: the forward pass as in inference."""

    def subject() -> object:
        with torch.inference_mode():
            return module(*inputs)

    return subject


def forward_backward(
    module: nn.Module, *inputs: Any, loss: Callable[[Any], Tensor] | None = None
) -> Callable[[], object]:
    """A subject: forward, and the gradients of all parameters and of inputs that want one.

    Gradients are not accumulated: each turn gets new ones, as after `zero_grad()`.

    Args:
        module: What is timed.
        *inputs: Of its forward pass.
        loss: From its output to a scalar; None for the sum of a tensor.
    """
    wanted = [i for i in inputs if isinstance(i, Tensor) and i.requires_grad]
    leaves = [*wanted, *(p for p in module.parameters() if p.requires_grad)]

    def subject() -> object:
        out = module(*inputs)
        total = out.sum() if loss is None else loss(out)
        return torch.autograd.grad(total, leaves, allow_unused=True)

    return subject


def ratios(times: Mapping[str, float], subject: str) -> dict[str, float]:
    """The subject's time over that of each other."""
    return {name: times[subject] / taken for name, taken in times.items() if name != subject}


def make_parser(name: str, about: str) -> argparse.ArgumentParser:
    """The flags that the benchmarks share."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--repeats", type=int, default=15, help="turns of each subject")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu on a busy machine, with one thread"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of torch on the CPU")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    parser.add_argument("--out", type=Path, help="write the whole result to this file")
    return parser


def start(options: argparse.Namespace) -> Turns:
    """Set torch's threads and say how to time.

    Raises:
        SystemExit: CPU time was asked for with several threads.
    """
    if options.clock == "cpu" and options.threads != 1:
        raise SystemExit("--clock cpu adds up over threads: give --threads 1 too")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return Turns(options.repeats, options.clock)


def finish(options: argparse.Namespace, result: dict[str, Any], table: str) -> None:
    """Add where it was measured; write and print what was asked for."""
    result["repeats"], result["clock"] = options.repeats, options.clock
    result["command"] = " ".join(["python", *sys.orig_argv[1:]])
    result["environment"] = describe_environment()
    text = json.dumps(result, indent=1)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    print(text if options.json else table)
