"""What every training run is configured by, whatever it trains."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ringmoe.errors import ConfigError
from ringmoe.training.precision import PrecisionName

# What may differ when a run is resumed: it changes what is watched, not what is computed, or
# (device, paths) where it is computed.
FREE_ON_RESUME = {
    "cache",
    "out",
    "archive",
    "device",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "tensorboard",
}


@dataclass(kw_only=True)
class TrainingConfig:
    """The engine's settings.

    Attributes:
        steps: Optimiser steps of the whole run.
        batch_size: Images of one step over all ranks, modalities and micro-batches.
        seed: Of weights, data order, augmentation and masks.
        learning_rate: Peak learning rate for a batch of 256 images; scaled with `batch_size`.
        weight_decay: AdamW's, not on biases, norms, position-bias parameters, mask token.
        warmup_steps: Steps of linear warm-up before the cosine.
        clip_norm: Largest Euclidean norm of the gradient; 0 does not clip.
        precision: "auto" (float32 on CPU, bfloat16 on CUDA), "float32", "bfloat16", "float64".
        accumulate: Micro-batches a step is split into.
        ema: Decay of a moving average of the weights, e.g. 0.999; 0 keeps none.
        log_every: Steps between lines of `metrics.jsonl`.
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: How many of the newest stay; 0 keeps all.
        tensorboard: Whether to write TensorBoard events too.
        device: "auto" (a GPU where there is one), "cpu", "cuda".
    """

    steps: int = 1000
    batch_size: int = 64
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_steps: int = 100
    clip_norm: float = 5.0
    precision: PrecisionName = "auto"
    accumulate: int = 1
    ema: float = 0.0
    log_every: int = 10
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    tensorboard: bool = True
    device: str = "auto"

    def check(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            ConfigError: Naming the key, what was expected and what was found.
        """
        for key in ("steps", "batch_size", "accumulate", "log_every", "checkpoint_every"):
            require(self, key, getattr(self, key) >= 1, "at least 1")
        for key in (
            "learning_rate",
            "weight_decay",
            "warmup_steps",
            "clip_norm",
            "seed",
            "keep_checkpoints",
        ):
            require(self, key, getattr(self, key) >= 0, "not negative")
        require(self, "ema", 0 <= self.ema < 1, "at least 0 and under 1")
        require(
            self,
            "batch_size",
            self.batch_size % self.accumulate == 0,
            f"a multiple of accumulate ({self.accumulate})",
        )


def require(config: TrainingConfig, key: str, holds: bool, expected: str) -> None:
    """Raise a ConfigError about one key unless `holds`."""
    if not holds:
        raise ConfigError(f"{key}: expected {expected}, got {getattr(config, key)!r}")


def require_crop(config: Any) -> None:
    """Raise a ConfigError unless `crop_size` is one that the backbone takes."""
    fits = config.crop_size > 0 and config.crop_size % 32 == 0
    require(config, "crop_size", fits, "a multiple of 32")


def to_plain(config: Any) -> dict[str, Any]:
    """A dataclass as YAML and JSON can hold it."""
    return _plain(asdict(config))


def defaults_of(kind: Any) -> dict[str, Any]:
    """What a dataclass's fields are where they are not given, as `to_plain` has it."""
    found = {}
    for field in fields(kind):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return _plain(found)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
