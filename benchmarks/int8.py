"""What products with int8 weights cost beside floating ones, in what torch offers for them.

    python -m benchmarks.int8 [--repeats 15] [--threads 2] [--json] [--out FILE]

An expert's first product, tokens (T, C) by weights (C, 4C), each way taking turns with float32:

- `bfloat16`: both in bfloat16;
- `converted`: the weights turned from int8 to float32 and scaled at every call, which is what
  torchao 0.18 does for linear layers with int8 weights alone in eager mode;
- `int8 weights`: torch's `_weight_int8pack_mm` on bfloat16 tokens (`int8 weights, float32` on
  float32 ones);
- `int8 both`: tokens turned to int8 row by row, torch's `_int_mm`, and scaled.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.timing import Subjects, finish, keep_memory, make_parser, start
from ringmoe.pruning.quantisation import LEVELS, to_int8

SHAPES = [(96, 2304), (384, 576)]  # width C, tokens: four images of 192 px, stages 1 and 3 of tiny


def subjects(width: int, tokens: int) -> Subjects:
    """One product in every way."""
    x, weight = torch.randn(tokens, width), 0.02 * torch.randn(4 * width, width)
    values, scale = to_int8(weight)
    row = scale[:, 0]
    x_half, weight_half, row_half = x.bfloat16(), weight.bfloat16(), row.bfloat16()

    def both() -> torch.Tensor:
        step = x.abs().amax(1, keepdim=True) / LEVELS
        product = torch._int_mm((x / step).round().to(torch.int8), values.t())
        return product * step * row

    return {
        "float32": lambda: x @ weight.t(),
        "bfloat16": lambda: x_half @ weight_half.t(),
        "converted": lambda: x @ (values * scale).t(),
        "int8 weights": lambda: torch._weight_int8pack_mm(x_half, values, row_half),
        "int8 weights, float32": lambda: torch._weight_int8pack_mm(x, values, row),
        "int8 both": both,
    }


def main() -> None:
    """Measure, and print a table of times over that of float32."""
    keep_memory()
    options = make_parser("int8", "Products with int8 weights beside floating ones.").parse_args()
    turns = start(options)
    rows: list[dict[str, Any]] = []
    for width, tokens in SHAPES:
        times = turns.fastest(subjects(width, tokens))
        rows.append({"width": width, "tokens": tokens, "seconds": times})
    names = list(rows[0]["seconds"])
    lines = [" | ".join(["C", "T", "float32, ms", *(f"{name} / float32" for name in names[1:])])]
    for row in rows:
        base = row["seconds"]["float32"]
        cells = [f"{row['seconds'][name] / base:.2f}" for name in names[1:]]
        lines.append(
            " | ".join([str(row["width"]), str(row["tokens"]), f"{1e3 * base:.2f}", *cells])
        )
    finish(options, {"rows": rows}, "\n".join(lines))


if __name__ == "__main__":
    main()
