"""Products of matrices; in float32 where a CPU has no instructions for those of 16 bits.

Emulated, a product of bfloat16 matrices takes ten times as long as in float32, and more with a
matrix that does not lie as `(out, in)`. Its sums are of float32 anyway: converted there and back,
the result is rounded once, as it would be.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _without_instructions() -> frozenset[torch.dtype]:
    """The types of which this CPU is known to emulate products."""
    kinds = {torch.bfloat16: "bf16", torch.float16: "fp16"}
    supported = {
        dtype: getattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported", None)
        for dtype, name in kinds.items()
    }
    return frozenset(dtype for dtype, ask in supported.items() if ask is not None and not ask())


EMULATED = _without_instructions()


def emulated(x: Tensor) -> bool:
    """Whether products of `x` would be emulated; never while a graph is traced for elsewhere."""
    return x.dtype in EMULATED and x.device.type == "cpu" and not torch.compiler.is_compiling()


def compiles_shapes(x: Tensor) -> bool:
    """Whether products of `x`, under autocast too, cost milliseconds when a shape is first met.

    oneDNN compiles those of 16 bits for each shape, and keeps a thousand.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return dtype in (torch.bfloat16, torch.float16) and dtype not in EMULATED


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """No autocast: bfloat16 has 8 bits, in which 301 pixels are 300 or 302.

    Where there is none anyway nothing is entered: exporters cut their graph at each such region.
    """
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`: `(..., in)` by `(out, in)` to `(..., out)`."""
    if not emulated(x):
        return F.linear(x, weight, bias)
    wide = F.linear(x.float(), weight.float(), None if bias is None else bias.float())
    return wide.to(x.dtype)


def addmm_into(out: Tensor, bias: Tensor, x: Tensor, matrix: Tensor) -> None:
    """`out = bias + x @ matrix`, no gradient."""
    if emulated(x):
        out.copy_(torch.addmm(bias.float(), x.float(), matrix.float()))
    else:
        torch.addmm(bias, x, matrix, out=out)


def mm_into(out: Tensor, x: Tensor, y: Tensor) -> None:
    """`out = x @ y`, no gradient."""
    if emulated(x):
        out.copy_(torch.mm(x.float(), y.float()))
    else:
        torch.mm(x, y, out=out)


class Linear(nn.Linear):
    """`nn.Linear` by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in)` to `(..., out)`."""
        return linear(x, self.weight, self.bias)
