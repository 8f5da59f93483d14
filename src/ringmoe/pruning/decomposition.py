"""KC, knowledge compression: what singular vectors keep of the experts (arXiv 2504.03166).

With W = U S V^T of each expert's matrices, and N experts in a branch of hidden width H, each gives
its K = H / N largest:

    W1 = concat over e of (U_e S_e)      columns;  (C, N K)
    W2 = concat over e of (S_e V_e^T)    rows;     (N K, C)
    b1 = 0,  b2 = mean over e of b2_e

and the two branches and the shared expert are added. The published rule was not to be had in full:
this is our reading. Gathering experts into one by their singular vectors is from "One Student Knows
All Experts Know" (arXiv 2201.10890), which then distils: the result is a start, not the function.

A matrix of width C has rank C at most, so that for H = 4 C and 4 experts nothing is truncated; what
is lost is that both matrices of an expert speak of the same hidden units. Where K is larger than
the rank, or N does not divide H, the rest is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import torch
from torch import Tensor

from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.layer_statistics import LayerStatistics
from ringmoe.pruning.method import Integration, register
from ringmoe.pruning.summation import weighted_sum


@register
@dataclass(frozen=True)
class Decomposition(Integration):
    """One FFN a block: the experts' largest singular components side by side."""

    name: ClassVar[str] = "kc"
    needs_statistics: ClassVar[bool] = False

    def layer(self, layer: Layer, statistics: LayerStatistics | None = None) -> Layer:
        """The layer with the compressed expert."""
        return layer.dense(compress_experts(layer))


def compress_experts(layer: Layer) -> Experts:
    """A stack of one: both branches compressed, and the shared expert, added."""
    (modality,) = layer.modalities
    branches = (layer.specialized_of(modality), layer.collaborative)
    parts = (compress_branch(branch) for branch in branches if branch is not None)  # one by one
    return weighted_sum((part, 1.0) for part in chain(parts, [layer.shared]))


def compress_branch(branch: Experts) -> Experts:
    """One branch as a stack of one, computed in float64, in float32 or wider."""
    _, width, hidden = branch.w1.shape
    share = hidden // branch.count
    wide = torch.promote_types(branch.w1.dtype, torch.float32)
    w1 = branch.w1.new_zeros(1, width, hidden, dtype=wide)
    w2 = branch.w2.new_zeros(1, hidden, width, dtype=wide)
    for expert in range(branch.count):
        place = slice(expert * share, expert * share + min(share, width))
        w1[0, :, place] = scaled_left(branch.w1[expert].double(), share)
        w2[0, place] = scaled_right(branch.w2[expert].double(), share)
    b2 = branch.b2.to(wide).mean(0, keepdim=True)
    return Experts(w1, torch.zeros_like(w1[:, 0]), w2, b2)


def scaled_left(matrix: Tensor, count: int) -> Tensor:
    """`U S` of the largest `count` singular values, `(rows, count)`; signs as in `_signs`."""
    vectors, images = _components(matrix.T, count)
    return vectors * images.norm(dim=0) * _signs(vectors)


def scaled_right(matrix: Tensor, count: int) -> Tensor:
    """`S V^T` of the largest `count` singular values, `(count, columns)`."""
    vectors, images = _components(matrix, count)
    return (vectors * images.norm(dim=0) * _signs(images)).T


def _components(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest right singular vectors V as columns, and `matrix @ V`, which is U S.

    By the eigenvectors of the smaller product of the matrix with itself: a fourth of the work of a
    singular value decomposition where H = 4 C.
    """
    _, vectors = torch.linalg.eigh(matrix.T @ matrix)  # ascending
    vectors = vectors.flip(1)[:, :count]
    return vectors, matrix @ vectors


def _signs(left: Tensor) -> Tensor:
    """What makes the entry of largest magnitude of each column of U positive."""
    largest = left.gather(0, left.abs().argmax(0, keepdim=True))[0]
    return torch.where(largest < 0, -1.0, 1.0).to(left)
