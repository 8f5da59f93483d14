"""The progress bar of a map."""

from __future__ import annotations

import time

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ringmoe.training.progress import ProgressBar


class MapProgress(ProgressBar):
    """Rows of the map, tiles a second, time left.

    Args:
        first_row: Pixel rows that were finished before.
        rows: Pixel rows of the map.
        shown: False shows nothing.
    """

    def __init__(self, first_row: int, rows: int, *, shown: bool = True) -> None:
        super().__init__(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                disable=not shown,
            )
        )
        self._task = self._bar.add_task("map", total=rows, completed=first_row, figures="")
        self._start, self._tiles = time.monotonic(), 0

    def mapped(self, rows: int, tiles: int) -> None:
        """So many rows are final; so many tiles have been through the model."""
        rate = tiles / max(time.monotonic() - self._start, 1e-9)
        self._bar.update(self._task, completed=rows, figures=f"{rate:.1f} tiles/s")

    def stage(self, what: str) -> None:
        """Say what is being done after the tiles."""
        self._bar.update(self._task, description=what)
