"""The RMoE layer beside a dense FFN of equal active work, and beside other ways to compute it.

    python -m benchmarks.moe_layer [--repeats 15] [--threads 2] [--json] [--out FILE]

All subjects get the same tokens, as many of each of the four modalities. Every `ratio_to_...` is
the layer's time over the other's, minima over turns that alternate:

- `dense`: a plain FFN of hidden width 12C, the work of the three experts (4C each) a token passes;
- `one_hot`: dispatch as in the authors' release (arXiv 2504.03166), by products with one-hot
  matrices: capacity 1.2, groups of 2304 tokens; forward;
- `loop`: the same experts one by one, `index_add` to put their tokens back;
- `few` is of another kind: 21 experts for four modalities over 6 for one, equal tokens.

Where CUDA is there are rows of the large widths in bfloat16 too, beside dense and the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import (
    Turns,
    finish,
    forward,
    forward_backward,
    keep_memory,
    make_parser,
    ratios,
    start,
)
from ringmoe.models import ModelConfig
from ringmoe.models.experts import Experts
from ringmoe.models.rmoe import FeedForward, RMoE
from ringmoe.models.router import Router, Span

SHAPES = [(96, 9216), (192, 4608), (384, 4608)]  # width C, tokens: stages 1 to 3 of the tiny preset
CUDA_SHAPES = [(c, k * 1024) for c in (448, 896, 1792, 3584) for k in (4, 16, 64)]
CAPACITY, GROUP = 1.2, 2304
EMULATED_REPEATS = 3  # of bfloat16 on CPUs without instructions for it: some 25 times slower
PASSES: dict[str, Callable[..., Callable[[], object]]] = {
    "forward": forward,
    "forward_backward": forward_backward,
}
FULL = ModelConfig()
PRUNED = FULL.replace(modalities=("optical",), collaborative_experts=1)  # 4 + 1 + 1 experts


class Layer(nn.Module):
    """The layer as it is, for spans of tokens that are known.

    Args:
        config: Experts and modalities.
        dim: Channels C.
        tokens: T, shared evenly among the modalities.
    """

    def __init__(self, config: ModelConfig, dim: int, tokens: int) -> None:
        super().__init__()
        self.config = config
        count = len(config.modalities)
        self.spans: list[Span] = [(m, tokens // count) for m in range(count)]
        self.layer = RMoE(config, dim)
        for module in self.layer.modules():
            if isinstance(module, Router | Experts):
                module.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """`(T, C)` to `(T, C)`."""
        return self.layer(x, self.spans)[0]


class Loop(nn.Module):
    """The same layer as a plain loop: each expert a module, which finds its tokens.

    Args:
        layer: Whose router and shared expert it uses, and whose experts it copies.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        assert layer.layer.router is not None and layer.layer.experts is not None
        assert layer.layer.shared is not None
        self.spans, self.router, self.shared = layer.spans, layer.layer.router, layer.layer.shared
        stacked = layer.layer.experts
        count, dim, hidden = stacked.w1.shape
        self.experts = nn.ModuleList(FeedForward(dim, hidden) for _ in range(count)).to(
            stacked.w1.device, stacked.w1.dtype
        )
        with torch.no_grad():
            for expert, w1, b1, w2, b2 in zip(self.experts, *stacked.parameters(), strict=True):
                assert isinstance(expert, FeedForward)
                for own, given in zip(expert.parameters(), (w1.t(), b1, w2.t(), b2), strict=True):
                    own.copy_(given)

    def forward(self, x: Tensor) -> Tensor:
        """`(T, C)` to `(T, C)`."""
        routing = self.router(x, self.spans)
        assert routing.gates is not None
        out = self.shared(x)
        for chosen, gates in zip(routing.experts, routing.gates.to(x.dtype), strict=True):
            for number, expert in enumerate(self.experts):
                (rows,) = torch.where(chosen == number)
                if len(rows):
                    out = out.index_add(0, rows, expert(x[rows]) * gates[rows, None])
        return out


