"""The backbone beside timm's Swin V2: attention, whole models, memory, and the cost of telemetry.

    python -m benchmarks.backbone [--parts attention models telemetry memory compile]
                                  [--batch 16] [--repeats 15] [--threads 2] [--json] [--out FILE]

Ratios are our time over the other's, minima over turns that alternate (benchmarks/timing.py):

- `attention`: window attention over timm's on the same windows; errors against timm in float64, of
  the largest value;
- `models`: the dense shape over timm's swinv2_tiny up to its last map, and the RMoE tiny over the
  dense one, where `over_flops` is the ratio over that of their FLOPs;
- `telemetry`: a forward pass with `record_routing` over one without; `off_share` is what asking
  whether anyone listens takes of it;
- `memory`: see benchmarks/memory.py;
- `compile`: only where named: a forward pass as torch.compile (inductor) made it over an eager one.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import torch
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.swin_transformer_v2 import WindowAttention as TimmAttention
from torch import Tensor, nn

from benchmarks.memory import measure_memory
from benchmarks.timing import (
    Subjects,
    Turns,
    finish,
    forward,
    forward_backward,
    keep_memory,
    make_parser,
    start,
)
from ringmoe.models import ModelConfig, RingMoE, create_model, describe, record_routing
from ringmoe.models.attention import WindowAttention
from ringmoe.observation import Observation
from ringmoe.sensors import MODALITIES

ALONE: dict[str, Any] = {"specialized_experts": 0, "collaborative_experts": 0}  # one FFN a block
ATTENTION = [  # width, heads, window, windows: the tiny preset's stages, 4 images of 192 px
    (96, 3, 12, 64),
    (192, 6, 12, 16),
    (384, 12, 12, 4),
    (768, 24, 6, 4),
]
PARTS = ("attention", "models", "telemetry", "memory")


def attention(
    turns: Turns, shapes: Sequence[tuple[int, int, int, int]] = ATTENTION
) -> list[dict[str, Any]]:
    """Rows of window attention by shape, dtype and pass."""
    rows = []
    for dim, heads, window, windows in shapes:
        ours = WindowAttention(dim, heads, window, window)
        ours.reset_parameters()
        size = (window, window)
        reference = TimmAttention(dim, size, heads, pretrained_window_size=size)
        with torch.no_grad():
            for p in ours.parameters():
                if p.dim() > 1 and p.shape != ours.logit_scale.shape:
                    p.normal_(std=p.shape[1] ** -0.5)
        reference.load_state_dict(ours.state_dict(), strict=False)  # its buffers are its own
        x = torch.randn(windows, window**2, dim)
        shape = {"dim": dim, "heads": heads, "window": window, "windows": windows}
        for dtype in (torch.float32, torch.bfloat16):
            for kind in ("forward", "forward_backward"):
                if kind == "forward_backward" and dtype == torch.bfloat16:
                    continue
                rows.append(shape | _attention_row(ours, reference, x, dtype, kind, turns))
    return rows


def _attention_row(
    ours: WindowAttention,
    reference: TimmAttention,
    x: Tensor,
    dtype: torch.dtype,
    kind: str,
    turns: Turns,
) -> dict[str, Any]:
    ours, reference = (
        copy.deepcopy(ours).to(dtype).eval(),
        copy.deepcopy(reference).to(dtype).eval(),
    )
    x = x.detach().to(dtype, copy=True).requires_grad_(kind == "forward_backward")
    size = (ours.window, ours.window)
    with torch.no_grad():
        exact = copy.deepcopy(reference).double()(x.double())
        error = (ours.attend(x, size).double() - exact).abs().max() / exact.abs().max()
    make = forward if kind == "forward" else forward_backward
    attend = _Attend(ours)
    times = turns.fastest({"ours": make(attend, x), "timm": make(reference, x)})
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "pass": kind,
        "ratio_to_timm": times["ours"] / times["timm"],
        "error": float(error),
        "milliseconds": 1e3 * times["ours"],
    }


class _Attend(nn.Module):
    """`WindowAttention.attend` as a module: windows in, windows out."""

    def __init__(self, attention: WindowAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        return self.attention.attend(x, (self.attention.window, self.attention.window))


def observe(batch: int, size: int, modalities: tuple[str, ...]) -> list[Observation]:
    """Noise, as many images of each modality, `batch` in all (at least one of each)."""
    channels = {m: MODALITIES[m].vocabulary for m in modalities}
    each = max(1, batch // len(modalities))
    return [Observation(torch.randn(each, len(c), size, size), m, c) for m, c in channels.items()]


def last_maps(pyramids: list[tuple[Tensor, ...]]) -> Tensor:
    """A scalar that depends on all of a model: a stand-in for a loss."""
    total = pyramids[0][-1].sum()
    for pyramid in pyramids[1:]:
        total = total + pyramid[-1].sum()
    return total


class _Features(nn.Module):
    """timm's model up to its last map."""

    def __init__(self, model: SwinTransformerV2) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)


