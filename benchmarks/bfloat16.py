"""Training passes on a CPU in float32 and in bfloat16, on other images every time.

    python -m benchmarks.bfloat16 [--repeats 15] [--threads 2] [--json] [--out FILE]

Forward and backward of a preset, three ways one after the other:

- `float32`;
- `bfloat16`: as `--precision bfloat16` computes it;
- `rows as they are`: the same without rounding up the rows of an expert. oneDNN compiles products
  of 16 bits for each number of rows, which routing makes another every time.

Means, not minima: the pass in which nothing has to be compiled is not the one to look at. On CPUs
without instructions for bfloat16 products are of float32, and nothing is rounded up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from benchmarks.timing import CLOCKS, Turns, finish, keep_memory, make_parser, start
from ringmoe.models import create_model, products, rmoe
from ringmoe.observation import Observation

WARMUP = 8  # turns: after so many most sizes have come by
SHAPES = [("nano", 64, 96), ("tiny", 4, 96)]  # preset, images, pixels
Subject = Callable[[], object]


def subjects(preset: str, images: int, size: int) -> dict[str, Subject]:
    """One training pass in every way."""
    model = create_model(preset, seed=0, modalities=("optical",))

    def step(half: bool) -> None:
        x = torch.randn(images, 3, size, size) * torch.rand(images, 1, 1, 1)
        seen = Observation(x, "optical", ("red", "green", "blue"))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            (pyramid,) = model([seen])
            loss = torch.stack([level.float().square().mean() for level in pyramid]).sum()
        loss.backward()
        model.zero_grad()

    def as_they_are() -> None:
        with mock.patch.object(rmoe, "compiles_shapes", lambda x: False):
            step(True)

    return {
        "float32": lambda: step(False),
        "bfloat16": lambda: step(True),
        "rows as they are": as_they_are,
    }


def mean_seconds(turns: Turns, ways: dict[str, Subject]) -> dict[str, float]:
    """Of each way by itself: in turns, one would drive the others from oneDNN's cache."""
    now, mean = CLOCKS[turns.clock], {}
    for name, subject in ways.items():
        for _ in range(WARMUP):
            subject()
        before = now()
        for _ in range(turns.repeats):
            subject()
        mean[name] = (now() - before) / turns.repeats
    return mean


def main() -> None:
    """Measure, and print a table of times over that of float32."""
    keep_memory()
    options = make_parser("bfloat16", "Training passes on a CPU in bfloat16.").parse_args()
    turns = start(options)
    rows: list[dict[str, Any]] = []
    for preset, images, size in SHAPES:
        seconds = mean_seconds(turns, subjects(preset, images, size))
        rows.append({"model": preset, "images": images, "pixels": size, "seconds": seconds})
    lines = [
        "| model | images | px | float32, s | bfloat16 / float32 | rows as they are / float32 |"
    ]
    lines.append("|" + " --- |" * 6)
    for row in rows:
        single, half, plain = row["seconds"].values()
        ratios = f"{half / single:.2f} | {plain / single:.2f}"
        lines.append(
            f"| {row['model']} | {row['images']} | {row['pixels']} | {single:.2f} | {ratios} |"
        )
    has = torch.bfloat16 not in products.EMULATED
    finish(options, {"rows": rows, "instructions": has}, "\n".join(lines))


if __name__ == "__main__":
    main()
