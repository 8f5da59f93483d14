"""Distillation: a student learns to make the maps that the unpruned model makes of a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ringmoe.archive import Archive, TileLoader
from ringmoe.errors import ConfigError
from ringmoe.models import default_card, load_model, read_config, save_model
from ringmoe.models.card import stated
from ringmoe.models.folder import keep_task
from ringmoe.pruning.distillation_objective import Distillation, Teacher
from ringmoe.pruning.fingerprint import fingerprint
from ringmoe.sensors import MODALITIES, modality_named
from ringmoe.training import (
    Ranks,
    RunFolder,
    RunResult,
    Trainer,
    TrainingConfig,
    begin_run,
    choose_precision,
    defaults_of,
    fit,
    join_ranks,
    require,
    require_crop,
    to_plain,
)


@dataclass(kw_only=True)
class DistilConfig(TrainingConfig):
    """All settings of a distillation run.

    Attributes:
        teacher: Checkpoint of the unpruned model.
        student: Checkpoint to start from, of any pruning method; it stays as it is.
        archive: Folder that `ringmoe ingest` made; no labels are needed.
        out: The run's folder.
        modalities: Which to distil; the result serves these alone. None: all of the student's.
        shares: Modality to its relative share of a batch; none: the same for each.
        crop_size: Edge of a training image in pixels, a multiple of 32.
        crop: "cut" (a window of the tile; always so for SAR) or "resized" (a random rectangle of
            the tile, resampled).
        balance_weight: Weight of each router's load-balance loss.
    """

    teacher: Path
    student: Path
    archive: Path
    out: Path
    modalities: list[str] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    crop_size: int = 96
    crop: Literal["cut", "resized"] = "cut"
    balance_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("teacher", "student", "archive", "out"):
            setattr(self, name, Path(getattr(self, name)))

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is loaded.

        Raises:
            ConfigError: Naming the key, what was expected and what was found.
        """
        super().check()
        require_crop(self)
        require(self, "balance_weight", self.balance_weight >= 0, "not negative")
        for modality in (*self.modalities, *self.shares):
            modality_named(modality)


def distil(config: DistilConfig, *, resume: bool = False, progress: bool = True) -> RunResult:
    """Train a student on the unpruned model's maps of unlabelled tiles.

    Under torchrun every process calls this; together they compute what one would.

    Args:
        config: All settings.
        resume: Go on with the run in `config.out`, from its newest checkpoint.
        progress: Whether to show a progress bar.

    Raises:
        ConfigError: A setting is not allowed, the checkpoints or the archive lack a modality, or
            the run in `config.out` is another one.
        CheckpointError: Teacher or student cannot be read.
        ArchiveError: The archive cannot be read.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    config.check()
    with join_ranks(config.device) as ranks:
        archive = Archive.open(config.archive)
        modalities = _chosen_modalities(config, archive)
        objective = make_distillation(config, modalities, ranks)
        loader = TileLoader(
            archive,
            batch_size=config.batch_size // config.accumulate,
            crop_size=config.crop_size,
            seed=config.seed,
            shares=config.shares or None,
            modalities=modalities,
            rank=ranks.rank,
            world_size=ranks.world_size,
            crop=config.crop,
        )
        data = f"{archive.fingerprint}, teacher {fingerprint(config.teacher)}"
        defaults = defaults_of(DistilConfig)
        run = begin_run(config.out, to_plain(config), data, ranks, resume=resume, defaults=defaults)
        trainer = Trainer(objective, config, ranks)
        trainer.resume(run)
        fit(trainer, loader, run, progress=progress)
        if ranks.is_main:
            _save_result(trainer, objective, config, run)
        ranks.wait()
    return run.result


def make_distillation(
    config: DistilConfig, modalities: Sequence[str], ranks: Ranks | None = None
) -> Distillation:
    """The objective with both checkpoints read, of each only what these modalities need."""
    device = (ranks or Ranks()).device
    precision = choose_precision(config.precision, device)
    teacher, student = (
        load_model(path, modalities, device, precision.weights)
        for path in (config.teacher, config.student)
    )
    return Distillation(
        student, Teacher(teacher, precision.context), balance_weight=config.balance_weight
    )


def _chosen_modalities(config: DistilConfig, archive: Archive) -> tuple[str, ...]:
    """The modalities to distil, in the vocabulary's order.

    Raises:
        ConfigError: The student or the archive lacks one.
    """
    own = read_config(config.student).modalities
    wanted = config.modalities or own
    for name, found in ((config.student, own), (config.archive, archive.modalities)):
        lacking = [modality for modality in wanted if modality not in found]
        if lacking:
            raise ConfigError(
                f"modalities: {name} has no {', '.join(lacking)}, only {', '.join(found)}"
            )
    return tuple(modality for modality in MODALITIES if modality in wanted)


def _save_result(
    trainer: Trainer, objective: Distillation, config: DistilConfig, run: RunFolder
) -> None:
    """The student as others load it; its moving average, if one is kept."""
    student = objective.model
    training_data = (
        f"distilled from {config.teacher.name}, beginning with {config.student.name}, on "
        f"{config.steps * config.batch_size} unlabelled images."
    )
    known = stated(config.student)
    if "training_data" in known:
        training_data += f" Before that: {known['training_data']}"
    card = default_card(student.config, **known | {"training_data": training_data})
    with trainer.averaged_weights():
        save_model(student, run.model_path, card)
    keep_task(config.student, run.model_path, student.config.modalities)
