"""How well tracks are kept: `python -m benchmarks.tracking [--data FOLDER] [--json]`.

Association alone, on true positions with noise and omissions, of simulated videos and (where the
folder of real imagery is given) of wide-area motion imagery; and the camera's motion, which was
drawn, as each of the library's methods finds it. Figures of accuracy: the machine does not matter.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.environment import describe_environment
from ringmoe.boxes import Objects
from ringmoe.simulation import simulate_landscape, track_lines
from ringmoe.tasks.metrics import TrackingMetrics
from ringmoe.tasks.tracking import CameraMotion, TrackerOptions, track

JITTER, DROP = 0.5, 0.05  # pixels of noise; share that is left out
ZERO_DISTANCE = 10.0  # pixels: half of it is the greatest distance of a match

OPTIONS = {
    "distance": TrackerOptions(),
    "buffered-iou": TrackerOptions(similarity="buffered-iou", buffer=1.0),
    "iou": TrackerOptions(similarity="iou"),
    "new ids every frame": None,
}
# Degrees of turn, and shift in pixels, of frames of 256 x 256 pixels.
MOTIONS = [(0.0, (3.3, -2.6)), (0.0, (30.0, -22.0)), (0.0, (60.0, 40.0)), (6.0, (10.0, -4.0)),
           (20.0, (70.0, -30.0))]  # fmt: skip


def detected(
    truth: Sequence[Objects],
    seed: int = 0,
    jitter: float = 0.0,
    drop: float = 0.0,
    score: float = 0.9,
) -> list[Objects]:
    """What a detector might give: without ids, shuffled, with noise in pixels and omissions."""
    rng = np.random.default_rng(seed)
    frames = []
    for objects in truth:
        order = rng.permutation(len(objects))
        order = order[rng.random(len(objects)) >= drop]
        noise = rng.normal(0, jitter, (len(order), 2)) if jitter else np.zeros((len(order), 2))
        boxes = objects.boxes[order].copy()
        boxes[:, :2] += noise
        if not objects.rotated:
            boxes[:, 2:] += noise
        frames.append(Objects(boxes, objects.classes[order], np.full(len(order), score)))
    return frames


def with_new_ids(frames: Sequence[Objects]) -> list[Objects]:
    """The tracker that knows nothing: every detection is another object."""
    count, named = 0, []
    for objects in frames:
        ids = np.arange(count + 1, count + 1 + len(objects))
        count += len(objects)
        named.append(Objects(objects.boxes, objects.classes, objects.scores, ids=ids))
    return named


def figures(
    truth: Sequence[Objects], tracks: Sequence[Objects], zero_distance: float | None = None
) -> dict[str, float]:
    """What `TrackingMetrics` says of one sequence."""
    metrics = TrackingMetrics(zero_distance)
    for number, (true, found) in enumerate(zip(truth, tracks, strict=True)):
        metrics.update("sequence", number, found, true)
    return {name: float(value) for name, value in metrics.compute().items()}


def simulated_video(kind: str, seed: int = 3, size: int = 256) -> list[Objects]:
    """The objects of a landscape's video: 8 frames, a second apart, of 2 m pixels.

    What is hidden by more than half is ignored.
    """
    lines = [line.split(",") for line in track_lines(simulate_landscape(seed, size, kind))]
    rows = np.array(lines, float)
    frames = []
    for number in np.unique(rows[:, 0]):
        mine = rows[rows[:, 0] == number]
        corner = mine[:, 2:4] - 1
        frames.append(
            Objects(
                np.concatenate([corner, corner + mine[:, 4:6]], axis=1),
                mine[:, 7].astype(np.int64) - 1,
                ignored=mine[:, 8] < 0.5,
                ids=mine[:, 1].astype(np.int64),
            )
        )
    return frames


def wide_area_points(data: Path, frames: int = 20) -> list[Objects]:
    """The true vehicles of `wpafb` as squares of 10 pixels, from the second frame on.

    The first picture is the second, too: a tracker would take it that all vehicles stand.
    In the table `px` is the row and `py` the column, and 0, 0 is a vehicle that is not there.
    """
    found = []
    with open(data / "wpafb" / "transformed_object_states.csv", newline="") as handle:
        reader = csv.reader(handle)
        names = next(reader)
        ids = [int(m[1]) for name in names if (m := re.fullmatch(r"obj_(\d+)_px", name))]
        at = [names.index(f"obj_{i}_px") for i in ids]
        for line in islice(reader, 1, 1 + frames):
            place = np.array([[float(line[k + 1]), float(line[k])] for k in at])
            there = place.any(axis=1)
            boxes = np.concatenate([place - 5, place + 5], axis=1)[there]
            kinds = np.zeros(len(boxes), np.int64)
            found.append(Objects(boxes, kinds, ids=np.array(ids)[there]))
    return found


def texture(size: int = 700, seed: int = 0) -> np.ndarray:
    """A plain of patches of many sizes, as fields and roofs are: `(size, size)` in [0, 1]."""
    rng = np.random.default_rng(seed)
    layers = [
        scale * ndimage.gaussian_filter(rng.standard_normal((size, size)), scale)
        for scale in (1.0, 3.0, 8.0)
    ]
    image = np.sum(layers, axis=0)
    return (image - image.min()) / np.ptp(image)


def seen_from(ground: np.ndarray, linear: np.ndarray, shift: Any, size: int = 256) -> np.ndarray:
    """A frame whose pixel `p` shows the ground at `linear^-1 (p - shift)`, plus an offset."""
    offset = (len(ground) - size) / 2
    rows, columns = np.mgrid[:size, :size] + 0.5  # the middles of pixels
    points = np.stack([columns.ravel(), rows.ravel()]) - np.reshape(shift, (2, 1))
    x, y = np.linalg.inv(linear) @ points + offset
    return ndimage.map_coordinates(ground, [y - 0.5, x - 0.5], order=3).reshape(size, size)


def turned(degrees: float, zoom: float = 1.0) -> np.ndarray:
    """A turn with a zoom, as a matrix."""
    angle = np.radians(degrees)
    return zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def motion_error(method: str, degrees: float, shift: tuple[float, float]) -> float:
    """Pixels by which the corner that is off the most is off."""
    ground, linear, size = texture(), turned(degrees), 256
    camera = CameraMotion(method)  # type: ignore[arg-type]
    camera.step(seen_from(ground, np.eye(2), (0, 0)))
    found = camera.step(seen_from(ground, linear, shift))
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], float)
    placed = corners @ found[:, :2].T + found[:, 2]
    return float(np.abs(placed - (corners @ linear.T + shift)).max())


def measure(data: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Rows of association and of motion."""
    videos = {f"simulated {kind}": simulated_video(kind) for kind in ("harbour", "village")}
    if data is not None:
        videos["wpafb, 20 frames"] = wide_area_points(data)
    association = []
    for name, truth in videos.items():
        frames = detected(truth, jitter=JITTER, drop=DROP)
        for similarity, options in OPTIONS.items():
            tracks = with_new_ids(frames) if options is None else track(frames, options)
            scores = figures(truth, tracks, ZERO_DISTANCE)
            shown = {key: scores[key] for key in ("mota", "idf1", "hota", "id_switches")}
            association.append({"video": name, "similarity": similarity, **shown})
    motion = [
        {
            "degrees": degrees,
            "shift": list(shift),
            **{m: motion_error(m, degrees, shift) for m in ("sift", "orb", "sparseOptFlow", "ecc")},
        }
        for degrees, shift in MOTIONS
    ]
    return {"association": association, "motion": motion}


def main() -> None:
    """Print the tables, or with --json all of it."""
    parser = argparse.ArgumentParser("benchmarks.tracking", description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder of real imagery, with wpafb in it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.data)
    if options.json:
        print(json.dumps(found | {"environment": describe_environment()}, indent=2))
        return
    for row in found["association"]:
        scores = " ".join(f"{key} {row[key]:.3f}" for key in ("mota", "idf1", "hota"))
        print(
            f"{row['video']:20} {row['similarity']:20} {scores} switches {row['id_switches']:.0f}"
        )
    for row in found["motion"]:
        errors = " ".join(f"{key} {row[key]:.3f}" for key in list(row)[2:])
        print(f"{row['degrees']:g} degrees, {row['shift']}: {errors}")


if __name__ == "__main__":
    main()
