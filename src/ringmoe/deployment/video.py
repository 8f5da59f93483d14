"""`track_video`: a detector over the frames of a video, and what it finds as tracks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ringmoe.boxes import Objects
from ringmoe.deployment.detector import ObjectPredictor
from ringmoe.deployment.frames import Frames
from ringmoe.deployment.objects import detect
from ringmoe.deployment.placed_motion import placed_motion
from ringmoe.deployment.tracks import all_placed, check_tracks, in_one_frame, write_lines, write_mot
from ringmoe.errors import (
    ConfigError,
    DatasetError,
    GeoreferenceError,
    RingmoeError,
    SceneReadError,
    ShapeError,
    ValueRangeError,
)
from ringmoe.scenes import Scene
from ringmoe.tasks.tracking import CameraMotion, Track, TrackerOptions, track, tracks_of
from ringmoe.tasks.tracking.tracker import the_tracker

logger = logging.getLogger(__name__)

_LEFT_OUT = "frame left out: %s"


@dataclass(frozen=True, eq=False)
class VideoResult:
    """What `track_video` has made.

    Attributes:
        paths: The files.
        frames: Of each frame that could be read, what belongs to a track, with ids.
        numbers: Of these frames.
        tracks: The same by object.
        trails: Of each track, its centres in pixels of the last of these frames.
        skipped: Frames that could not be read, and why.
        gaps: Number before, number after, and how many frames are missing between the two; frames
            that could not be read count.
        motion_failed: Frames that showed too little for the motion of the camera.
        interval: Seconds from a frame to the next; None where that is unknown.
    """

    paths: tuple[Path, ...]
    frames: tuple[Objects, ...]
    numbers: tuple[int, ...]
    tracks: tuple[Track, ...]
    trails: tuple[np.ndarray, ...]
    skipped: tuple[str, ...]
    gaps: tuple[tuple[int, int, int], ...]
    motion_failed: int = 0
    interval: float | None = None


def track_video(
    predictor: ObjectPredictor,
    frames: Frames,
    open_frame: Callable[[Path], Scene],
    out: Sequence[Path],
    *,
    classes: Sequence[str],
    options: TrackerOptions,
    tile_size: int,
    overlap: int | None = None,
    batch_size: int = 8,
    threads: int = 1,
    nms_threshold: float | None = None,
    device: torch.device | str = "cpu",
    moving_camera: bool = False,
    fps: float | None = None,
    gsd: float | None = None,
    progress: Callable[[Sequence[int]], Iterable[int]] | None = None,
) -> VideoResult:
    """Find the objects of every frame, follow them, and write their tracks.

    Frames of any size are tiled, as by `predict_objects`. A frame that cannot be read is listed and
    left out; tracks go on over it, and over frames that are missing, with the true step of time.

    Args:
        predictor: The model, on `device` and in evaluation mode.
        frames: See `find_frames`.
        open_frame: Opens a file.
        out: What to write: `.geojson`, `.json` (see `write_lines`) or `.txt` (see `write_mot`).
        classes: Names of the classes, in the order of their indices.
        options: How detections are associated.
        tile_size: Pixels of a tile's side, as the model takes them.
        overlap: Pixels that tiles share with their neighbours; None for a quarter of a tile.
        batch_size: Tiles that the model sees at once.
        threads: See `predict_objects`.
        nms_threshold: See `detect`.
        device: Where the model is.
        moving_camera: Whether to estimate and allow for the camera's motion: each frame is read
            whole for it. If not, it is what the frames' places on Earth say.
        fps: Frames a second, of the frames' numbers; None for what the files or their names say.
        gsd: Metres of a pixel, of frames without a place on Earth; None for the sensor's.
        progress: Wraps the iteration over frames, e.g. `rich.progress.track`.

    Raises:
        ConfigError: A file's ending or an option that cannot be meant.
        DatasetError: No frame can be read.
        ShapeError: Frames are of different sizes.
        MissingDependencyError: roboflow's trackers are not installed.
        GeoreferenceError, WriteError: See `write_lines`.
    """
    the_tracker()
    for path in out:
        check_tracks(path)
    for name, value in (("fps", fps), ("gsd", gsd)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be a positive number, got {value}")
    if fps is not None:
        frames = replace(frames, fps=fps, seconds=None)
    camera = CameraMotion() if moving_camera else None
    if len(frames.paths) < 2:
        raise DatasetError(
            f"{frames.paths[0]}: expected two frames or more to follow objects in; `ringmoe "
            "predict` finds those of one"
        )
    for before, after, count in frames.gaps:
        logger.warning("frames missing: %d between %d and %d", count, before, after)
    scenes, skipped = _open(frames, open_frame)
    placed = _placed(list(scenes.values()), out)  # raises before the frames are looked at
    look = partial(
        detect,
        predictor,
        tile_size=tile_size,
        overlap=overlap,
        batch_size=batch_size,
        threads=threads,
        nms_threshold=nms_threshold,
        score_threshold=options.low_score,
        device=device,
    )
    found = _looked_at(scenes, look, camera, frames, skipped, progress)
    seen, times, elapsed = frames.take(list(found)), frames.times, frames.elapsed
    motion = None
    if camera is not None:
        motion = [step for _, step in found.values()]
    elif placed:
        motion = placed_motion([scenes[place] for place in found])
    tracked = track(
        [objects for objects, _ in found.values()],
        options,
        times=[times[place] for place in found],
        motion=motion,
    )
    tracks = tracks_of(tracked)
    kept = [scenes[place] for place in found]
    for path in out:
        if path.suffix.lower() == ".txt":
            write_mot(path, tracked, seen.numbers, frames.numbers[0])
            continue
        write_lines(
            path,
            tracks,
            kept,
            seen.numbers,
            classes,
            seconds=None if elapsed is None else [elapsed[place] for place in found],
            gsd=kept[0].sensor.gsd if gsd is None else gsd,
            motion=motion,
        )
    return VideoResult(
        paths=tuple(out),
        frames=tuple(tracked),
        numbers=seen.numbers,
        tracks=tuple(tracks),
        trails=tuple(in_one_frame(tracks, len(tracked), motion, len(tracked) - 1)),
        skipped=tuple(skipped),
        gaps=tuple(seen.gaps),
        motion_failed=0 if camera is None else camera.failed,
        interval=frames.interval,
    )


def _open(
    frames: Frames, open_frame: Callable[[Path], Scene]
) -> tuple[dict[int, Scene], list[str]]:
    """The frames that can be opened, by place; no pixel is read."""
    scenes: dict[int, Scene] = {}
    skipped: list[str] = []
    for place, path in enumerate(frames.paths):
        try:
            scenes[place] = open_frame(path)
        except (RingmoeError, OSError) as error:
            skipped.append(_why(path, error))
    _check_any(scenes, frames, skipped)
    for line in skipped:
        logger.warning(_LEFT_OUT, line)
    first, *others = scenes.values()
    for scene in others:
        if (scene.height, scene.width) != (first.height, first.width):
            raise ShapeError(
                f"{scene.path}: expected {first.height} x {first.width} pixels as the first frame "
                f"has, got {scene.height} x {scene.width}: a video has frames of one size"
            )
    return scenes, skipped


def _looked_at(
    scenes: dict[int, Scene],
    look: Callable[[Scene], Objects],
    camera: CameraMotion | None,
    frames: Frames,
    skipped: list[str],
    progress: Callable[[Sequence[int]], Iterable[int]] | None,
) -> dict[int, tuple[Objects, np.ndarray]]:
    """What each frame that can be read shows, and the camera's step to it, by place."""
    found: dict[int, tuple[Objects, np.ndarray]] = {}
    for place in progress(list(scenes)) if progress else scenes:
        scene = scenes[place]
        try:
            objects = look(scene)
            step = np.eye(2, 3) if camera is None else _step(camera, scene, objects)
        except (SceneReadError, ValueRangeError, OSError) as error:
            skipped.append(_why(frames.paths[place], error))
            logger.warning(_LEFT_OUT, skipped[-1])
            continue
        found[place] = objects, step
    _check_any(found, frames, skipped)
    return found


def _placed(scenes: Sequence[Scene], out: Sequence[Path]) -> bool:
    """Whether frames have a place on Earth; a wrong one matters to lines alone."""
    try:
        return all_placed(scenes)
    except GeoreferenceError:
        if any(path.suffix.lower() != ".txt" for path in out):
            raise
        return False


def _step(camera: CameraMotion, scene: Scene, objects: Objects) -> np.ndarray:
    raster = scene.read()
    return camera.step(raster.values, objects, raster.valid)


def _why(path: Path, error: Exception) -> str:
    """Which frame, and what is wrong with it, in one line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return reason if str(path) in reason else f"{path}: {reason}"


def _check_any(found: object, frames: Frames, skipped: Sequence[str]) -> None:
    if not found:
        raise DatasetError(f"none of {len(frames.paths)} frames can be read: {skipped[0]}")
