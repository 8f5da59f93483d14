"""`predict_scene`: a model over a scene of any size, in memory that grows with its width alone."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ringmoe.deployment.cog import write_cog
from ringmoe.deployment.colours import Colour
from ringmoe.deployment.journal import Journal, check_outputs, files_of, kept_if_useful
from ringmoe.deployment.mapper import Mapper, Predictor, Scored
from ringmoe.deployment.pipeline import ahead, behind, side_by_side
from ringmoe.deployment.polygons import check_polygons, write_polygons
from ringmoe.deployment.progress import MapProgress
from ringmoe.deployment.strips import Batch, rows_together
from ringmoe.deployment.tiling import TiledScene
from ringmoe.deployment.writing import Meaning, RowWriter
from ringmoe.errors import ConfigError, ValueRangeError
from ringmoe.scenes import Scene

_FORMAT = 1  # of unfinished maps
_DEPTH = 2  # batches that wait before the model, and as many behind it
_STRIP_ROWS = 512  # of which polygons are found at a time


@dataclass(frozen=True)
class MapResult:
    """What `predict_scene` has made.

    Attributes:
        path: The map.
        height: Rows.
        width: Columns.
        valid_pixels: Pixels that hold data.
        tiles: Tiles that went through the model in this run; tiles without data do not.
        resumed_rows: Rows that an earlier run had finished.
        seconds: What this run took.
        tile_seconds: What of that it took until the last row was final; then the files are made.
        probabilities: The map of probabilities, if it was asked for.
        polygons: The polygons, if they were asked for.
        polygon_count: How many.
    """

    path: Path
    height: int
    width: int
    valid_pixels: int
    tiles: int
    resumed_rows: int
    seconds: float
    tile_seconds: float
    probabilities: Path | None = None
    polygons: Path | None = None
    polygon_count: int = 0


def predict_scene(
    predictor: Predictor,
    scenes: Scene | Mapping[str, Scene],
    out: str | Path,
    *,
    kind: Literal["classes", "values"],
    tile_size: int,
    classes: Sequence[str] = (),
    colours: Sequence[Colour] | None = None,
    nodata: float | None = None,
    overlap: int | None = None,
    batch_size: int = 8,
    threads: int = 1,
    any_data: bool = False,
    device: torch.device | str = "cpu",
    probabilities: bool = False,
    probability_type: Literal["uint8", "float32"] = "uint8",
    polygons: str | Path | None = None,
    name: str = "",
    unit: str = "",
    tags: Mapping[str, str] | None = None,
    fingerprint: str = "",
    resume: bool = True,
    progress: bool = False,
) -> MapResult:
    """Map a scene of any size.

    Tiles overlap; their scores are blended with smooth weights that sum to 1 before the best class
    is chosen. Reading, model and writing run side by side. Where a scene has no data, the map has
    none; the model is given the mean there, and `Observation.valid` false.

    Until it is finished, the map lies in the folder `.NAME.unfinished` beside `out`. A run that was
    killed goes on there, to the same file; one of another model, scene or options starts anew.

    Args:
        predictor: The model, on `device` and in evaluation mode.
        scenes: The scene; or several of one grid, by the names that the model knows them by. A
            single scene is named "image".
        out: The map, a cloud-optimised GeoTIFF (`.tif`).
        kind: "classes": the model gives scores, the map has the class of the highest. "values": the
            model gives one value a pixel, and so does the map.
        tile_size: Pixels of a tile's side, as the model takes them.
        classes: Names of the classes, in the order of the scores.
        colours: Red, green and blue of each class, 0 to 255; None chooses by their names
            (`class_colours`).
        nodata: Stands for "no data" in the map; None for 255 (65535 if there are more classes), and
            NaN for values.
        overlap: Pixels that tiles share with their neighbours; None for a quarter of a tile.
        batch_size: Tiles that the model sees at once.
        threads: That call the model side by side, each with a batch and its share of torch's own
            threads; the model must not mind. On a CPU `forward_threads` are faster than one.
        any_data: Of several scenes: whether the map has data where one of them has, and not only
            where all have.
        device: Where the model is.
        probabilities: Whether to write the probability of each class, the softmax of the blended
            scores, to `NAME-probabilities.tif`.
        probability_type: "uint8": in steps of 1/254, which is the file's scale. "float32": as is.
        polygons: Where to write the areas of each class: a `.geojson` or `.parquet`. Outlines of
            areas that are not complete are held in memory.
        name: Of the map's band; "" for "class" or "value".
        unit: Of values, e.g. "m".
        tags: Metadata to write into the files.
        fingerprint: Tells the model's weights from others, e.g. a hash of the checkpoint. Without
            it no run is resumed, as nobody could tell whether it was of the same model.
        resume: Whether to go on with an unfinished map; False starts anew.
        progress: Whether to show a bar.

    Raises:
        ConfigError: Options that do not go together, or a file to be written is one of a scene's.
        GeoreferenceError: Scenes on different grids, or polygons of a scene without a place.
        ShapeError: The model gives other numbers of classes or pixels than it should.
        ValueRangeError: Values cannot be in the unit that the scene declares; the scene holds no
            data; or the model gives NaN or infinite numbers.
        SceneReadError: A file is truncated or damaged.
        WriteError: Disk full, no permission and the like; an old map stands untouched.
    """
    started = time.monotonic()
    tiled = TiledScene.over(scenes, tile_size, overlap, batch_size, any_data)
    scene = tiled.scene
    out, shares = _outputs(out)
    polygons = None if polygons is None else Path(polygons)
    written = [out, polygons, shares if probabilities else None]
    check_outputs(written, files_of(tiled.scenes.values()))
    if polygons is not None:
        if kind != "classes":
            raise ConfigError(f"{polygons}: values have no polygons: leave them away")
        check_polygons(polygons, scene)
    meaning = Meaning.of(
        kind,
        classes,
        colours,
        nodata,
        probabilities=probability_type if probabilities else None,
        name=name,
        unit=unit,
        tags=tags or {},
    )
    about = [kind, meaning.classes, str(meaning.nodata), meaning.probabilities]
    mark = tiled.mark(fingerprint, format=_FORMAT, map=about)
    journal = Journal(out, mark, resume=resume and bool(fingerprint))
    resumed = journal.progress.rows
    with kept_if_useful(journal), MapProgress(resumed, scene.height, shown=progress) as bar:
        first_row = _first_row(tiled, resumed)
        where = str(scene.path)
        writer = RowWriter(meaning, tiled.rows, tiled.columns, journal, where=where)
        with closing(writer):
            if resumed < scene.height:
                model = Mapper(predictor, torch.device(device), meaning.channels, tile_size)
                batches = tiled.batches(model.device, first_row)
                _map_tiles(batches, model, tiled.busy(threads), writer, bar)
            tile_seconds = time.monotonic() - started
            if not writer.progress.pixels:
                journal.remove()
                raise ValueRangeError(
                    f"{scene.path}: no pixel holds data: check the nodata value and the mask"
                )
            bar.stage("files")
            write_cog(writer.map, out, scene, meaning.map_legend())
            if writer.shares is not None:
                write_cog(writer.shares, shares, scene, meaning.probability_legend())
            count = 0
            if polygons is not None:
                strips = ((row, planes[0]) for row, planes in writer.map.strips(_STRIP_ROWS))
                count = write_polygons(polygons, strips, scene, classes, int(meaning.nodata))
        journal.remove()
    return MapResult(
        path=out,
        height=scene.height,
        width=scene.width,
        valid_pixels=writer.progress.pixels,
        tiles=writer.tiles,
        resumed_rows=resumed,
        seconds=time.monotonic() - started,
        tile_seconds=tile_seconds,
        probabilities=shares if probabilities else None,
        polygons=polygons,
        polygon_count=count,
    )


def _map_tiles(
    batches: Generator[Batch, None, None],
    model: Mapper,
    threads: int,
    writer: RowWriter,
    bar: MapProgress,
) -> None:
    """Read ahead of the model in one thread, blend and write behind it in another."""

    def blend(item: Scored) -> None:
        writer.add(item.batch, item.wait())
        bar.mapped(writer.progress.rows, writer.tiles)

    with behind(blend, _DEPTH) as put, ahead(batches, _DEPTH) as coming:
        for scored in side_by_side(model, coming, threads):
            put(scored)
    writer.commit()


def _first_row(tiled: TiledScene, finished: int) -> int:
    """The row of tiles to begin with: the first that reaches a row that is not finished.

    Or one above, so that batches hold the same tiles as in a run that was not interrupted.
    """
    rows = tiled.rows
    reaching = [i for i, start in enumerate(rows.starts) if start + rows.tile_size > finished]
    first = reaching[0] if reaching else len(rows.starts) - 1
    return first - first % rows_together(tiled.columns, tiled.batch_size)


def _outputs(out: str | Path) -> tuple[Path, Path]:
    """Where the map and the probabilities go."""
    out = Path(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"{out}: a map is a GeoTIFF: let its name end in .tif")
    return out, out.with_name(f"{out.stem}-probabilities.tif")