class OneHot(nn.Module):
    """The release's way: products with a one-hot tensor carry tokens to experts and back.

    Groups are of 2304 tokens in their order. A group that holds several modalities has the
    specialized experts of all of them as classes, so that its cost is that of one modality's.

    Args:
        layer: Whose weights it uses.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.inner, self.spans, self.config = layer.layer, layer.spans, layer.config

    def forward(self, x: Tensor) -> Tensor:
        """`(T, C)` to `(T, C)`; tokens over an expert's capacity get nothing from it."""
        assert self.inner.router is not None and self.inner.shared is not None
        out = self.inner.shared(x)
        routing = self.inner.router(x, self.spans)
        assert routing.gates is not None
        owned, shared = self.config.specialized_experts, self.config.collaborative_experts
        modality = torch.repeat_interleave(
            torch.tensor([m for m, _ in self.spans]), torch.tensor([n for _, n in self.spans])
        )
        routed = []
        for head in range(0, len(x), GROUP):
            rows = slice(head, head + GROUP)
            present = modality[rows].unique().tolist()
            first, last = present[0] * owned, (present[-1] + 1) * owned
            collaborative = len(self.config.modalities) * owned
            parts = [
                self._dispatch(x[rows], choice[rows], gate[rows].to(x.dtype), begin, end)
                for choice, gate, (begin, end) in zip(
                    routing.experts,
                    routing.gates,
                    [(first, last), (collaborative, collaborative + shared)],
                    strict=True,
                )
            ]
            routed.append(parts[0] + parts[1])
        return out + torch.cat(routed)

    def _dispatch(self, x: Tensor, choice: Tensor, gate: Tensor, begin: int, end: int) -> Tensor:
        """One branch of one group: experts `begin` to `end`."""
        assert self.inner.experts is not None
        w1, b1, w2, b2 = (p[begin:end] for p in self.inner.experts.parameters())
        capacity = math.ceil(CAPACITY * len(x) / (end - begin))
        chosen = F.one_hot(choice - begin, end - begin)
        place = chosen.cumsum(0) * chosen - 1  # of a token among those of its expert
        slot = F.one_hot(place.clamp(min=0, max=capacity), capacity + 1)[..., :capacity]
        dispatch = (slot * chosen[..., None]).to(x.dtype)  # (tokens, experts, capacity)
        rows = torch.einsum("sep,sc->epc", dispatch, x)
        hidden = F.gelu(torch.baddbmm(b1[:, None], rows, w1))
        done = torch.baddbmm(b2[:, None], hidden, w2)
        return torch.einsum("sep,epc->sc", dispatch * gate[:, None, None], done)


def measure(
    dim: int, tokens: int, dtype: torch.dtype, kind: str, turns: Turns, device: str = "cpu"
) -> dict[str, Any]:
    """One row of the result."""
    x = torch.randn(tokens, dim, device=device, dtype=dtype, requires_grad=kind != "forward")
    with torch.device(device):
        layer = Layer(FULL, dim, tokens).to(dtype)
        modules: dict[str, nn.Module] = {
            "layer": layer,
            "dense": nn.Sequential(
                nn.Linear(dim, 12 * dim), nn.GELU(), nn.Linear(12 * dim, dim)
            ).to(dtype),
            "loop": Loop(layer),
        }
        if device == "cpu" and kind == "forward":
            modules["one_hot"] = OneHot(layer)
    times = turns.fastest({name: PASSES[kind](m, x) for name, m in modules.items()})
    found = ratios(times, "layer")
    return {
        "device": device,
        "dim": dim,
        "tokens": tokens,
        "dtype": str(dtype).removeprefix("torch."),
        "pass": kind,
        "repeats": turns.repeats,
        "ratio_to_dense": found["dense"],
        "ratio_to_one_hot": found.get("one_hot"),
        "ratio_to_loop": found["loop"],
        "milliseconds": {name: 1e3 * taken for name, taken in times.items()},
    }


def measure_numbers(dim: int, tokens: int, turns: Turns) -> dict[str, Any]:
    """21 experts over 6 at equal tokens, forward and backward in float32."""
    x = torch.randn(tokens, dim, requires_grad=True)
    layers = {"full": Layer(FULL, dim, tokens), "pruned": Layer(PRUNED, dim, tokens)}
    times = turns.fastest({name: forward_backward(m, x) for name, m in layers.items()})
    ratio = times["full"] / times["pruned"]
    return {"dim": dim, "tokens": tokens, "experts": [21, 6], "ratio": ratio}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for people."""
    lines = [f"{'C':>5} {'T':>6} {'type':9} {'pass':17} {'dense':>6} {'one-hot':>8} {'loop':>6}"]
    for row in rows:
        one_hot = row["ratio_to_one_hot"]
        lines.append(
            f"{row['dim']:5} {row['tokens']:6} {row['dtype']:9} {row['pass']:17} "
            f"{row['ratio_to_dense']:6.2f} {'' if one_hot is None else f'{one_hot:.3f}':>8} "
            f"{row['ratio_to_loop']:6.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all rows."""
    keep_memory()
    parser = make_parser("moe_layer", __doc__.splitlines()[0])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=PASSES)
    options = parser.parse_args()
    turns = start(options)
    few = replace(turns, repeats=min(turns.repeats, EMULATED_REPEATS), warmup=1)
    emulated = {"bfloat16"} if not torch.ops.mkldnn._is_mkldnn_bf16_supported() else set()
    rows = [
        measure(dim, tokens, getattr(torch, dtype), kind, few if dtype in emulated else turns)
        for dtype in options.dtypes
        for dim, tokens in SHAPES
        for kind in options.passes
    ]
    if torch.cuda.is_available():
        rows += [
            measure(dim, tokens, torch.bfloat16, kind, turns, "cuda")
            for dim, tokens in CUDA_SHAPES
            for kind in options.passes
        ]
    numbers = [measure_numbers(dim, tokens, turns) for dim, tokens in SHAPES]
    text = table(rows) + "".join(
        f"\n{n['dim']:5} {n['tokens']:6} 21 experts over 6: {n['ratio']:.2f}" for n in numbers
    )
    result = {"rows": rows, "experts_21_to_6": numbers, "emulated": sorted(emulated)}
    finish(options, result, text)


if __name__ == "__main__":
    main()
