"""`ringmoe track`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ringmoe.cli._overview import LONGEST_OF_OBJECTS, overview, step_of
from ringmoe.cli.predict import model_folder, tile_side
from ringmoe.deployment.frames import find_frames
from ringmoe.deployment.journal import check_outputs
from ringmoe.deployment.pipeline import forward_threads
from ringmoe.deployment.video import VideoResult, track_video
from ringmoe.errors import ConfigError
from ringmoe.reports.objects import check_picture, draw_tracks, write_picture
from ringmoe.scenes import Scene, open_scene
from ringmoe.tasks import ObjectTask, load_task, read_task
from ringmoe.tasks.tracking import Similarity, TrackerOptions
from ringmoe.training import choose_device


def track(
    checkpoint: Path,
    frames: list[str],
    *,
    out: list[Path],
    fps: float | None = None,
    gsd: float | None = None,
    moving_camera: bool = False,
    similarity: Similarity | None = None,
    reach: float | None = None,
    buffer: float | None = None,
    low_score: float | None = None,
    high_score: float | None = None,
    new_score: float | None = None,
    lost_frames: int | None = None,
    confirm: int | None = None,
    class_wise: bool | None = None,
    bands: list[str] | None = None,
    encoding: str | None = None,
    nodata: float | None = None,
    tile_size: int = 0,
    overlap: int | None = None,
    batch_size: int = 8,
    nms_threshold: float | None = None,
    picture: Path | None = None,
    device: str = "auto",
) -> None:
    """Follow the objects of a video with a detector.

    The detector looks at every frame, in tiles if it is large; ByteTrack then links what it found.
    Tracks are lines with class, score, frames, times and speeds, in longitude and latitude where
    the frames have a place on Earth and in pixels where not; or MOT text, or both. A frame that
    cannot be read is listed and left out. Needs the extra `tracking`.

    Args:
        checkpoint: A run of `ringmoe finetune` for tracking or detection, horizontal or oriented,
            or the model in it.
        frames: A folder of images, a MOT sequence, or files; in the order of the dates or times in
            their names, else of the last number that differs in all of them.
        out: One or several files: `.geojson` for lines, `.txt` for MOT text.
        fps: Frames a second, counted by the frames' numbers; none: what `seqinfo.ini` says, or
            dates or times in the names. Without it there are no times and speeds.
        gsd: Metres of a pixel, for frames without a place on Earth; none: the sensor's.
        moving_camera: Whether to estimate the motion of the camera and allow for it. Leave it out
            where the frames lie on one grid, or each has its own place on Earth.
        similarity: How detections are compared with where an object should be now: iou,
            buffered-iou, distance; none: as the model has it, else distance.
        reach: Distance in pixels at which that similarity is 0; none: as the model has it, else 24.
        buffer: Share of its size by which buffered-iou widens a box on each side; none: as the
            model has it, else 0.5.
        low_score: Detections that are less sure, 0 to 1, are left out; none: as the model has it,
            else 0.1.
        high_score: Detections so sure, 0 to 1, are linked first; none: as the model has it,
            else 0.5.
        new_score: Detections so sure, from high-score to 1, begin a track; none: as the model has
            it, else 0.6, and no less than high-score.
        lost_frames: Frames for which an object that is not found is waited for; none: as the model
            has it, else 30.
        confirm: Frames in a row that an object must be found in to count; none: as the model has
            it, else 2.
        class_wise: Whether classes are followed apart; none: as the model has it, else yes.
        bands: What each band of a frame is, in file order; none: the file's own names, or the
            sensor's order.
        encoding: How a frame's numbers become units; none: as in what the model learned from.
        nodata: The number in frames that means "no data", where the files do not say; none: as in
            what the model learned from.
        tile_size: Pixels of a tile's side, a multiple of 32; 0: that of the model's training.
        overlap: Pixels that tiles share with their neighbours, best a little more than the longest
            object; none: a quarter of a tile.
        batch_size: Tiles that the model sees at once.
        nms_threshold: Two boxes of one class that overlap by more (intersection over union) are
            one object; none: as the model was trained.
        picture: Where to draw the last frame with where everything went: a `.png` or `.jpg`. Large
            frames are drawn smaller.
        device: Where to compute: auto, cpu, cuda.
    """
    if picture is not None:
        check_picture(picture)
    found = find_frames(frames)
    check_outputs([picture, *out], found.paths)
    folder = model_folder(checkpoint)
    facts = read_task(folder)
    where = choose_device(device)
    model = load_task(folder, device=where)
    task = model.task
    if not isinstance(task, ObjectTask) or list(model.sources) != ["image"]:
        raise ConfigError(
            f"{checkpoint} is a model for {task.name} of {', '.join(model.sources)}: expected one "
            "for tracking or detection on single images"
        )
    source = model.sources["image"]
    given = {
        "similarity": similarity,
        "reach": reach,
        "buffer": buffer,
        "low_score": low_score,
        "high_score": high_score,
        "new_score": new_score,
        "lost_frames": lost_frames,
        "confirm": confirm,
        "class_wise": class_wise,
    }
    open_frame = partial(
        open_scene,
        sensor=source.instrument,
        bands=bands,
        channels=source.channels,
        encoding=encoding or source.encoding,
        nodata=source.nodata if nodata is None else nodata,
    )
    result = track_video(
        lambda observations: task.decode(model(observations)),
        found,
        open_frame,
        out,
        classes=task.classes,
        options=tracker_options(task, given),
        tile_size=tile_side(tile_size, facts, model),
        overlap=overlap,
        batch_size=batch_size,
        threads=forward_threads(where),
        nms_threshold=task.nms_threshold if nms_threshold is None else nms_threshold,
        device=where,
        moving_camera=moving_camera,
        fps=fps,
        gsd=gsd,
        progress=_bar if sys.stderr.isatty() else None,
    )
    _tell(result, task.classes)
    if picture is not None:
        last = found.paths[found.numbers.index(result.numbers[-1])]
        write_picture(picture, _drawn(open_frame(last), result))
        print(f"picture: {picture}")


def _drawn(scene: Scene, result: VideoResult) -> np.ndarray:
    """The last frame with the trails of all tracks, and the boxes of those that are in it."""
    step = step_of(scene.height, scene.width, LONGEST_OF_OBJECTS)
    trails, boxes = {}, {}
    for one, trail in zip(result.tracks, result.trails, strict=True):
        trails[one.id] = trail / step
        if one.frames[-1] == len(result.numbers) - 1:
            boxes[one.id] = np.concatenate([one.boxes[-1][:4] / step, one.boxes[-1][4:]])
    return draw_tracks(overview(scene, LONGEST_OF_OBJECTS), trails, boxes)


def tracker_options(task: ObjectTask, given: dict[str, Any]) -> TrackerOptions:
    """Those of a tracking model, else the usual ones, with what was asked for in their place."""
    options = TrackerOptions()
    if isinstance(task, TrackerOptions):
        options = TrackerOptions(**{f.name: getattr(task, f.name) for f in fields(TrackerOptions)})
    given = {key: value for key, value in given.items() if value is not None}
    least = {"new_score": max(options.new_score, given.get("high_score", 0.0))}
    return replace(options, **least | given)


def _bar(places: Sequence[int]) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track as shown

    return shown(places, "Frames", console=Console(stderr=True))


def _spoken(seconds: float) -> str:
    """A time in the largest unit of which it has two."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _tell(result: VideoResult, classes: Sequence[str]) -> None:
    for path in result.paths:
        print(f"tracks: {path} ({len(result.tracks)})")
    width = max(map(len, classes))
    for index, name in enumerate(classes):
        print(f"  {name:{width}}  {sum(one.class_index == index for one in result.tracks)}")
    detections = sum(map(len, result.frames))
    apart = f" {_spoken(result.interval)} apart" if result.interval else ""
    print(f"{len(result.numbers)} frames{apart}, {detections} detections on tracks")
    if result.skipped:
        print(f"{len(result.skipped)} frames left out:")
        for line in result.skipped:
            print(f"  {line}")
    if result.gaps:
        listed = ", ".join(f"{count} between {a} and {b}" for a, b, count in result.gaps)
        print(f"{sum(gap[2] for gap in result.gaps)} frames missing: {listed}")
    if result.motion_failed:
        print(f"{result.motion_failed} frames showed too little for the motion of the camera")
