"""What a model does with tiles of each modality: the measurements that pruning decides by."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ringmoe import __version__
from ringmoe.errors import ConfigError, StatisticsError, WriteError
from ringmoe.files import replacing
from ringmoe.models import ModelConfig, RingMoE
from ringmoe.pruning.fingerprint import fingerprint
from ringmoe.pruning.layer_statistics import BRANCHES, LayerStatistics

NUMBERS, ARRAYS = "statistics.json", "statistics.safetensors"
SUFFIX = ".statistics"
FORMAT = 1


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
                    LayerStatistics.read(numbers, arrays, f"{block}.", wanted)
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
        return {
            "format": FORMAT,
            "ringmoe": __version__,
            "fingerprint": self.fingerprint,
            "images": self.images,
            "model": dataclasses.asdict(self.config),
            "layers": [layer.numbers() for layer in self.layers],
        }

    def _arrays(self) -> dict[str, Tensor]:
        return {
            f"{block}.{name}": array
            for block, layer in enumerate(self.layers)
            for name, array in layer.arrays().items()
        }


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


def _compact(text: str) -> str:
    """JSON with each list of numbers on one line."""
    return re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def _path(checkpoint: RingMoE | str | Path) -> str:
    return "CHECKPOINT" if isinstance(checkpoint, RingMoE) else str(checkpoint)
