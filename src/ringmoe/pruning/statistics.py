"""What a model does with tiles of each modality: the measurements that pruning decides by."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ringmoe import __version__
from ringmoe.errors import ConfigError, StatisticsError, WriteError
from ringmoe.files import replacing
from ringmoe.models import ModelConfig, RingMoE
from ringmoe.models.router import Branch
from ringmoe.pruning.fingerprint import fingerprint

Part = Literal["specialized", "collaborative", "shared"]
BRANCHES: tuple[Branch, ...] = get_args(Branch)
PARTS: tuple[Part, ...] = (*BRANCHES, "shared")

NUMBERS, ARRAYS = "statistics.json", "statistics.safetensors"
SUFFIX = ".statistics"
FORMAT = 1
_TABLES = ("frequency", "gate_mass", "energy")  # the small ones, kept as JSON


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


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of all blocks of one model.

    Attributes:
        config: The model's shape, with the modalities that were measured.
        fingerprint: Of the checkpoint's weights (`fingerprint`).
        layers: One for each block.
        images: By modality, how many were seen.
    """

    config: ModelConfig
    fingerprint: str
    layers: tuple[LayerStatistics, ...]
    images: dict[str, int]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Which were measured."""
        return self.config.modalities

    def of(self, modalities: Sequence[str]) -> Statistics:
        """Those of some modalities, in this order.

        Raises:
            StatisticsError: One was not measured.
        """
        _check_measured(modalities, self.modalities, "these statistics")
        return Statistics(
            config=self.config.replace(modalities=tuple(modalities)),
            fingerprint=self.fingerprint,
            layers=tuple(layer.of(modalities) for layer in self.layers),
            images={modality: self.images[modality] for modality in modalities},
        )

    def shares(self) -> dict[str, dict[str, np.ndarray]]:
        """By branch and modality `(blocks, experts)` frequencies, NaN where an expert is pruned.

        A branch that no block has is left out. It is what `ringmoe.reports` draws.
        """
        config = self.config
        own = tuple(range(config.specialized_experts))
        found: dict[str, dict[str, np.ndarray]] = {}
        for branch in BRANCHES:
            experts = {
                "specialized": config.specialized_experts,
                "collaborative": config.collaborative_experts,
            }[branch]
            table = np.full((len(self.modalities), len(self.layers), experts), np.nan)
            for block, layer in enumerate(self.layers):
                if branch in layer.frequency:
                    there = own if branch == "specialized" else config.kept_in(block)
                    table[:, block, list(there)] = layer.frequency[branch].numpy()
            if not np.isnan(table).all():
                found[branch] = dict(zip(self.modalities, table, strict=True))
        return found

    def check_measured_on(self, checkpoint: RingMoE | str | Path) -> None:
        """Raise StatisticsError unless they were measured on these weights.

        Args:
            checkpoint: A model, or a checkpoint as `load_model` takes it.

        Raises:
            StatisticsError: They were not.
            CheckpointError: It is no checkpoint.
        """
        if fingerprint(checkpoint) != self.fingerprint:
            name = "this model" if isinstance(checkpoint, RingMoE) else str(checkpoint)
            raise StatisticsError(
                f"the statistics were measured on other weights ({self.fingerprint[:8]}) than "
                f"those of {name}: measure its own with `ringmoe prune {_path(checkpoint)} "
                "--calibrate ARCHIVE`"
            )

    def save(self, folder: str | Path) -> Path:
        """Write a folder, whole or not at all: `statistics.json` and `statistics.safetensors`.

        Args:
            folder: Where to, not inside a checkpoint; `statistics_folder` names the usual place.

        Raises:
            WriteError: It cannot be written, or holds something else.
        """
        folder = Path(folder)
        refuse_to_overwrite(folder)
        with replacing(folder) as unfinished:
            unfinished.mkdir()
            (unfinished / NUMBERS).write_text(_compact(json.dumps(self._numbers(), indent=1)))
            (unfinished / ARRAYS).touch()  # safetensors would make it readable for its owner alone
            mode = (unfinished / ARRAYS).stat().st_mode
            try:
                save_file(self._arrays(), unfinished / ARRAYS)
                (unfinished / ARRAYS).chmod(mode)
            except SafetensorError as error:  # a full disk, in words of its own
                raise WriteError(f"cannot write {folder / ARRAYS}: {error}") from None
        return folder

    @classmethod
    def load(cls, folder: str | Path, modalities: Sequence[str] | None = None) -> Self:
        """Read what `save` wrote.

        Args:
            folder: The folder.
            modalities: Which to read; None for all. Samples of others are not read.

        Raises:
            StatisticsError: There are none, they are damaged, or lack a modality.
        """
        file = Path(folder) / NUMBERS
        if not file.is_file():
            raise StatisticsError(
                f"{folder} holds no statistics: measure them with `ringmoe prune CHECKPOINT "
                "--calibrate ARCHIVE`"
            )
        try:
            values = json.loads(file.read_text())
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']}, this version reads {FORMAT}")
            config = ModelConfig.from_dict(values["model"])
            wanted = config.modalities if modalities is None else tuple(modalities)
            _check_measured(wanted, config.modalities, str(folder))
            with safe_open(Path(folder) / ARRAYS, framework="pt") as arrays:
                layers = tuple(
                    _layer(block, numbers, wanted, arrays)
                    for block, numbers in enumerate(values["layers"])
                )
            if len(layers) != sum(config.depths):
                raise ValueError(f"{len(layers)} blocks, {sum(config.depths)} are due")
            images = {modality: values["images"][modality] for modality in wanted}
            part = config.replace(modalities=wanted)
            return cls(part, values["fingerprint"], layers, images)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            if isinstance(error, StatisticsError):
                raise
            why = error if isinstance(error, ConfigError) else repr(error)
            raise StatisticsError(f"{folder} cannot be read ({why}): measure anew") from None

    def _numbers(self) -> dict[str, Any]:
        layers = [
            {
                modality: {"tokens": int(layer.tokens[row])}
                | {name: _row(getattr(layer, name), row) for name in _TABLES}
                for row, modality in enumerate(layer.modalities)
            }
            for layer in self.layers
        ]
        return {
            "format": FORMAT,
            "ringmoe": __version__,
            "fingerprint": self.fingerprint,
            "images": self.images,
            "model": dataclasses.asdict(self.config),
            "layers": layers,
        }

    def _arrays(self) -> dict[str, Tensor]:
        found = {}
        for block, layer in enumerate(self.layers):
            for row, modality in enumerate(layer.modalities):
                for part, energy in layer.unit_energy.items():
                    found[f"{block}.{modality}.unit_energy.{part}"] = energy[row].contiguous()
                found[f"{block}.{modality}.inputs"] = layer.inputs[modality].contiguous()
        return found


def statistics_folder(checkpoint: str | Path) -> Path:
    """Where the statistics of a checkpoint folder are kept: beside it, `NAME.statistics`."""
    path = Path(checkpoint).absolute()
    return path.with_name(path.name + SUFFIX)


def refuse_to_overwrite(folder: Path) -> None:
    """Raise WriteError if the folder holds what is no part of statistics."""
    found = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    strays = {n for n in found - {NUMBERS, ARRAYS} if not n.endswith(".png")}  # pictures of them
    if strays:
        raise WriteError(
            f"{folder} holds more than statistics ({', '.join(sorted(strays)[:3])}): choose "
            "another folder, nothing was overwritten"
        )


def load_statistics(
    checkpoint: str | Path,
    folder: str | Path | None = None,
    modalities: Sequence[str] | None = None,
) -> Statistics:
    """The statistics of a checkpoint, refused if they are another's.

    Args:
        checkpoint: As `load_model` takes it.
        folder: Where they are; None for beside the checkpoint.
        modalities: Which to read; None for all that were measured.

    Raises:
        StatisticsError: There are none, they are damaged, of other weights, or lack a modality.
        CheckpointError: It is no checkpoint.
    """
    folder = statistics_folder(checkpoint) if folder is None else Path(folder)
    if not folder.is_dir():
        raise StatisticsError(
            f"there are no statistics in {folder}: measure them with `ringmoe prune {checkpoint} "
            "--calibrate ARCHIVE`"
        )
    found = Statistics.load(folder, modalities)
    found.check_measured_on(checkpoint)
    return found


def _check_measured(wanted: Sequence[str], measured: Sequence[str], where: str) -> None:
    for modality in wanted:
        if modality not in measured:
            raise StatisticsError(
                f"{where} were not measured on {modality!r}, only on {', '.join(measured)}: "
                "calibrate with an archive that has it"
            )


def _layer(
    block: int, numbers: dict[str, Any], modalities: tuple[str, ...], arrays: Any
) -> LayerStatistics:
    """One block, from its JSON and the open file of arrays."""
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
            [arrays.get_tensor(f"{block}.{m}.unit_energy.{part}") for m in modalities]
        )
        for part in tables["energy"]
    }
    return LayerStatistics(
        modalities=modalities,
        tokens=torch.tensor([numbers[modality]["tokens"] for modality in modalities]),
        unit_energy=unit_energy,
        inputs={m: arrays.get_tensor(f"{block}.{m}.inputs") for m in modalities},
        **tables,
    )


def _row(table: dict[Any, Tensor], row: int) -> dict[str, list[float]]:
    return {part: values[row].tolist() for part, values in table.items()}


def _compact(text: str) -> str:
    """JSON with each list of numbers on one line."""
    return re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def _path(checkpoint: RingMoE | str | Path) -> str:
    return "CHECKPOINT" if isinstance(checkpoint, RingMoE) else str(checkpoint)
