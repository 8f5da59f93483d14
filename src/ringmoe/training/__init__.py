"""One engine for pre-training and fine-tuning: it knows an objective, and no task."""

from ringmoe.training.balance import balance_loss, stack_loads, total_balance
from ringmoe.training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from ringmoe.training.config import (
    TrainingConfig,
    defaults_of,
    require,
    require_crop,
    to_plain,
)
from ringmoe.training.distributed import (
    Ranks,
    choose_device,
    gather,
    is_first_process,
    join_ranks,
)
from ringmoe.training.engine import StepResult, Trainer
from ringmoe.training.loop import DataSource, fit
from ringmoe.training.metrics import read_metrics
from ringmoe.training.objective import Objective, Terms
from ringmoe.training.precision import choose_precision
from ringmoe.training.run_folder import RunFolder, RunResult, begin_run

__all__ = [
    "DataSource",
    "Objective",
    "Ranks",
    "RunFolder",
    "RunResult",
    "StepResult",
    "Terms",
    "Trainer",
    "TrainingConfig",
    "balance_loss",
    "begin_run",
    "choose_device",
    "choose_precision",
    "defaults_of",
    "fit",
    "gather",
    "is_first_process",
    "join_ranks",
    "load_checkpoint",
    "load_weights",
    "read_metrics",
    "require",
    "require_crop",
    "save_checkpoint",
    "stack_loads",
    "to_plain",
    "total_balance",
]
