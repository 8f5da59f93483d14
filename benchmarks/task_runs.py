"""What benchmarks of fine-tuning share: runs of a plan's tasks from its starts, and the table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.real_table import spread
from ringmoe.models import PRESETS
from ringmoe.tasks import TASKS, FinetuneConfig
from ringmoe.training import RunFolder

IN_UNITS = ("rmse", "mae", "rel", "rmse_log")  # all others are shares
MIXED = {"iou": "IoU", "miou": "mIoU", "mf1": "mF1", "map": "mAP", "map50": "mAP50"}
MIXED |= {"rel": "Rel", "rmse_log": "RMSE-log"}


def run_config(
    plan: dict[str, Any], task: str, start: str, seed: int, runs: Path
) -> FinetuneConfig:
    """How a task of the plan is fine-tuned from one of its starts.

    Raises:
        SystemExit: The start's checkpoint is not there.
    """
    checkpoint = plan["starts"][start].format(seed=seed)
    if checkpoint not in PRESETS and not Path(checkpoint).is_dir():
        raise SystemExit(f"{checkpoint} is not there: pre-train it first")
    known = {field.name for field in fields(FinetuneConfig)}
    settings = {key: value for key, value in plan["tasks"][task].items() if key in known}
    return FinetuneConfig(
        checkpoint=checkpoint, out=runs / f"{task}-{start}-seed{seed}", seed=seed, **settings
    )


def pre_trained_on(plan: dict[str, Any], start: str, seed: int) -> str | None:
    """Fingerprint of the images that a start was pre-trained on, which others must share."""
    run = Path(plan["starts"].get(start, start).format(seed=seed)).parent
    environment = run / "environment.json"
    return json.loads(environment.read_text())["data"] if environment.exists() else None


def drop_training_state(run_dir: Path) -> None:
    """Of a run that is scored: nobody resumes it, and it is several times the model's size."""
    shutil.rmtree(RunFolder(run_dir).checkpoints_path, ignore_errors=True)


def table(results: Path, plan: dict[str, Any], starts: Sequence[str]) -> str:
    """Test figures as markdown, in percent but for errors of height: mean and spread over seeds.

    The figures are the plan's `shown` of a task, else the one that its best weights are chosen by.
    Tasks without a cell are left out.
    """
    titles = plan.get("titles", {})
    lines = ["| task | figure | " + " | ".join(titles.get(one, one) for one in starts) + " |"]
    lines.append("|" + " --- |" * (len(starts) + 2))
    for task, settings in plan["tasks"].items():
        tests = [_tests(results / task, start) for start in starts]
        if not any(tests):
            continue
        for figure in settings.get("shown", [TASKS[settings["task"]].best]):
            scale, digits = (1, 2) if figure in IN_UNITS else (100, 1)
            values = ([test[figure] for test in some] for some in tests)
            row = [
                titles.get(task, task),
                _words(figure),
                *(spread(some, scale, digits) for some in values),
            ]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _tests(folder: Path, start: str) -> list[dict[str, float]]:
    """Of each seed."""
    files = sorted(folder.glob(f"{start}-seed*.json"))
    return [json.loads(file.read_text())["result"]["test"] for file in files]


def _words(figure: str) -> str:
    """`overall_accuracy` as "overall accuracy", `ap50_ship` as "AP50 ship"."""
    short = ("f1", "mota", "idf1", "hota", "rmse", "mae", "ap50")
    words = (word.upper() if word in short else word for word in figure.split("_"))
    name = MIXED.get(figure, " ".join(words))
    return f"{name}, m" if figure in ("rmse", "mae") else name
