"""Masked image modelling of what the sensors measure: masks, targets, decoders, the objective."""

from ringmoe.pretraining.evaluation import (
    HeldOut,
    Reconstruction,
    evaluate,
    load_objective,
    masked_loss,
    reconstruct,
)
from ringmoe.pretraining.objective import MaskedModelling
from ringmoe.pretraining.pretrain import (
    PretrainConfig,
    make_objective,
    objective_around,
    pretrain,
)
from ringmoe.pretraining.targets import TARGETS, make_target
from ringmoe.training import RunResult

__all__ = [
    "TARGETS",
    "HeldOut",
    "MaskedModelling",
    "PretrainConfig",
    "Reconstruction",
    "RunResult",
    "evaluate",
    "load_objective",
    "make_objective",
    "make_target",
    "masked_loss",
    "objective_around",
    "pretrain",
    "reconstruct",
]
