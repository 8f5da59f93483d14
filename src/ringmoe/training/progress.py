"""Progress bars: what all of them do, and that of a run."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar:
    """A bar of one task, shown while the `with` block runs.

    Args:
        bar: With its task added.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state standing."""
        self._bar.stop()


class TrainingProgress(ProgressBar):
    """Steps, images a second, loss, share of time spent waiting for data, time left.

    Args:
        first_step: Steps taken before.
        steps: Steps of the whole run.
        shown: False shows nothing.
    """

    def __init__(self, first_step: int, steps: int, *, shown: bool = True) -> None:
        super().__init__(
            Progress(
                BarColumn(bar_width=14),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
                disable=not shown,
            )
        )
        self._task = self._bar.add_task("", total=steps, completed=first_step, figures="")

    def advance(self) -> None:
        """One step is done."""
        self._bar.advance(self._task)

    def figures(self, loss: float, images_per_s: float, data_wait: float) -> None:
        """Update the numbers."""
        text = f"loss {loss:.4f}  {images_per_s:.0f} images/s  {data_wait:.1%} data wait"
        self._bar.update(self._task, figures=text)
