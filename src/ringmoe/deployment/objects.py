"""`predict_objects`: a detector over a scene of any size, and `detect`: the same in memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ringmoe.boxes import Objects
from ringmoe.datasets.objects.geometry import LEAST_SHARE, share_inside
from ringmoe.deployment.detector import Detector, ObjectPredictor
from ringmoe.deployment.journal import Journal, Progress, check_outputs, files_of, kept_if_useful
from ringmoe.deployment.object_journal import RowFile, TileRow, together
from ringmoe.deployment.object_merging import merge
from ringmoe.deployment.object_writing import check_objects, write_objects
from ringmoe.deployment.pipeline import ahead, side_by_side
from ringmoe.deployment.progress import MapProgress
from ringmoe.deployment.strips import Batch, rows_together
from ringmoe.deployment.tiling import TiledScene
from ringmoe.errors import ConfigError, ValueRangeError
from ringmoe.scenes import Scene

_FORMAT = 1  # of unfinished lists
_DEPTH = 2  # batches that wait before the model


@dataclass(frozen=True)
class ObjectsResult:
    """What `predict_objects` has made.

    Attributes:
        path: The file.
        objects: What it holds, in pixels of the scene, by falling score.
        counts: How many of each class, by name.
        height: Rows of the scene.
        width: Columns.
        tiles: Tiles that went through the model in this run; tiles without data do not.
        resumed_rows: Pixel rows that an earlier run had finished.
        seconds: What this run took.
    """

    path: Path
    objects: Objects
    counts: Mapping[str, int]
    height: int
    width: int
    tiles: int
    resumed_rows: int
    seconds: float


def predict_objects(
    predictor: ObjectPredictor,
    scenes: Scene | Mapping[str, Scene],
    out: str | Path,
    *,
    classes: Sequence[str],
    tile_size: int,
    overlap: int | None = None,
    batch_size: int = 8,
    threads: int = 1,
    nms_threshold: float | None = None,
    score_threshold: float = 0.5,
    device: torch.device | str = "cpu",
    fingerprint: str = "",
    resume: bool = True,
    progress: bool = False,
) -> ObjectsResult:
    """Find the objects of a scene of any size, and write them as GeoJSON or GeoParquet.

    Tiles overlap; what several tiles show appears once (`ringmoe.deployment.object_merging` says by
    which rules, and for objects of which size they are exact). Memory grows with the scene's width
    and the number of objects. Each feature has the box's four corners as its polygon, and `class`,
    `class_index`, `score`, `column` and `row` (of the centre, in pixels), and `angle` (of the long
    edge, in radians, as `ringmoe.boxes` has it); where the scene has a place on Earth also
    `azimuth_deg` (of the long edge, clockwise from north, 0 to 180) and the length of both edges
    on the ground, `length_m` and `width_m`. A scene without a place gives pixel coordinates.

    Until it is finished, what was found lies in the folder `.NAME.unfinished` beside `out`. A run
    that was killed goes on there, to the same file; one of another model, scene, tile size, overlap
    or score threshold starts anew.

    Args:
        predictor: The model, on `device` and in evaluation mode.
        scenes: The scene; or several of one grid, by the names that the model knows them by. A
            single scene is named "image".
        out: The file, `.geojson`, `.json` or `.parquet`.
        classes: Names of the classes, in the order of their indices.
        tile_size: Pixels of a tile's side, as the model takes them.
        overlap: Pixels that tiles share with their neighbours, best a little more than the longest
            object; None for a quarter of a tile.
        batch_size: Tiles that the model sees at once.
        threads: That call the model side by side, each with a batch and its share of torch's own
            threads; the model must not mind. On a CPU `forward_threads` are faster than one.
        nms_threshold: Intersection over union above which the lower score of a class is dropped;
            None for 0.5, of rotated boxes 0.3.
        score_threshold: The least score.
        device: Where the model is.
        fingerprint: Tells the model's weights from others, e.g. a hash of the checkpoint. Without
            it no run is resumed, as nobody could tell whether it was of the same model.
        resume: Whether to go on with an unfinished run; False starts anew.
        progress: Whether to show a bar.

    Raises:
        ConfigError: Options that do not go together.
        GeoreferenceError: Scenes on different grids, or a place that cannot be found on Earth.
        ShapeError: The model gives no list of as many objects as tiles, or an unknown class.
        ValueRangeError: Values cannot be in the unit that the scene declares; the scene holds no
            data; or the model gives NaN or infinite numbers.
        SceneReadError: A file is truncated or damaged.
        WriteError: Disk full, no permission and the like; an old file stands untouched.
    """
    started, out = time.monotonic(), Path(out)
    tiled = TiledScene.over(scenes, tile_size, overlap, batch_size)
    scene = tiled.scene
    search = _Search(tiled, threads, score_threshold, nms_threshold)
    check_objects(out, scene)
    check_outputs([out], files_of(tiled.scenes.values()))
    mark = tiled.mark(fingerprint, format=_FORMAT, score_threshold=score_threshold)
    model = Detector(predictor, torch.device(device), len(classes), score_threshold)
    journal = Journal(out, mark, resume=resume and bool(fingerprint))
    finished = search.rows_within(journal.progress.rows)
    with (
        kept_if_useful(journal),
        closing(RowFile(journal.folder, finished)) as file,
        closing(search.run(model, first_row=len(file.rows))) as rows,
        MapProgress(search.final(len(file.rows)), scene.height, shown=progress) as bar,
    ):
        resumed = search.final(len(file.rows))
        for row in rows:
            file.add(row)
            done = Progress(search.final(len(file.rows)))
            journal.note(done, file)
            bar.mapped(done.rows, search.tiles)
        journal.note(Progress(scene.height), file, now=True)
        bar.stage("files")
        found = together(file.rows)
        if found is None:
            journal.remove()
        objects = search.merged(found)
        write_objects(out, objects, scene, classes)
    journal.remove()
    counts = np.bincount(objects.classes, minlength=len(classes))
    return ObjectsResult(
        path=out,
        objects=objects,
        counts=dict(zip(classes, counts.tolist(), strict=True)),
        height=scene.height,
        width=scene.width,
        tiles=search.tiles,
        resumed_rows=resumed,
        seconds=time.monotonic() - started,
    )


def detect(
    predictor: ObjectPredictor,
    scenes: Scene | Mapping[str, Scene],
    *,
    tile_size: int,
    overlap: int | None = None,
    batch_size: int = 8,
    threads: int = 1,
    nms_threshold: float | None = None,
    score_threshold: float = 0.5,
    device: torch.device | str = "cpu",
) -> Objects:
    """The objects of a scene of any size, in its pixels and by falling score.

    As `predict_objects`, without a file; arguments and errors are the same.
    """
    tiled = TiledScene.over(scenes, tile_size, overlap, batch_size)
    search = _Search(tiled, threads, score_threshold, nms_threshold)
    model = Detector(predictor, torch.device(device), None, score_threshold)
    return search.merged(together(list(search.run(model))))


class _Search:
    """Where to look, and how to put together what is found."""

    def __init__(
        self,
        tiled: TiledScene,
        threads: int,
        score_threshold: float,
        nms_threshold: float | None,
    ) -> None:
        thresholds = {"score_threshold": score_threshold, "nms_threshold": nms_threshold}
        for name, value in thresholds.items():
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, got {value}")
        self.tiled, self.rows, self.columns = tiled, tiled.rows, tiled.columns
        self.nms_threshold, self._threads = nms_threshold, tiled.busy(threads)
        self.tiles = 0  # that went through the model

    def run(self, model: Detector, first_row: int = 0) -> Generator[TileRow, None, None]:
        """Row of tiles by row of tiles, read ahead of the model in another thread."""
        if first_row == len(self.rows.starts):
            return
        with ahead(self.tiled.batches(model.device, first_row), _DEPTH) as coming:
            yield from self._rows(coming, model)

    def _rows(self, batches: Iterable[Batch], model: Detector) -> Iterator[TileRow]:
        begun: dict[int, list[tuple[int, Objects]]] = defaultdict(list)
        for batch, found in side_by_side(model, batches, self._threads):
            self.tiles += len(batch.tiles)
            for (row, column), objects in zip(batch.tiles, found, strict=True):
                begun[row].append((column, self._placed(objects, row, column)))
            for row, _ in batch.masks:
                tiles = begun.pop(row, [])
                columns = [np.full(len(objects), column) for column, objects in tiles]
                yield TileRow(
                    row=row,
                    columns=np.concatenate([*columns, np.zeros(0, np.int64)]).astype(np.int64),
                    objects=Objects.join([objects for _, objects in tiles]) if tiles else None,
                )

    def _placed(self, objects: Objects, row: int, column: int) -> Objects:
        """The same in pixels of the scene, without what lies in the padding beyond it."""
        start = np.array([self.columns.starts[column], self.rows.starts[row]])
        size = np.array([self.columns.length, self.rows.length])
        placed = objects.boxes.astype(np.float64)
        placed[:, :2] += start
        if not objects.rotated:
            placed[:, 2:] += start
        shown = share_inside(placed, *size) >= LEAST_SHARE  # by which labels count too
        if not objects.rotated:
            placed = np.clip(placed, 0, np.tile(size, 2))
        return Objects(placed, objects.classes, objects.scores).take(shown)

    def merged(self, found: tuple[Objects, np.ndarray] | None) -> Objects:
        """Each object once, of those of all tiles."""
        if found is None:
            raise ValueRangeError(
                f"{self.tiled.scene.path}: no pixel holds data: check the nodata value and the mask"
            )
        threshold = self.nms_threshold
        if threshold is None:  # turned to their object, rotated boxes hardly overlap one another
            threshold = 0.3 if found[0].rotated else 0.5
        return merge(*found, self.rows, self.columns, threshold)

    def rows_within(self, pixel_rows: int) -> int:
        """Rows of tiles to go on after when so many pixel rows are finished.

        Or fewer, so that batches hold the same tiles as in a run that was not interrupted.
        """
        count = len(self.rows.starts)
        finished = sum(self.final(i + 1) <= pixel_rows for i in range(count))
        if finished == count:
            return finished
        return finished - finished % rows_together(self.columns, self.tiled.batch_size)

    def final(self, tile_rows: int) -> int:
        """Pixel rows that are finished when so many rows of tiles are."""
        return self.rows.final(tile_rows - 1).stop if tile_rows else 0
