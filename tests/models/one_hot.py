"""The RMoE layer by one-hot dispatch, as the authors' release computes it (GShard's way).

An oracle: it shares no code with `ringmoe.models.rmoe`, neither sorting nor gathering nor groups.
Capacity is as large as the number of tokens, so that none is dropped; what the release gets wrong
(a gate that is always 1) is an argument.

Shapes: T tokens, C channels, H hidden, E experts of a branch, S slots of an expert.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ringmoe.models.rmoe import RMoE


def one_hot_rmoe(layer: RMoE, x_TC: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """What `layer` makes of tokens; `spans` are (modality, number of consecutive tokens)."""
    y_TC = torch.zeros_like(x_TC)
    if layer.shared is not None:
        fc1, fc2 = layer.shared.fc1, layer.shared.fc2
        y_TC = F.gelu(x_TC @ fc1.weight.t() + fc1.bias) @ fc2.weight.t() + fc2.bias
    if layer.router is None:
        return y_TC
    each, first_shared = layer.router.specialized, layer.router.first_collaborative
    start = 0
    for modality, count in spans:
        mine = torch.arange(start, start + count)
        start += count
        experts = slice(modality * each, (modality + 1) * each)
        if each:
            y_TC = y_TC.index_add(0, mine, _branch(layer, x_TC[mine], experts))
    if layer.router.collaborative:
        y_TC = y_TC + _branch(layer, x_TC, slice(first_shared, None))
    return y_TC


def _branch(layer: RMoE, x_TC: Tensor, experts: slice) -> Tensor:
    """One branch: route, dispatch to slots, compute every slot, combine."""
    router, stack = layer.router, layer.experts
    probability_TE = (x_TC @ router.weight[experts].t()).softmax(dim=-1)
    gate_T, choice_T = probability_TE.max(dim=-1)
    chosen_TE = F.one_hot(choice_T, probability_TE.shape[1])
    slot_TE = chosen_TE.cumsum(dim=0) * chosen_TE - 1  # the n-th token of an expert: slot n
    dispatch_TES = (slot_TE[..., None] == torch.arange(len(x_TC))).to(x_TC.dtype)
    if router.gate == "unit":
        gate_T = torch.ones_like(gate_T)
    combine_TES = gate_T[:, None, None] * dispatch_TES

    slots_ESC = torch.einsum("tes,tc->esc", dispatch_TES, x_TC)
    hidden_ESH = torch.einsum("esc,ech->esh", slots_ESC, stack.w1[experts])
    active_ESH = F.gelu(hidden_ESH + stack.b1[experts, None])
    done_ESC = torch.einsum("esh,ehc->esc", active_ESH, stack.w2[experts])
    return torch.einsum("tes,esc->tc", combine_TES, done_ESC + stack.b2[experts, None])


@torch.no_grad()
def closest_call(layer: RMoE, x_TC: Tensor, spans: Sequence[tuple[int, int]]) -> float:
    """The least difference between the best and the second probability of any token, 1 if none."""
    router, margins = layer.router, [1.0]
    parts = x_TC.split([count for _, count in spans])
    branches = [(x_TC, slice(router.first_collaborative, None))]
    for (modality, _), part in zip(spans, parts, strict=True):
        first = modality * router.specialized
        branches.append((part, slice(first, first + router.specialized)))
    for tokens, rows in branches:
        if len(tokens) and len(router.weight[rows]) > 1:
            best = (tokens @ router.weight[rows].t()).softmax(-1).topk(2).values
            margins.append(float((best[:, 0] - best[:, 1]).min()))
    return min(margins)
