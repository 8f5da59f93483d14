"""What one block does with tiles of each modality, in memory and as a file has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, get_args

import torch
from torch import Tensor

from ringmoe.models.router import Branch

Part = Literal["specialized", "collaborative", "shared"]
BRANCHES: tuple[Branch, ...] = get_args(Branch)
PARTS: tuple[Part, ...] = (*BRANCHES, "shared")

_TABLES = ("frequency", "gate_mass", "energy")  # the small ones, kept as JSON


class Arrays(Protocol):
    """An open file of arrays."""

    def get_tensor(self, name: str, /) -> Tensor:
        """One of them."""


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """Of one block. M modalities, E experts of a branch, H hidden units of an expert, C channels.

    A branch without experts has no entry. The E experts of the specialized branch are the
    modality's own; those of the collaborative branch are the ones that the block keeps. Means are
    over all the modality's tokens, whoever they chose: an expert that was not chosen counts 0.

    Attributes:
        modalities: The rows of the tables.
        tokens: `(M,)` int64, how many were seen.
        frequency: `(M, E)` float64, share of the tokens that chose each expert.
        gate_mass: `(M, E)` float64, mean of the gate.
        energy: `(M, E)` float64, mean of |gate * expert(x)|^2; `(M, 1)` for the shared expert.
        unit_energy: `(M, E, H)` float64, mean of (gate * gelu(h))^2 * |row of w2|^2 for each
            hidden unit h: what it alone would contribute to `energy`.
        inputs: By modality `(N, C)`: a uniform sample of the layer's input tokens in random order,
            so that its first rows are a uniform sample too.
    """

    modalities: tuple[str, ...]
    tokens: Tensor
    frequency: dict[Branch, Tensor]
    gate_mass: dict[Branch, Tensor]
    energy: dict[Part, Tensor]
    unit_energy: dict[Part, Tensor]
    inputs: dict[str, Tensor]

    def of(self, modalities: Sequence[str]) -> LayerStatistics:
        """Those of some modalities, in this order."""
        rows = [self.modalities.index(modality) for modality in modalities]
        return LayerStatistics(
            modalities=tuple(modalities),
            tokens=self.tokens[rows],
            frequency={part: table[rows] for part, table in self.frequency.items()},
            gate_mass={part: table[rows] for part, table in self.gate_mass.items()},
            energy={part: table[rows] for part, table in self.energy.items()},
            unit_energy={part: table[rows] for part, table in self.unit_energy.items()},
            inputs={modality: self.inputs[modality] for modality in modalities},
        )

    def numbers(self) -> dict[str, dict[str, Any]]:
        """The small tables, by modality, as JSON has them."""
        return {
            modality: {"tokens": int(self.tokens[row])}
            | {
                name: {part: table[row].tolist() for part, table in getattr(self, name).items()}
                for name in _TABLES
            }
            for row, modality in enumerate(self.modalities)
        }

    def arrays(self) -> dict[str, Tensor]:
        """The large ones, by the names that they are written with."""
        found = {}
        for row, modality in enumerate(self.modalities):
            for part, energy in self.unit_energy.items():
                found[f"{modality}.unit_energy.{part}"] = energy[row].contiguous()
            found[f"{modality}.inputs"] = self.inputs[modality].contiguous()
        return found

    @classmethod
    def read(
        cls,
        numbers: Mapping[str, Mapping[str, Any]],
        arrays: Arrays,
        prefix: str,
        modalities: tuple[str, ...],
    ) -> Self:
        """Those of some modalities, from what `numbers` and `arrays` gave.

        Args:
            numbers: The small tables.
            arrays: The open file, where each name of an array follows `prefix`.
            prefix: Tells this block's arrays from others.
            modalities: Which to read.

        Raises:
            KeyError: A table or a modality is not there.
        """
        tables = {
            name: {
                part: torch.tensor(
                    [numbers[modality][name][part] for modality in modalities], dtype=torch.float64
                )
                for part in numbers[modalities[0]][name]
            }
            for name in _TABLES
        }
        unit_energy = {
            part: torch.stack(
                [arrays.get_tensor(f"{prefix}{m}.unit_energy.{part}") for m in modalities]
            )
            for part in tables["energy"]
        }
        return cls(
            modalities=modalities,
            tokens=torch.tensor([numbers[modality]["tokens"] for modality in modalities]),
            unit_energy=unit_energy,
            inputs={m: arrays.get_tensor(f"{prefix}{m}.inputs") for m in modalities},
            **tables,
        )
