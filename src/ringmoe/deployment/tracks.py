"""Tracks on disk: as MOT text, and as lines on a map with time and speed."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.deployment.degrees import cut_line, reproject, to_degrees
from ringmoe.deployment.object_writing import check_objects, has_place
from ringmoe.deployment.places import plane_around, to_map
from ringmoe.errors import ConfigError, GeoreferenceError
from ringmoe.files import replacing
from ringmoe.scenes import Scene
from ringmoe.tasks.tracking import Track
from ringmoe.tasks.tracking.tracker import since_first

logger = logging.getLogger(__name__)

ENDINGS = (".geojson", ".json", ".txt")

_DECIMALS = 9  # of degrees: a tenth of a millimetre
_WINDOW = 5  # detections over which a speed is fitted

Array = np.ndarray


def check_tracks(path: Path) -> None:
    """Raise if tracks cannot be written to a file of this name.

    Raises:
        ConfigError: It ends in none of `ENDINGS`.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: tracks are written as {', '.join(ENDINGS)}: choose one")


def write_mot(
    path: Path, frames: Sequence[Objects], numbers: Sequence[int], first: int | None = None
) -> None:
    """Write tracks as MOTChallenge's text.

    `frame, id, left, top, width, height, score, class, 1`: frames, pixels and classes count from 1
    (Milan et al. 2016, arXiv 1603.00831), so frames that are numbered from 0 are one more. Of a
    rotated box it is the horizontal one around it.

    Args:
        path: The file, whole or not at all.
        frames: With ids.
        numbers: Of the frames, ascending.
        first: That of the video's first frame; None if it is the first of these.

    Raises:
        WriteError: Disk full, no permission and the like; an old file stands untouched.
    """
    first = numbers[0] if first is None and len(numbers) else first
    more = 1 if first == 0 else 0
    lines = []
    for number, objects in zip(numbers, frames, strict=True):
        upright = boxes.cxcywhr_to_xyxy(objects.boxes) if objects.rotated else objects.boxes
        ids = np.zeros(0, np.int64) if objects.ids is None else objects.ids
        scores = np.ones(len(objects)) if objects.scores is None else objects.scores
        for i in np.argsort(ids, kind="stable"):
            left, top, right, bottom = upright[i]
            lines.append(
                f"{number + more},{ids[i]},{left + 1:.3f},{top + 1:.3f},{right - left:.3f},"
                f"{bottom - top:.3f},{scores[i]:.4f},{objects.classes[i] + 1},1\n"
            )
    with replacing(path) as partial:
        partial.write_text("".join(lines))


def write_lines(
    path: Path,
    tracks: Sequence[Track],
    scenes: Sequence[Scene],
    numbers: Sequence[int],
    classes: Sequence[str],
    *,
    seconds: Sequence[float] | None = None,
    gsd: float | None = None,
    motion: Sequence[Array] | None = None,
) -> None:
    """Write tracks as GeoJSON lines, one vertex for each detection.

    Frames that have a place on Earth give longitude and latitude (RFC 7946: a line across the
    antimeridian is cut there, with a vertex more on either side); others pixels of the first frame,
    x to the right and y down, and say so (`"crs": null`). Each line has `id`, `class`,
    `class_index`, `score` (the mean), `first_frame`, `last_frame`; and for each detection `frames`,
    and where the time is known `times` in seconds since the first frame of all. Where metres are
    known too, `speeds_m_s` is the speed at each detection, of a straight line fitted to the five
    around it, and `speed_m_s` their mean.

    Args:
        path: The file, whole or not at all.
        tracks: In pixels of each frame.
        scenes: The frames, in order.
        numbers: Of the frames.
        classes: Names of the classes.
        seconds: Of the frames, since the video's first; None if nobody knows.
        gsd: Metres of a pixel, of frames without a place.
        motion: Of the camera, for frames without a place; see `track`.

    Raises:
        GeoreferenceError: Some frames have a place and some have none, or one that cannot be found.
        WriteError: Disk full, no permission and the like; an old file stands untouched.
    """
    placed = all_placed(scenes)
    if placed:
        tracks, points = _on_earth(tracks, _degrees(tracks, scenes))
        metres: list[Array] | None = _metres(points)
    else:
        points = in_one_frame(tracks, len(scenes), motion)
        metres = None if gsd is None else [gsd * line for line in points]
    features = []
    for number, (one, line) in enumerate(zip(tracks, points, strict=True)):
        when = None if seconds is None else np.asarray(seconds, float)[one.frames]
        speeds = None
        if when is not None and metres is not None and len(when) > 1:
            speeds = speeds_of(when, metres[number])
        about = _properties(one, numbers, classes, when, speeds)
        shape = _geometry(line, cut=placed)
        features.append(json.dumps({"type": "Feature", "properties": about, "geometry": shape}))
    system = "" if placed else ' "crs": null,'
    with replacing(path) as partial:
        inside = ",\n".join(features)
        text = f'{{"type": "FeatureCollection",{system} "features": [\n{inside}\n]}}\n'
        partial.write_text(text, encoding="utf-8")


