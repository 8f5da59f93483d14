"""Pre-training as one call: configuration in, run folder out."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file

from ringmoe.archive import Archive, TileLoader
from ringmoe.errors import ConfigError
from ringmoe.files import replacing
from ringmoe.models import PRESETS, RingMoE, create_model, save_model
from ringmoe.models.config import preset
from ringmoe.pretraining.masks import masked_units
from ringmoe.pretraining.objective import MaskedModelling
from ringmoe.pretraining.targets import make_target
from ringmoe.sensors import MODALITIES, modality_named
from ringmoe.training import (
    RunFolder,
    RunResult,
    Trainer,
    TrainingConfig,
    begin_run,
    defaults_of,
    fit,
    join_ranks,
    require,
    require_crop,
    to_plain,
)

HEADS_FILE = "pretraining.safetensors"  # decoders and mask token: what model/ does not hold


@dataclass(kw_only=True)
class PretrainConfig(TrainingConfig):
    """All settings of a pre-training run.

    Attributes:
        archive: Folder that `ringmoe ingest` made.
        out: The run's folder.
        model: Preset: nano, tiny, base or giant.
        overrides: Settings of the model's shape that differ from the preset's, e.g. `gate: unit`.
        modalities: Which to train on; none: all that the archive has.
        shares: Modality to its relative share of a batch; none: the same for each.
        crop_size: Edge of a training image in pixels, a multiple of 32.
        crop: "cut" (a window of the tile; always so for SAR) or "resized" (a random rectangle of
            the tile, resampled).
        mask_ratio: Share of an image's mask units that is hidden.
        mask_unit: Edge of a mask unit in pixels.
        targets: Modality to target; those not named take their default.
        balance_weight: Weight of each router's load-balance loss.
        balance_scales: Modality to a factor on that weight for its specialized routers: more than
            1 where a modality has few tiles, whose balance then fails on others.
    """

    archive: Path
    out: Path
    model: str = "nano"
    overrides: dict[str, Any] = field(default_factory=dict)
    modalities: list[str] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    crop_size: int = 96
    crop: Literal["cut", "resized"] = "cut"
    mask_ratio: float = 0.6
    mask_unit: int = 16
    targets: dict[str, str] = field(default_factory=dict)
    balance_weight: float = 0.01
    balance_scales: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.archive, self.out = Path(self.archive), Path(self.out)

    @classmethod
    def from_run(cls, run: RunFolder) -> PretrainConfig:
        """What a run was configured by.

        Raises:
            ConfigError: The folder holds no pre-training run.
        """
        found = run.config()
        unknown = set(found) - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(f"{run.config_path}: not of a pre-training run: {sorted(unknown)}")
        return cls(**found)

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is loaded.

        Raises:
            ConfigError: Naming the key, what was expected and what was found.
        """
        super().check()
        require(self, "model", self.model in PRESETS, f"one of {', '.join(PRESETS)}")
        require_crop(self)
        require(self, "mask_ratio", 0 < self.mask_ratio < 1, "over 0 and under 1")
        require(self, "balance_weight", self.balance_weight >= 0, "not negative")
        preset(self.model).replace(**self.overrides)
        masked_units((self.crop_size, self.crop_size), self.mask_unit, self.mask_ratio)
        factors = self.balance_scales.values()
        require(self, "balance_scales", all(factor >= 0 for factor in factors), "none negative")
        for modality in (*self.modalities, *self.shares, *self.balance_scales):
            modality_named(modality)
        for modality, target in self.targets.items():
            modality_named(modality)
            make_target(modality, target)


def make_objective(config: PretrainConfig, modalities: tuple[str, ...]) -> MaskedModelling:
    """The objective with first weights: a function of the configuration alone."""
    model = create_model(config.model, modalities=modalities, seed=config.seed, **config.overrides)
    return objective_around(model, config)


def objective_around(model: RingMoE, config: PretrainConfig) -> MaskedModelling:
    """A backbone with the masks, targets and fresh decoders of a configuration."""
    return MaskedModelling(
        model,
        targets=config.targets,
        mask_ratio=config.mask_ratio,
        mask_unit=config.mask_unit,
        balance_weight=config.balance_weight,
        balance_scales=config.balance_scales,
        seed=config.seed,
    )


def chosen_modalities(config: PretrainConfig, archive: Archive) -> tuple[str, ...]:
    """The modalities to train on, in the vocabulary's order.

    Raises:
        ConfigError: The archive lacks one, or `shares` names another.
    """
    wanted = config.modalities or archive.modalities
    lacking = [modality for modality in wanted if modality not in archive.modalities]
    if lacking:
        raise ConfigError(
            f"modalities: {config.archive} has no {', '.join(lacking)}, "
            f"only {', '.join(archive.modalities)}"
        )
    return tuple(modality for modality in MODALITIES if modality in wanted)


def _save_result(trainer: Trainer, run: RunFolder) -> None:
    """The backbone as others load it; decoders and mask token beside it, for reconstructions.

    With a moving average of the weights, that is the result.
    """
    objective = trainer.objective
    assert isinstance(objective, MaskedModelling)
    with trainer.averaged_weights():
        save_model(objective.model, run.model_path)
        heads = {
            name: tensor.contiguous()
            for name, tensor in objective.state_dict().items()
            if not name.startswith("model.")
        }
        with replacing(run.path / HEADS_FILE) as partial:
            save_file(heads, partial)


def pretrain(config: PretrainConfig, *, resume: bool = False, progress: bool = True) -> RunResult:
    """Pre-train a model.

    Under torchrun every process calls this; together they compute what one would.

    Args:
        config: All settings.
        resume: Go on with the run in `config.out`, from its newest checkpoint.
        progress: Whether to show a progress bar.

    Raises:
        ConfigError: A setting is not allowed, or the run in `config.out` is another one.
        ArchiveError: The archive cannot be read.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    config.check()
    with join_ranks(config.device) as ranks:
        archive = Archive.open(config.archive)
        modalities = chosen_modalities(config, archive)
        objective = make_objective(config, modalities)
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
        # What cannot be has been refused by now: the folder of a run begins with the run.
        run = begin_run(
            config.out,
            to_plain(config),
            archive.fingerprint,
            ranks,
            resume=resume,
            defaults=defaults_of(type(config)),
        )
        trainer = Trainer(objective, config, ranks)
        trainer.resume(run)
        fit(trainer, loader, run, progress=progress)
        if ranks.is_main:
            _save_result(trainer, run)
        ranks.wait()
    return run.result
