"""`ringmoe distil`."""

from __future__ import annotations

import sys

from ringmoe.pruning import DistilConfig
from ringmoe.pruning import distil as run_distillation
from ringmoe.training import is_first_process


def distil(*, config: DistilConfig, resume: bool = False) -> None:
    """Train a pruned model on the maps that the unpruned one makes of unlabelled tiles.

    As `ringmoe pretrain`: from a configuration file or flags, on a CPU, a GPU, or several processes
    under torchrun, which together compute what one would.

    Args:
        config: All settings of the run.
        resume: Go on with the run in the `out` folder from its newest checkpoint.
    """
    result = run_distillation(config, resume=resume, progress=sys.stderr.isatty())
    if is_first_process():
        print(f"model: {result.model_dir}")
        print(f"metrics: {result.metrics_path}")
