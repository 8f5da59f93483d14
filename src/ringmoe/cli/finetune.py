"""`ringmoe finetune`."""

from __future__ import annotations

import sys

from ringmoe.cli._figures import print_figures
from ringmoe.cli._run_report import report_training
from ringmoe.datasets import DataConfig
from ringmoe.errors import ConfigError
from ringmoe.tasks import FinetuneConfig, TaskName, best_validation
from ringmoe.tasks import finetune as run_finetuning
from ringmoe.training import choose_device, is_first_process


def finetune(
    task: TaskName,
    *,
    config: FinetuneConfig,
    data: DataConfig,
    frozen: bool = False,
    resume: bool = False,
) -> None:
    """Adapt a model to a task with labelled images.

    A backbone gets the task's head, and both learn from a folder of images and labels, or from a
    CSV that lists them. With `--config`, settings of the labelled images stand in a section
    `data:`. The run's folder then holds the task's model, the split, and what it scored on the
    validation part while it learned, and `report.html`, with pictures of what the model says;
    `ringmoe evaluate` scores it on the test part.

    Args:
        task: What for.
        config: All settings of the run.
        data: Of the labelled images.
        frozen: Let the head alone learn: the same as `--adapt frozen`.
        resume: Go on with the run in the `out` folder from its newest checkpoint.
    """
    if frozen:
        if config.adapt not in ("full", "frozen"):
            raise ConfigError(
                f"--frozen, --adapt {config.adapt}: expected one of the two, got both"
            )
        config.adapt = "frozen"
    result = run_finetuning(task, config, data, resume=resume, progress=sys.stderr.isatty())
    if not is_first_process():
        return
    best = best_validation(result.run_dir)
    if best is not None:
        print_figures(f"validation, step {best.pop('step')}", best)
    print(f"model: {result.model_dir}")
    print(f"report: {report_training(result.run_dir, choose_device(config.device))}")
