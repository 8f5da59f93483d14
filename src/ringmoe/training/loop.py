"""`fit`: steps until the end, with logs, checkpoints, and what is wanted after each of them."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from types import FrameType
from typing import Any, Protocol

from ringmoe.errors import NonFiniteLossError
from ringmoe.files import replacing
from ringmoe.training.allocator import keep_freed_memory
from ringmoe.training.checkpoint import step_of
from ringmoe.training.engine import Trainer
from ringmoe.training.metrics import MetricLog
from ringmoe.training.progress import TrainingProgress
from ringmoe.training.run_folder import RunFolder

logger = logging.getLogger(__name__)


class DataSource(Protocol):
    """Micro-batches as a function of their number: nothing to save, nothing to restore."""

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Any]:
        """This rank's part of micro-batches `start_step` to `stop_step` - 1."""


def fit(
    trainer: Trainer,
    data: DataSource,
    run: RunFolder,
    *,
    progress: bool = True,
    after_step: Callable[[int], bool | None] | None = None,
) -> None:
    """Train from `trainer.steps_taken` to the configured number of steps.

    What was done is not lost: where data cannot be read, and at Ctrl-C, a checkpoint is written
    before training ends; a second Ctrl-C ends it at once.

    Args:
        trainer: Fresh, or loaded from the run's checkpoint.
        data: Gives `accumulate` micro-batches a step.
        run: Where logs and checkpoints go; only the first rank writes.
        progress: Whether to show a bar; without it, each logged step is a line of the log.
        after_step: Called with the number of steps taken; where it gives true, training ends there,
            with a checkpoint.

    Raises:
        NonFiniteLossError: See `Trainer.step`; the provenance of the batch is saved as
            `non-finite-step-N-rank-R.json` in the run folder, and no checkpoint is written.
    """
    config, ranks = trainer.config, trainer.ranks
    first, pieces = trainer.steps_taken, config.accumulate
    writes = ranks.is_main
    log = MetricLog(run, after_step=first, tensorboard=config.tensorboard) if writes else None
    clock = _Clock()
    if ranks.device.type == "cpu":
        keep_freed_memory()
    with (
        _closing(data.iterate(first * pieces, config.steps * pieces)) as micro_batches,
        closing(log) if log else nullcontext(),
        TrainingProgress(first, config.steps, shown=progress and writes) as bar,
        _interrupts(alone=ranks.world_size == 1) as interrupted,
    ):
        while trainer.steps_taken < config.steps:
            with clock.waiting(), _saved_at_errors(trainer, run):
                batch = list(islice(micro_batches, pieces))
            try:
                result = trainer.step(batch)
            except NonFiniteLossError:
                _save_provenance(trainer, batch, run)
                raise
            clock.images += result.images
            step, is_last = trainer.steps_taken, trainer.steps_taken == config.steps
            bar.advance()
            if log and (step % config.log_every == 0 or is_last):
                values = result.terms | clock.read()
                log.write(step, values)
                bar.figures(values["loss"], values["images_per_s"], values["data_wait"])
                if not progress:
                    logger.info(
                        "step %d of %d: loss %.4f, %.0f images/s",
                        step,
                        config.steps,
                        values["loss"],
                        values["images_per_s"],
                    )
            with clock.paused():
                with _saved_at_errors(trainer, run):
                    ends = bool(after_step(step)) if after_step is not None else False
                if writes and (step % config.checkpoint_every == 0 or is_last or ends):
                    trainer.save(run.checkpoints_path)
            if ends:
                break
            if interrupted():
                _save(trainer, run)
                raise KeyboardInterrupt


@contextmanager
def _interrupts(alone: bool) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, which the first time only takes a note.

    Or SIGTERM came, where that interrupts as Ctrl-C does, as on the command line. Of one process in
    its main thread alone: ranks would not end after the same step.
    """
    seen = False
    own = alone and threading.current_thread() is threading.main_thread()
    interrupt = signal.default_int_handler
    signals = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is interrupt]

    def handle(handler: Callable[[int, FrameType | None], object]) -> None:
        for number in signals if own else ():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen = True
        handle(interrupt)
        logger.warning("interrupted: saving after this step; again to end at once")

    handle(note)
    try:
        yield lambda: seen
    finally:
        handle(interrupt)


@contextmanager
def _saved_at_errors(trainer: Trainer, run: RunFolder) -> Iterator[None]:
    """Errors between steps, where the weights are whole, lose nothing."""
    try:
        yield
    except Exception:
        _save(trainer, run)
        raise


def _save(trainer: Trainer, run: RunFolder) -> None:
    """A checkpoint after the last step, unless there is one; the first rank's."""
    step, latest = trainer.steps_taken, run.latest_checkpoint()
    if trainer.ranks.is_main and step and (latest is None or step_of(latest) != step):
        trainer.save(run.checkpoints_path)
        logger.info("saved after step %d: --resume goes on from there", step)


@contextmanager
def _closing(iterator: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """End a generator, and the threads that serve it, when the loop ends, however it does."""
    try:
        yield iterator
    finally:
        if isinstance(iterator, Generator):
            iterator.close()


class _Clock:
    """Throughput, and the share of time spent waiting for data, since it was last read."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.images, self._waited, self._paused = 0, 0.0, 0.0
        self._start = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent here is waiting for data."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent here is not training."""
        start = time.perf_counter()
        yield
        self._paused += time.perf_counter() - start

    def read(self) -> dict[str, float]:
        """Both numbers; the next reading is of what follows."""
        passed = time.perf_counter() - self._start - self._paused
        values = {"images_per_s": self.images / passed, "data_wait": self._waited / passed}
        self._reset()
        return values


def _save_provenance(trainer: Trainer, batch: Sequence[Any], run: RunFolder) -> None:
    step, rank = trainer.steps_taken, trainer.ranks.rank
    path = run.path / f"non-finite-step-{step:06d}-rank-{rank}.json"
    found = [trainer.objective.provenance(data) for data in batch]
    with replacing(path) as partial:
        partial.write_text(json.dumps({"step": step, "micro_batches": found}, indent=2) + "\n")
    logger.error("the tiles of the step are listed in %s", path)
