"""Images a second of a whole backbone, and how long one takes: giant, and its dense 1 B.

    python -m benchmarks.inference --presets giant --batches 1 64 256 --out FILE

Features of optical images at the native size, in the preset's full shape and in the dense shape
that pruning ends at (one FFN a block). Weights are drawn where they lie: giant needs a GPU that
holds 29.5 GB, and no more memory elsewhere. What they are does not change the work, but for how
evenly tokens are spread over experts: the largest share of one is told.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.pruning_scale import BOUND
from benchmarks.timing import Turns, finish, forward, make_parser, start
from ringmoe.models import ModelConfig, RingMoE, describe, record_routing
from ringmoe.models.config import preset

DENSE = {"specialized_experts": 0, "collaborative_experts": 0}
CHANNELS = ("red", "green", "blue")


def make(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> RingMoE:
    """A model with random weights, never anywhere but on the device."""
    with torch.device("meta"):
        model = RingMoE(config).to(dtype)
    model = model.to_empty(device=device).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-BOUND, BOUND)
    return model


def measure(
    name: str, config: ModelConfig, batches: list[int], turns: Turns, dtype: torch.dtype
) -> list[dict[str, Any]]:
    """A row for each batch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = make(config, device, dtype)
    view = model.view("optical", CHANNELS)
    parameters = describe(config)["parameters"]["total"]
    rows = []
    for batch in batches:
        x = torch.randn(batch, len(CHANNELS), config.image_size, config.image_size, dtype=dtype)
        x = x.to(device)
        (seconds,) = turns.fastest({name: forward(view, x)}).values()
        rows.append(
            {
                "model": name,
                "parameters": parameters,
                "size": config.image_size,
                "batch": batch,
                "dtype": str(dtype).removeprefix("torch."),
                "milliseconds": 1e3 * seconds,
                "images_per_s": batch / seconds,
                "busiest_expert": _busiest(model, view, x),
            }
        )
    return rows


def _busiest(model: RingMoE, view: torch.nn.Module, x: torch.Tensor) -> float | None:
    """The largest share of tokens that one expert of a branch gets, over all blocks."""
    if not model.config.specialized_experts:
        return None
    with torch.inference_mode(), record_routing(model) as record:
        view(x)
    shares = record.specialized
    return None if shares is None else float(shares.max())


def main() -> None:
    """Measure all rows."""
    parser = make_parser("inference", __doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=["giant"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64, 256])
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    options = parser.parse_args()
    turns, dtype = start(options), getattr(torch, options.dtype)
    rows = []
    for name in options.presets:
        full = preset(name)
        dense = full.replace(modalities=("optical",), **DENSE)
        rows += measure(name, full, options.batches, turns, dtype)
        rows += measure(f"{name}, dense", dense, options.batches, turns, dtype)
    table = "\n".join(
        f"{row['model']:14} {row['parameters'] / 1e9:6.2f} B, batch {row['batch']:4}: "
        f"{row['milliseconds']:9.2f} ms, {row['images_per_s']:9.2f} images/s"
        for row in rows
    )
    finish(options, {"rows": rows}, table)


if __name__ == "__main__":
    main()
