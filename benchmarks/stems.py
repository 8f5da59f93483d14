"""What a spectral stem costs over a named one: `python -m benchmarks.stems [--json]`.

Each row is one shape, batch and pass: the least time with a spectral stem over that with a named
one, of the stem alone and of the whole model, all 13 multispectral channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.timing import (
    Turns,
    finish,
    forward,
    forward_backward,
    keep_memory,
    make_parser,
    start,
)
from ringmoe.models import RingMoE, create_model

MODALITY = "multispectral"
SIZES = (("nano", 1), ("nano", 16), ("tiny", 1))
KINDS = ("named", "spectral")


class _StemOnly(nn.Module):
    """A model's stem with its channels."""

    def __init__(self, model: RingMoE) -> None:
        super().__init__()
        self.stem = model.stem(MODALITY)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stem(x, self.stem.vocabulary, 10.0)


class _LastMap(nn.Module):
    """A whole model; its last map."""

    def __init__(self, model: RingMoE) -> None:
        super().__init__()
        self.view = model.view(MODALITY, gsd=10.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.view(x)[-1]


def measure(turns: Turns) -> list[dict[str, Any]]:
    """One row a shape, batch, part and pass."""
    rows = []
    for preset, batch in SIZES:
        models = {
            kind: create_model(preset, seed=0, modalities=[MODALITY], stem=kind) for kind in KINDS
        }
        side = models["named"].config.image_size
        images = torch.randn(batch, 13, side, side, generator=torch.Generator().manual_seed(0))
        for part, wrap in (("stem", _StemOnly), ("model", _LastMap)):
            modules = {kind: wrap(model) for kind, model in models.items()}
            for name, how in (("forward", forward), ("forward_backward", forward_backward)):
                for module in modules.values():
                    module.train(name != "forward")
                subjects = {kind: how(module, images) for kind, module in modules.items()}
                times = turns.fastest(subjects)
                rows.append(
                    {
                        "preset": preset,
                        "batch": batch,
                        "part": part,
                        "pass": name,
                        "named_s": times["named"],
                        "ratio_to_named": times["spectral"] / times["named"],
                    }
                )
    return rows


def main() -> None:
    """Print the table, or with --json all of it with the environment."""
    options = make_parser("stems", "A spectral stem's time over a named one's.").parse_args()
    keep_memory()
    rows = measure(start(options))
    lines = [f"{'':32} {'named':>10}  ratio"]
    for row in rows:
        title = f"{row['preset']} x {row['batch']}, {row['part']}, {row['pass']}"
        lines.append(f"{title:40} {1000 * row['named_s']:8.2f} ms  {row['ratio_to_named']:.3f}")
    finish(options, {"rows": rows}, "\n".join(lines))


if __name__ == "__main__":
    main()
