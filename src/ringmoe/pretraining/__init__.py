"""Masked image modelling of what the sensors measure: masks, targets, decoders, the objective."""

from ringmoe.pretraining.balance import balance_loss
from ringmoe.pretraining.evaluation import (
    HeldOut,
    Reconstruction,
    evaluate,
    load_objective,
    masked_loss,
    reconstruct,
)
from ringmoe.pretraining.objective import MaskedModelling
from ringmoe.pretraining.pretrain import PretrainConfig, RunResult, make_objective, pretrain
from ringmoe.pretraining.targets import TARGETS, make_target

__all__ = [
    "TARGETS",
    "HeldOut",
    "MaskedModelling",
    "PretrainConfig",
    "Reconstruction",
    "RunResult",
    "balance_loss",
    "evaluate",
    "load_objective",
    "make_objective",
    "make_target",
    "masked_loss",
    "pretrain",
    "reconstruct",
]
