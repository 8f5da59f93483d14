"""What a fine-tuning run is configured by, beside its labelled data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringmoe.tasks.adaptation import Adaptation
from ringmoe.training import TrainingConfig, require, require_crop


@dataclass(kw_only=True)
class FinetuneConfig(TrainingConfig):
    """All settings of a fine-tuning run but those of its data.

    Attributes:
        checkpoint: The backbone to start from: pre-trained, pruned, distilled or upcycled; or the
            name of a preset, for random weights.
        out: The run's folder.
        options: Of the task, by the names of its attributes, e.g. `method: difference`.
        adapt: What learns beside the head: "full", "frozen" (nothing), "lora", "convpass".
        rank: Of LoRA's updates.
        bypass: Width of the convolutional bypasses.
        layer_decay: Learning rate of a block over that of the next; 1 for one rate.
        head_rate: Learning rate of the head over that of the schedule.
        probe_first: Whether a classifier's head begins as the linear probe of the backbone, and not
            at random.
        balance_classes: Weight classes in the loss by the inverse of their share of the training
            labels.
        missing: With images of several modalities, the share of training batches that one of them
            is left out of; over 0, the model may lack one when it is used.
        crop_size: Edge of a training image in pixels, a multiple of 32.
        resize: Whether to resample optical images to `crop_size` in place of cutting; never SAR.
        augment: Whether to cut at random, and what `turn` says.
        turn: Whether `augment` also mirrors and turns by right angles: false where images have an
            upper side, such as SAR chips whose shadows all point one way.
        cache: Megabytes of examples that stay in memory, in each process, once they were read.
        evaluate_every: Steps between evaluations on the validation part.
        patience: Evaluations without a better value after which training ends; 0 for never.
    """

    checkpoint: str
    out: Path
    options: dict[str, Any] = field(default_factory=dict)
    adapt: Adaptation = "full"
    rank: int = 8
    bypass: int = 8
    layer_decay: float = 1.0
    head_rate: float = 1.0
    probe_first: bool = False
    balance_classes: bool = False
    missing: float = 0.0
    crop_size: int = 96
    resize: bool = False
    augment: bool = True
    turn: bool = True
    cache: int = 512
    evaluate_every: int = 100
    patience: int = 0

    def __post_init__(self) -> None:
        self.out = Path(self.out)

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is loaded.

        Raises:
            ConfigError: Naming the key, what was expected and what was found.
        """
        super().check()
        require_crop(self)
        for key in ("rank", "bypass", "evaluate_every"):
            require(self, key, getattr(self, key) >= 1, "at least 1")
        require(self, "layer_decay", 0 < self.layer_decay <= 1, "over 0, at most 1")
        require(self, "head_rate", self.head_rate > 0, "over 0")
        require(self, "missing", 0 <= self.missing < 1, "at least 0 and under 1")
        require(self, "cache", self.cache >= 0, "not negative")
        require(self, "patience", self.patience >= 0, "not negative")
