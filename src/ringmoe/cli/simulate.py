"""`ringmoe simulate`: write simulated scenes with labels."""

from __future__ import annotations

from pathlib import Path


def simulate(
    *,
    out: Path,
    scenes: int = 8,
    size: int = 256,
    seed: int = 0,
    kinds: list[str] | None = None,
    video_frames: int = 8,
    video_interval: float = 1.0,
    video_zoom: int = 1,
    video_of: str = "",
    workers: int = 1,
) -> None:
    """Write simulated scenes with labels for every task.

    Each scene is one procedural landscape seen by four simulated sensors (optical, multispectral,
    complex SAR, SAR amplitude), at a later date, and in a short video; with its class, land cover,
    boxes, tracks, changes and heights. OUT/simulation.json lists every file. The same arguments
    give the same files.

    Args:
        out: Folder to write to.
        scenes: Number of scenes; eight show every kind.
        size: Height and width of a scene in pixels of 2 m.
        seed: 0 or more; another seed gives other scenes.
        kinds: Kinds of scene that take turns: airfield, farmland, forest, harbour, industrial,
            quarry, river, village; none: all.
        video_frames: Frames of each video.
        video_interval: Seconds from one frame to the next.
        video_zoom: 1: videos show whole scenes. More: the part of each where most moves, in pixels
            so many times finer; 4 gives 0.5 m, at which a car is ten pixels long.
        video_of: What close videos are of: ship, aircraft or vehicle; none: whatever moves.
        workers: Processes that share the work; the files are the same.

    Raises:
        ConfigError: A number is too small, or there is no such kind or class.
        WriteError: The disk is full or the folder cannot be written.
    """
    from rich.console import Console
    from rich.progress import track

    from ringmoe.simulation import Film, write_simulation

    console = Console(stderr=True)
    manifest = write_simulation(
        out,
        scenes,
        size,
        seed,
        progress=lambda numbers: track(numbers, "Simulating", total=scenes, console=console),
        workers=workers,
        kinds=kinds or (),
        film=Film(video_frames, video_interval, video_zoom, video_of),
    )
    console.print(f"{scenes} scenes: {manifest}", highlight=False, soft_wrap=True)
