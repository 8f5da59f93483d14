"""The run's numbers: JSONL for programs, TensorBoard for eyes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ringmoe.files import replacing
from ringmoe.training.run_folder import RunFolder


class MetricLog:
    """Appends to `metrics.jsonl` and to TensorBoard's events.

    Args:
        run: Whose.
        after_step: Lines of later steps are dropped: a resumed run takes these steps again.
        tensorboard: Whether to write its events too.
    """

    def __init__(self, run: RunFolder, *, after_step: int = 0, tensorboard: bool = True) -> None:
        run.path.mkdir(parents=True, exist_ok=True)
        _drop_lines_after(run.metrics_path, after_step)
        self._file: IO[str] = run.metrics_path.open("a")
        self._events: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(run.tensorboard_path), purge_step=after_step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One line.

        Args:
            step: Steps taken.
            values: Name to number. NaN, a term for which the step had no data, is left out.
        """
        values = {name: value for name, value in values.items() if not math.isnan(value)}
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush everything."""
        self._file.close()
        if self._events is not None:
            self._events.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a `metrics.jsonl`; a last line cut short by a kill is left out."""
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _drop_lines_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = [line for line in read_metrics(path) if line["step"] <= step]
    with replacing(path) as partial:
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
