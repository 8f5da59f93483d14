"""Looking at the validation part during training: the best weights, and when to end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ringmoe.datasets import LabelledLoader
from ringmoe.files import replacing
from ringmoe.tasks.evaluate import Figures, evaluate
from ringmoe.tasks.objective import Finetuning
from ringmoe.tasks.task import Task
from ringmoe.training import RunFolder, Trainer, load_checkpoint, read_metrics, save_checkpoint
from ringmoe.training.checkpoint import list_checkpoints, step_of

FILE = "validation.jsonl"  # in the run folder: a line an evaluation
SETTLED = "settled.json"  # the best line again, with what the task has chosen in the end


def best_of(lines: Sequence[Figures], task: Task | type[Task]) -> Figures | None:
    """The line of the best value of the task's `best` metric; of equals the first."""
    sign = 1 if task.higher_is_better else -1
    known = [line for line in lines if line.get(task.best) is not None]
    return max(known, key=lambda line: sign * line[task.best], default=None)


class Validation:
    """Evaluates every so many steps, keeps the best weights, and tells when to end.

    Every rank evaluates its share and knows the figures of all; the first writes.

    What it knows is in the run folder: `validation.jsonl`, and in `best/` the best weights so far
    and those that were the best at a checkpoint from where the run may be resumed. A resumed run
    that comes to the same values ends with the same weights as one that was never killed.

    Args:
        trainer: Of a `Finetuning`; its moving average is what is evaluated, if one is kept.
        loader: Of this rank's share of the validation part; None where there is no such part: the
            last weights are the best.
        run: Where lines and weights go.
        every: Steps between evaluations.
        patience: Evaluations without a better value before the end; 0 for never.

    Raises:
        MissingDependencyError: The task's metrics need a package that is not installed.
    """

    def __init__(
        self,
        trainer: Trainer,
        loader: LabelledLoader | None,
        run: RunFolder,
        *,
        every: int,
        patience: int,
    ) -> None:
        assert isinstance(trainer.objective, Finetuning)
        self.trainer, self.model = trainer, trainer.objective.model
        if loader is not None:
            self.model.task.metrics()  # what they need is found missing before the first step
        self.loader, self.every, self.patience = loader, every, patience
        self.path, self.best_path = run.path / FILE, run.path / "best"
        self.checkpoints_path = run.checkpoints_path
        self.lines: list[Figures] = []
        if self.path.exists():
            known = [
                line for line in read_metrics(self.path) if line["step"] <= trainer.steps_taken
            ]
            self.lines = list(known)

    def __call__(self, step: int) -> bool:
        """After a step: whether training shall end. Every rank must call."""
        is_last = step == self.trainer.config.steps
        if self.loader is None or (step % self.every and not is_last):
            return False
        ranks = self.trainer.ranks
        batches = self.loader.epoch(self.model.task.cover)
        with self.trainer.averaged_weights():
            self.lines.append({"step": step, **evaluate(self.model, batches)})
            if ranks.is_main and self.best is self.lines[-1]:
                save_checkpoint(self.best_path, step, {"weights": self._learning()}, keep=0)
        ends = torch.zeros(1, device=ranks.device)
        if ranks.is_main:
            self._remove_the_rest(step)
            _write_lines(self.path, self.lines)
            ends += self.ended
        ranks.sum_(ends)
        return bool(ends)

    def catch_up(self) -> None:
        """Evaluate after the step that a run is resumed from, where that had failed.

        Every rank must call.
        """
        step = self.trainer.steps_taken
        if step and all(line["step"] != step for line in self.lines):
            self(step)

    @property
    def best(self) -> Figures | None:
        """The best line so far."""
        return best_of(self.lines, self.model.task)

    @property
    def ended(self) -> bool:
        """Whether patience has run out."""
        best = self.best
        last_better = self.lines.index(best) if best is not None else -1
        return bool(self.patience) and len(self.lines) - 1 - last_better >= self.patience

    def finish(self) -> Figures | None:
        """Give the model of the first rank, which saves it, the best weights; what they score."""
        if not self.trainer.ranks.is_main:
            return None  # only the first knows which weights still lie there
        best = self.best
        if best is not None:
            path = self.best_path / f"step-{best['step']:06d}"
            _, groups = load_checkpoint(path, device=self.trainer.ranks.device)
            self.trainer.objective.load_state_dict(groups["weights"], strict=False)
        elif self.trainer.average is not None:
            self.trainer.average.swap()
        return best

    def _remove_the_rest(self, step: int) -> None:
        """Weights that neither this run nor one resumed from a checkpoint of it can end with."""
        points = [step, *map(step_of, list_checkpoints(self.checkpoints_path))]
        until = ([line for line in self.lines if line["step"] <= point] for point in points)
        needed = {best["step"] for lines in until if (best := best_of(lines, self.model.task))}
        for path in list_checkpoints(self.best_path):
            if step_of(path) not in needed:
                shutil.rmtree(path)

    def _learning(self) -> dict[str, Tensor]:
        """What training changes: a frozen backbone need not be kept again and again."""
        fixed = {n for n, p in self.trainer.objective.named_parameters() if not p.requires_grad}
        state = self.trainer.objective.state_dict()
        return {name: tensor for name, tensor in state.items() if name not in fixed}


def _write_lines(path: Path, lines: list[Figures]) -> None:
    with replacing(path) as partial:
        partial.write_text("".join(json.dumps(line) + "\n" for line in lines))
