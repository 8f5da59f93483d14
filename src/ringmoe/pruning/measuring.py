"""Sums over the tokens that pass a layer; their size does not depend on how many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ringmoe.errors import StatisticsError
from ringmoe.models.router import Branch, Routing, Span
from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.layer_statistics import BRANCHES, PARTS, LayerStatistics, Part
from ringmoe.sampling.hashing import name_key, uniform

_HIDDEN_VALUES = 2**22  # computed of an expert at once: tokens times hidden units


class LayerMeasurement:
    """Sums over the tokens that one layer saw."""

    def __init__(self, layer: Layer, samples: int, seed: int) -> None:
        self.layer = layer
        self.sums: dict[tuple[str, Part], ExpertSums] = {}
        for modality in layer.modalities:
            parts = layer.specialized_of(modality), layer.collaborative, layer.shared
            for part, experts in zip(PARTS, parts, strict=True):
                if experts is not None:
                    self.sums[modality, part] = ExpertSums(experts)
        self.samples = {m: TokenSample(samples, seed, layer.block, m) for m in layer.modalities}

    def hook(self, _: object, args: tuple[Any, ...], output: tuple[Tensor, Routing | None]) -> None:
        """After a call of the layer."""
        x: Tensor = args[0]
        spans: Sequence[Span] = args[1]
        routing = output[1]
        start = 0
        for number, length in spans:
            modality, span = self.layer.modalities[number], slice(start, start + length)
            self.samples[modality].add(x[span])
            self._add(modality, x[span], routing, span)
            start += length

    def _add(self, modality: str, x: Tensor, routing: Routing | None, span: slice) -> None:
        one = x.new_ones(len(x), dtype=torch.promote_types(x.dtype, torch.float32))
        if self.layer.shared is not None:
            self.sums[modality, "shared"].add(0, x, one)
        if routing is None:
            return
        each = self.layer.specialized
        first: dict[Branch, int] = {  # number of the branch's first expert in the stack
            "specialized": self.layer.modalities.index(modality) * each,
            "collaborative": len(self.layer.modalities) * each,
        }
        branches = [branch for branch in BRANCHES if (modality, branch) in self.sums]
        for row, branch in enumerate(branches):
            chosen = routing.experts[row, span] - first[branch]
            gate = one if routing.gates is None else routing.gates[row, span]
            sums = self.sums[modality, branch]
            for expert in range(sums.experts.count):
                tokens = torch.nonzero(chosen == expert).flatten()
                if len(tokens):
                    sums.add(expert, x[tokens], gate[tokens])

    def statistics(self, modalities: tuple[str, ...]) -> LayerStatistics:
        """The means over all tokens of each of the modalities."""
        tokens = torch.tensor([self.samples[modality].seen for modality in modalities])

        def means(name: str, parts: Sequence[Part]) -> dict[Any, Tensor]:
            found = {}
            for part in parts:
                sums = [getattr(self.sums[m, part], name) for m in modalities]
                table = torch.stack(sums).cpu()
                found[part] = table / tokens.double().view(-1, *[1] * (table.ndim - 1))
                if not found[part].isfinite().all():
                    raise StatisticsError(
                        f"the {name} of the {part} experts of block {self.layer.block} is not "
                        "finite: the weights or the images are damaged"
                    )
            return found

        parts = [part for part in PARTS if (modalities[0], part) in self.sums]
        branches: list[Part] = [part for part in BRANCHES if part in parts]
        return LayerStatistics(
            modalities=modalities,
            tokens=tokens,
            frequency=means("frequency", branches),
            gate_mass=means("gate_mass", branches),
            energy=means("energy", parts),
            unit_energy=means("unit_energy", parts),
            inputs={m: self.samples[m].rows for m in modalities},
        )


class ExpertSums:
    """Over the tokens of one modality that chose each expert of one branch."""

    def __init__(self, experts: Experts) -> None:
        self.experts = experts
        self.frequency, self.gate_mass, self.energy = experts.w1.new_zeros(
            3, len(experts.w1), dtype=torch.float64
        )
        self.units = torch.zeros_like(experts.b1, dtype=torch.float64)

    @property
    def unit_energy(self) -> Tensor:
        """`(E, H)`: the energy of a unit's activation times its row of w2."""
        return self.units * self.experts.w2.double().square().sum(-1)

    def add(self, expert: int, x: Tensor, gate: Tensor) -> None:
        """Tokens `(T, C)` that chose an expert, at gates `(T,)`."""
        w1, b1, w2, b2 = (tensor[expert] for tensor in self.experts)
        self.frequency[expert] += len(x)
        self.gate_mass[expert] += gate.sum(dtype=torch.float64)
        rows = max(1, _HIDDEN_VALUES // len(b1))
        for part, own in zip(x.split(rows), gate[:, None].split(rows), strict=True):
            hidden = F.gelu(torch.addmm(b1, part, w1))
            output = torch.addmm(b2, hidden, w2)
            self.units[expert] += (own * hidden).square().sum(0, dtype=torch.float64)
            self.energy[expert] += (own * output).square().sum(dtype=torch.float64)


class TokenSample:
    """A uniform sample of a stream of tokens, without replacement.

    Every token gets a random key by its place in the stream; those with the smallest keys are
    kept. So how the stream was cut into batches does not matter.
    """

    def __init__(self, size: int, *key: int | str) -> None:
        self.size = size
        self.seen = 0
        self._words = [name_key(word) if isinstance(word, str) else word for word in key]
        self._keys = np.empty(0)
        self._rows: Tensor | None = None

    @property
    def rows(self) -> Tensor:
        """`(N, C)` in the order of their keys, which is random, on the CPU."""
        assert self._rows is not None
        return self._rows

    def add(self, x: Tensor) -> None:
        """The next tokens of the stream, `(T, C)`."""
        keys = uniform(*self._words, np.arange(self.seen, self.seen + len(x)))
        self.seen += len(x)
        full = len(self._keys) == self.size
        near = np.flatnonzero(keys < self._keys[-1] if full else keys < np.inf)
        rows = x[torch.from_numpy(near).to(x.device)].cpu()
        keys = np.concatenate([self._keys, keys[near]])
        order = np.argsort(keys, kind="stable")[: self.size]
        self._keys = keys[order]
        rows = rows if self._rows is None else torch.cat([self._rows, rows])
        self._rows = rows[torch.from_numpy(order)]
