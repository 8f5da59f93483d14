"""`ringmoe pretrain`."""

from __future__ import annotations

import sys

from ringmoe.pretraining import PretrainConfig
from ringmoe.pretraining import pretrain as run_pretraining
from ringmoe.training import is_first_process


def pretrain(*, config: PretrainConfig, resume: bool = False) -> None:
    """Pre-train a model on an archive, from a configuration file or flags.

    Runs on what is there: a CPU, a GPU, or several processes under torchrun, which together
    compute what one would: `torchrun --nproc-per-node 8 -m ringmoe pretrain --config FILE`.

    Args:
        config: All settings of the run.
        resume: Go on with the run in the `out` folder from its newest checkpoint.
    """
    result = run_pretraining(config, resume=resume, progress=sys.stderr.isatty())
    if is_first_process():
        print(f"model: {result.model_dir}")
        print(f"metrics: {result.metrics_path}")
