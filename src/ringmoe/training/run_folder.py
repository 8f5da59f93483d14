"""A run is a folder.

config.yaml         what was asked for, every default written out
environment.json    versions, machine, fingerprint of the data
metrics.jsonl       one line a logged step
tensorboard/        the same for TensorBoard
checkpoints/        where to go on from
model/              the result
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from ringmoe import __version__
from ringmoe.errors import ConfigError
from ringmoe.files import replacing
from ringmoe.training.checkpoint import list_checkpoints
from ringmoe.training.config import FREE_ON_RESUME
from ringmoe.training.distributed import Ranks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """Where a run's results are.

    Attributes:
        run_dir: The run folder.
        model_dir: The trained backbone, as `load_model` reads it.
        metrics_path: One JSON line a logged step.
    """

    run_dir: Path
    model_dir: Path
    metrics_path: Path


class RunFolder:
    """The paths of one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_path = self.path / "config.yaml"
        self.environment_path = self.path / "environment.json"
        self.metrics_path = self.path / "metrics.jsonl"
        self.tensorboard_path = self.path / "tensorboard"
        self.checkpoints_path = self.path / "checkpoints"
        self.model_path = self.path / "model"

    @property
    def result(self) -> RunResult:
        """Where the results of the finished run are."""
        return RunResult(self.path, self.model_path, self.metrics_path)

    def latest_checkpoint(self) -> Path | None:
        """The newest whole checkpoint, None before the first."""
        found = list_checkpoints(self.checkpoints_path)
        return found[-1] if found else None

    def config(self) -> dict[str, Any]:
        """What the run was configured by.

        Raises:
            ConfigError: This folder holds no run.
        """
        try:
            return yaml.safe_load(self.config_path.read_text())
        except OSError as error:
            raise ConfigError(
                f"{self.path} is no run folder: {self.config_path.name} cannot be read "
                f"({error.strerror})"
            ) from None


def begin_run(
    path: Path,
    config: Mapping[str, Any],
    fingerprint: str,
    ranks: Ranks,
    *,
    resume: bool,
    defaults: Mapping[str, Any] | None = None,
    contents: str = "",
) -> RunFolder:
    """Make a run folder, or check that the one there is of the same run.

    Args:
        path: Where.
        config: Plain values; `FREE_ON_RESUME` are not compared.
        fingerprint: Of the training data.
        ranks: Goes into environment.json.
        resume: Go on with the run that is there; with none there, start it.
        defaults: Of settings that a run's file may lack, having been written before they were.
        contents: A fingerprint that does not know files that were mended; where it is the same,
            other files are only warned of.

    Raises:
        ConfigError: A run is there and `resume` is false, or its configuration or data differ.
        WriteError: The folder cannot be written.
    """
    run = RunFolder(path)
    was_there = run.config_path.exists()
    ranks.wait()  # until every rank has looked: the first is about to write
    if was_there:
        if not resume:
            raise ConfigError(f"{path} already holds a run: resume it (--resume) or name another")
        _check_same_run(run, config, defaults or {})
        _check_same_data(run, fingerprint, contents)
    elif ranks.is_main:
        environment = describe_environment(ranks) | {"data": fingerprint, "contents": contents}
        with replacing(run.environment_path) as partial:
            partial.write_text(json.dumps(environment, indent=2) + "\n")
        with replacing(run.config_path) as partial:  # last: where it stands, the run has begun
            partial.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    return run


def _check_same_run(run: RunFolder, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    old = _completed(run.config(), defaults)
    differ = [
        f"{key} was {old.get(key)!r} and is now {config.get(key)!r}"
        for key in sorted({*old, *config} - FREE_ON_RESUME)
        if old.get(key) != config.get(key)
    ]
    if differ:
        raise ConfigError(
            f"{run.config_path}: cannot resume with another configuration: {'; '.join(differ)}"
        )


def _check_same_data(run: RunFolder, fingerprint: str, contents: str) -> None:
    known = json.loads(run.environment_path.read_text())
    if known["data"] == fingerprint:
        return
    if contents and known.get("contents") == contents:
        logger.warning("%s: files of the data have changed since the run began", run.path)
        return
    raise ConfigError(
        f"{run.environment_path}: cannot resume on other data: the run began with fingerprint "
        f"{known['data']}, this one has {fingerprint}: give its data, or begin another run (--out)"
    )


def _completed(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, those of sections too, with what they lack by default."""
    found = {**defaults, **settings}
    for name, section in defaults.items():
        if isinstance(section, dict) and isinstance(settings.get(name), dict):
            found[name] = _completed(settings[name], section)
    return found


def describe_environment(ranks: Ranks) -> dict[str, Any]:
    """Versions and machine, as environment.json has them."""
    return {
        "ringmoe": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(ranks.device)
        if ranks.device.type == "cuda"
        else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "world_size": ranks.world_size,
    }


def _processor() -> str:
    """The CPU's name; `platform.processor()` is empty on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
