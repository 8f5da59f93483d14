"""`track`: detections of frames to objects with identities, by ByteTrack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import import_module
from types import ModuleType

import numpy as np

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.errors import ConfigError, MissingDependencyError, ShapeError
from ringmoe.tasks.tracking.options import TrackerOptions


def track(
    frames: Iterable[Objects],
    options: TrackerOptions | None = None,
    *,
    times: Sequence[float] | None = None,
    motion: Sequence[np.ndarray] | None = None,
) -> list[Objects]:
    """Give the detections of a sequence identities.

    Rotated boxes are associated by the horizontal boxes around them (the library knows no others)
    and come back as they were. Where the camera moves, association takes place in the first
    frame's pixels, into which all boxes are carried; they too come back as they were. The same
    detections give the same ids.

    Args:
        frames: What was found in each frame, in order of time, all of one form. Without scores
            all are sure.
        options: How they are associated.
        times: Of each frame, ascending, in frame intervals: 0, 1, 4 where two frames are missing;
            None for one interval between all.
        motion: Of each frame `(2, 3)`, from the pixels of the frame before it to its own, as
            `CameraMotion` gives them; None for a camera that stands still.

    Returns:
        Of each frame the detections that belong to a track, with their ids, in the order in which
        they came. Ids are 1, 2, ... by the first frame.

    Raises:
        ConfigError: `times` do not ascend, or points are to be associated by overlap.
        ShapeError: `times` or `motion` are not as many as frames, or boxes are of two forms.
        MissingDependencyError: roboflow's trackers are not installed.
    """
    frames, options = list(frames), options or TrackerOptions()
    times = range(len(frames)) if times is None else times
    _check(frames, options, times, motion)
    placed = stabilised(frames, motion)
    chains = []
    for member in _groups(frames, options):
        chosen = [np.flatnonzero(mask) for mask in member]
        found = _follow(
            [here[index] for here, index in zip(placed, chosen, strict=True)],
            [_scores(f)[index] for f, index in zip(frames, chosen, strict=True)],
            times,
            options,
        )
        chains += [[(frame, int(chosen[frame][i])) for frame, i in chain] for chain in found]
    named = _named(frames, sorted(chains))
    return named if options.class_wise else _of_one_class(named)


def stabilised(frames: Sequence[Objects], motion: Sequence[np.ndarray] | None) -> list[np.ndarray]:
    """The horizontal boxes around all objects, in pixels of the first frame: `(N, 4)` xyxy each."""
    corners = [_corners(objects).reshape(-1, 4, 2) for objects in frames]
    if motion is not None:
        corners = [
            (points - step[:, 2]) @ np.linalg.inv(step[:, :2]).T
            for points, step in zip(corners, since_first(motion), strict=True)
        ]
    return [boxes.enclosing(points.reshape(-1, 8)) for points in corners]


def since_first(motion: Sequence[np.ndarray]) -> list[np.ndarray]:
    """From the pixels of the first frame to those of each, of steps from frame to frame."""
    whole, steps = np.eye(3), []
    for number, step in enumerate(motion):
        if number:  # before the first there is none
            whole = np.vstack([step, [0, 0, 1]]) @ whole
        steps.append(whole[:2])
    return steps


def _corners(objects: Objects) -> np.ndarray:
    convert = boxes.cxcywhr_to_corners if objects.rotated else boxes.xyxy_to_corners
    return convert(objects.boxes)


def _follow(
    placed: list[np.ndarray],
    scores: list[np.ndarray],
    times: Sequence[float],
    options: TrackerOptions,
) -> list[list[tuple[int, int]]]:
    return the_tracker().follow(placed, scores, times, options)


def the_tracker() -> ModuleType:
    """`ringmoe.tasks.tracking.bytetrack`, which needs the library.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        return import_module("ringmoe.tasks.tracking.bytetrack")
    except ImportError as error:
        raise MissingDependencyError(missing(error)) from None


def missing(error: ImportError) -> str:
    """What to say where the library is not there."""
    return f"tracking needs roboflow's trackers ({error}): pip install 'ringmoe[tracking]'"


def _groups(frames: Sequence[Objects], options: TrackerOptions) -> list[list[np.ndarray]]:
    """Of each group of detections that is tracked by itself: which of every frame."""
    sure = [_scores(objects) >= options.low_score for objects in frames]
    if not options.class_wise:
        return [sure]
    classes = np.unique(np.concatenate([np.zeros(0, int), *(f.classes for f in frames)]))
    return [
        [mask & (f.classes == k) for f, mask in zip(frames, sure, strict=True)] for k in classes
    ]


def _scores(objects: Objects) -> np.ndarray:
    return np.ones(len(objects)) if objects.scores is None else objects.scores


def _named(frames: Sequence[Objects], chains: list[list[tuple[int, int]]]) -> list[Objects]:
    """Those that belong to a chain, with its number from 1."""
    ids = [np.zeros(len(objects), np.int64) for objects in frames]
    for number, chain in enumerate(chains, 1):
        for frame, index in chain:
            ids[frame][index] = number
    return [
        replace(objects, ids=mine).take(mine > 0) for objects, mine in zip(frames, ids, strict=True)
    ]


def _of_one_class(frames: list[Objects]) -> list[Objects]:
    from ringmoe.tasks.tracking.lines import tracks_of

    class_of = {one.id: one.class_index for one in tracks_of(frames)}
    return [
        replace(f, classes=np.array([class_of[int(i)] for i in _ids(f)], np.int64)) for f in frames
    ]


def _ids(objects: Objects) -> np.ndarray:
    return np.zeros(0, np.int64) if objects.ids is None else objects.ids


def _check(
    frames: Sequence[Objects],
    options: TrackerOptions,
    times: Sequence[float],
    motion: Sequence[np.ndarray] | None,
) -> None:
    if len(times) != len(frames) or (motion is not None and len(motion) != len(frames)):
        found = f"{len(times)} times" + ("" if motion is None else f", {len(motion)} motions")
        raise ShapeError(f"{len(frames)} frames: expected as many times and motions, got {found}")
    if (np.diff(np.asarray(times, float)) <= 0).any():
        raise ConfigError("times: expected each later than the one before it; sort the frames")
    if len({objects.rotated for objects in frames}) > 1:
        raise ShapeError("expected boxes of one form in all frames, got xyxy and cxcywhr")
    points = any((boxes.area(objects.boxes) <= 0).any() for objects in frames)
    if points and options.similarity != "distance":
        raise ConfigError(
            f'similarity: points, and boxes without area, do not overlap: expected "distance", '
            f"got {options.similarity!r}"
        )