def against_timm(batch: int, turns: Turns) -> list[dict[str, Any]]:
    """The dense shape over timm's model of the same shape."""
    rows = []
    for size, window in ((256, 8), (192, 12)):
        config = ModelConfig(image_size=size, window_size=window, modalities=("optical",), **ALONE)
        ours = RingMoE(config)
        theirs = _Features(SwinTransformerV2(size, window_size=window, drop_path_rate=0.0))
        (image,) = observe(batch, size, ("optical",))
        for kind in ("forward", "forward_backward"):
            subjects = {
                "ours": _pass(ours, [image], kind),
                "timm": forward(theirs.eval(), image.images)
                if kind == "forward"
                else forward_backward(theirs.train(), image.images),
            }
            times = turns.fastest(subjects)
            rows.append(
                {"size": size, "window": window, "batch": batch, "pass": kind}
                | {"ratio_to_timm": times["ours"] / times["timm"]}
                | {f"images_per_s_{name}": batch / taken for name, taken in times.items()}
            )
    return rows


def _pass(model: RingMoE, observations: list[Observation], kind: str) -> Any:
    if kind == "forward":
        return forward(model.eval(), observations)
    return forward_backward(model.train(), observations, loss=last_maps)


def against_dense(batch: int, turns: Turns) -> list[dict[str, Any]]:
    """The RMoE tiny over the dense tiny on images of four modalities."""
    full, dense = create_model("tiny", seed=0), create_model("tiny", seed=0, **ALONE)
    flops = describe(full.config)["flops_per_image"]
    work = flops["total"] / flops["dense"]
    observations = observe(batch, full.config.image_size, full.config.modalities)
    rows = []
    for kind in ("forward", "forward_backward"):
        subjects = {name: _pass(m, observations, kind) for name, m in _named(full, dense)}
        times = turns.fastest(subjects)
        ratio = times["rmoe"] / times["dense"]
        rows.append(
            {"preset": "tiny", "batch": batch, "pass": kind, "ratio_to_dense": ratio}
            | {"flop_ratio": work, "over_flops": ratio / work}
            | {f"images_per_s_{name}": batch / taken for name, taken in times.items()}
        )
    return rows


def _named(full: RingMoE, dense: RingMoE) -> list[tuple[str, RingMoE]]:
    return [("rmoe", full), ("dense", dense)]


def telemetry(batch: int, turns: Turns) -> dict[str, Any]:
    """What watching the routers costs, on and off."""
    model = create_model("tiny", seed=0)
    observations = observe(batch, model.config.image_size, model.config.modalities)
    plain = _pass(model, observations, "forward")

    def watched() -> None:
        with record_routing(model):
            plain()

    times = turns.fastest({"off": plain, "on": watched})
    asked, begun = 100_000, time.perf_counter()
    for _ in range(asked):
        if model.load_listeners:
            raise AssertionError
        for _listen in model.load_listeners:
            raise AssertionError
    asking = (time.perf_counter() - begun) / asked
    return {
        "batch": batch,
        "on_over_off": times["on"] / times["off"],
        "off_share": asking / times["off"],
    }


def compiled(batch: int, turns: Turns) -> list[dict[str, Any]]:
    """Forward passes as inductor compiled them over eager ones."""
    rows = []
    for name, changes in (("dense tiny", ALONE), ("tiny", {})):
        model = create_model("tiny", seed=0, **changes).eval()
        view = model.view("optical")
        (image,) = observe(batch, model.config.image_size, ("optical",))
        subjects: Subjects = {
            "compiled": forward(torch.compile(view, fullgraph=True), image.images),  # type: ignore[arg-type]
            "eager": forward(view, image.images),
        }
        times = turns.fastest(subjects)
        rows.append({"model": name, "batch": batch, "ratio": times["compiled"] / times["eager"]})
    return rows


def table(result: dict[str, Any]) -> str:
    """Every row on a line, for people."""
    lines = []
    for part, rows in result.items():
        for row in rows if isinstance(rows, list) else [rows]:
            cells = (f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
            lines.append(f"{part}: " + ", ".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Measure the parts that were named."""
    keep_memory()
    parser = make_parser("backbone", __doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=(*PARTS, "compile"), default=PARTS)
    parser.add_argument("--batch", type=int, default=16, help="images, a multiple of four")
    options = parser.parse_args()
    turns, batch = start(options), options.batch
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "attention": lambda: {"attention": attention(turns)},
        "models": lambda: {
            "dense_to_timm": against_timm(batch // 4, turns),
            "rmoe_to_dense": against_dense(batch, turns),
        },
        "telemetry": lambda: {"telemetry": telemetry(batch, turns)},
        "memory": lambda: {"memory": measure_memory(batch)},
        "compile": lambda: {"compile": compiled(batch // 4, turns)},
    }
    result: dict[str, Any] = {}
    for part in options.parts:
        result |= measures[part]()
    text = table(result)
    finish(options, result | {"timm": metadata.version("timm")}, text)


if __name__ == "__main__":
    main()
