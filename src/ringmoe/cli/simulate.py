"""`ringmoe simulate`: write simulated scenes with labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import track

from ringmoe.simulation import write_simulation


def simulate(*, out: Path, scenes: int = 8, size: int = 256, seed: int = 0) -> None:
    """Write simulated scenes with labels for every task.

    Each scene is one procedural landscape seen by four simulated sensors (optical, multispectral,
    complex SAR, SAR amplitude), at a later date, and in a short video; with its class, land cover,
    boxes, tracks, changes and heights. OUT/simulation.json lists every file. The same arguments
    give the same files.

    Args:
        out: Folder to write to.
        scenes: Number of scenes; eight show every kind.
        size: Height and width of a scene in pixels of 2 m.
        seed: Another seed gives other scenes.
    """
    console = Console(stderr=True)

    def progress(numbers: Iterable[int]) -> Iterable[int]:
        return track(numbers, "Simulating scenes", total=scenes, console=console)

    manifest = write_simulation(out, scenes, size, seed, progress)
    console.print(f"{scenes} scenes: {manifest}", highlight=False)