def speeds_of(times: Array, points: Array) -> Array:
    """Speed at each of some points, of the straight line fitted to the five around it.

    The fit is of least squares. Places of detections are noisy: from one to the next alone, what
    stands still would move.

    Args:
        times: `(K,)` seconds, ascending, two or more.
        points: `(K, 2)` metres.

    Returns:
        `(K,)` metres a second.
    """
    count, speeds = len(times), np.empty(len(times))
    for k in range(count):
        start = min(max(k - _WINDOW // 2, 0), max(count - _WINDOW, 0))
        near = slice(start, start + _WINDOW)
        since = times[near] - times[near].mean()
        velocity = since @ (points[near] - points[near].mean(axis=0)) / (since @ since)
        speeds[k] = np.hypot(*velocity)
    return speeds


def all_placed(scenes: Sequence[Scene]) -> bool:
    """Whether frames have a place on Earth; raise GeoreferenceError if only some have."""
    with_place = [has_place(scene) for scene in scenes]
    if any(with_place) and not all(with_place):
        without = scenes[with_place.index(False)]
        raise GeoreferenceError(
            f"{without.path}: has no place on Earth, but other frames have: give all or none one"
        )
    if any(with_place):
        for scene in scenes:
            check_objects(Path("tracks.geojson"), scene)
    return any(with_place)


def _degrees(tracks: Sequence[Track], scenes: Sequence[Scene]) -> list[Array]:
    """Longitude and latitude of every track's detections, each by the place of its own frame."""
    points = [one.centres.copy() for one in tracks]
    for number, scene in enumerate(scenes):
        which = [(line, i) for line, one in enumerate(tracks) for i in _at(one, number)]
        if not which:
            continue
        with to_map(scene) as project:
            found = to_degrees(scene.crs, project(np.array([points[k][i] for k, i in which])))
        found = np.round(found, _DECIMALS)
        for (line, i), place in zip(which, found, strict=True):
            points[line][i] = place
    return points


def _on_earth(tracks: Sequence[Track], points: Sequence[Array]) -> tuple[list[Track], list[Array]]:
    """The same without what was found past the edge of the Earth, where there is no longitude."""
    known = [np.isfinite(line).all(axis=1) for line in points]
    if lost := sum(int((~some).sum()) for some in known):
        logger.warning("%d detections lie past the edge of the Earth: left out of the lines", lost)
    left = [(t.take(some), p[some]) for t, p, some in zip(tracks, points, known, strict=True)]
    return [t for t, p in left if len(p)], [p for _, p in left if len(p)]


def _at(one: Track, frame: int) -> Array:
    return np.flatnonzero(one.frames == frame)


def _metres(points: Sequence[Array]) -> list[Array]:
    """Metres on the ground around the middle of each track (azimuthal equidistant)."""
    lines = []
    for line in points:
        longitude, latitude = line[len(line) // 2]
        plane = plane_around(longitude, latitude)
        lines.append(reproject("EPSG:4326", plane, line))
    return lines


def in_one_frame(
    tracks: Sequence[Track], frames: int, motion: Sequence[Array] | None, frame: int = 0
) -> list[Array]:
    """Where tracks went, in pixels of one of the frames.

    Args:
        tracks: In pixels of each frame.
        frames: How many there are.
        motion: Of the camera; None if it stands still.
        frame: Which.

    Returns:
        `(K, 2)` centres of each.
    """
    steps = since_first(motion if motion is not None else [np.eye(2, 3)] * frames)
    lines = []
    for one in tracks:
        moved = zip(one.centres, one.frames, strict=True)
        first = [np.linalg.solve(steps[k][:, :2], p - steps[k][:, 2]) for p, k in moved]
        lines.append(np.array(first) @ steps[frame][:, :2].T + steps[frame][:, 2])
    return lines


def _properties(
    one: Track,
    numbers: Sequence[int],
    classes: Sequence[str],
    when: Array | None,
    speeds: Array | None,
) -> dict[str, Any]:
    frames = [int(numbers[k]) for k in one.frames]
    return {
        "id": one.id,
        "class": classes[one.class_index],
        "class_index": one.class_index,
        "score": round(float(one.scores.mean()), 4),
        "first_frame": frames[0],
        "last_frame": frames[-1],
        "frames": frames,
        "times": None if when is None else when.round(6).tolist(),
        "speed_m_s": None if speeds is None else round(float(speeds.mean()), 4),
        "speeds_m_s": None if speeds is None else speeds.round(4).tolist(),
    }


def _geometry(line: Array, *, cut: bool) -> dict[str, Any]:
    """A line; a point where there is but one detection."""
    if len(line) == 1:
        return {"type": "Point", "coordinates": line[0].tolist()}
    parts = cut_line(line, _DECIMALS) if cut else [line]
    if len(parts) == 1:
        return {"type": "LineString", "coordinates": parts[0].tolist()}
    return {"type": "MultiLineString", "coordinates": [part.tolist() for part in parts]}
