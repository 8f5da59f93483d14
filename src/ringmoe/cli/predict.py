"""`ringmoe predict`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ringmoe.cli._map_picture import draw_map
from ringmoe.cli._predict_objects import find_objects
from ringmoe.deployment import MapResult, forward_threads, predict_scene
from ringmoe.deployment.colours import with_colours
from ringmoe.deployment.journal import check_outputs, files_of
from ringmoe.errors import CheckpointError, ConfigError
from ringmoe.models.folder import TASK, TASK_WEIGHTS
from ringmoe.pruning.fingerprint import fingerprint
from ringmoe.reports.objects import check_picture
from ringmoe.scenes import Scene, open_scene
from ringmoe.tasks import ObjectTask, TaskModel, load_task, read_task
from ringmoe.training import RunFolder, choose_device


def predict(
    checkpoint: Path,
    scenes: list[str],
    *,
    out: Path,
    bands: list[str] | None = None,
    encoding: str | None = None,
    encodings: dict[str, str] | None = None,
    nodata: float | None = None,
    tile_size: int = 0,
    overlap: int | None = None,
    batch_size: int = 8,
    probabilities: bool = False,
    polygons: Path | None = None,
    colours: dict[str, str] | None = None,
    score_threshold: float | None = None,
    nms_threshold: float | None = None,
    picture: Path | None = None,
    resume: bool = True,
    device: str = "auto",
) -> None:
    """Map a scene of any size with a task's model, or find its objects.

    The map lies where the scene lies: a cloud-optimised GeoTIFF of classes, with their names and
    colours, or of heights in metres. What is no data in the scene is none in the map. A detector
    gives a list of objects, each once, with its place, class, score, direction and, where the scene
    lies somewhere on Earth, its length and width in metres. A run that was interrupted goes on
    where it stopped when the same command is given again.

    Args:
        checkpoint: A run of `ringmoe finetune`, or the model in it.
        scenes: The scene, a file that GDAL reads or a folder; before and after for change; one for
            each modality, in the order of the model's, for one of several. Or by name, such as
            sar_amplitude=FILE: then a model that was trained to go without one may be given fewer.
        out: The map, a `.tif`; of a detector the objects, a `.geojson` or `.parquet`.
        bands: What each band of the scene is, in file order; none: the file's own names, or the
            sensor's order. For one image.
        encoding: How the scene's numbers become units; none: as in what the model learned from.
        encodings: The same by image, for several: `--encodings.sar_amplitude decibel`. An image
            that is named here is not read as `encoding` says.
        nodata: The number in the scene that means "no data", where the file does not say; none: as
            in what the model learned from.
        tile_size: Pixels of a tile's side, a multiple of 32; 0: that of the model's training.
        overlap: Pixels that tiles share with their neighbours; none: a quarter of a tile. For a
            detector best a little more than the longest object.
        batch_size: Tiles that the model sees at once.
        probabilities: Whether to write each class's probability too, beside the map.
        polygons: Where to write the areas of each class: a `.geojson` or `.parquet`. Memory grows
            with the outlines of areas that reach over many rows.
        colours: Of classes on the map, in place of the usual ones:
            `--colours '{water: "#3474c9"}'`.
        score_threshold: Of a detector: how sure it must be of an object, 0 to 1; none: 0.5.
        nms_threshold: Of a detector: two boxes of one class that overlap by more (intersection over
            union) are one object; none: as the model was trained.
        picture: Where to draw the map beside the scene, or the objects on it: a `.png` or `.jpg`.
            Large scenes are drawn smaller.
        resume: Whether to go on with an interrupted map.
        device: Where to compute: auto, cpu, cuda.
    """
    folder = model_folder(checkpoint)
    facts = read_task(folder)
    where = choose_device(device)
    model = load_task(folder, device=where)
    if model.task.label_kind == "class":
        raise ConfigError(
            f"{checkpoint} is a model for {model.task.name}, one class an image, which makes no "
            "map: expected one for segmentation, change, height or detection"
        )
    thresholds = {"score_threshold": score_threshold, "nms_threshold": nms_threshold}
    of_maps = {"probabilities": probabilities or None, "polygons": polygons, "colours": colours}
    if isinstance(model.task, ObjectTask):
        _refuse(of_maps, "maps", checkpoint, model)
    else:
        _refuse(thresholds, "detectors", checkpoint, model)
    given = {**_one(encoding, model), **(encodings or {})}
    opened = open_images(model, scenes, bands, given, nodata)
    check_outputs([picture], files_of(opened.values()))
    shared: dict[str, Any] = {
        "tile_size": tile_side(tile_size, facts, model),
        "overlap": overlap,
        "batch_size": batch_size,
        "threads": forward_threads(where),
        "device": where,
        "fingerprint": model_mark(folder),
        "resume": resume,
        "progress": sys.stderr.isatty(),
    }
    if isinstance(model.task, ObjectTask):
        find_objects(
            model,
            model.task,
            opened,
            out,
            nms_threshold=nms_threshold,
            score_threshold=0.5 if score_threshold is None else score_threshold,
            picture=picture,
            **shared,
        )
        return
    if picture is not None:
        check_picture(picture)
    is_height = model.task.label_kind == "height"
    if is_height:
        _refuse({"colours": colours}, "maps of classes", checkpoint, model)
    result = predict_scene(
        model,
        opened,
        out,
        kind="values" if is_height else "classes",
        classes=model.task.classes,
        colours=with_colours(model.task.classes, colours) if colours else None,
        unit="m" if is_height else "",
        name="height" if is_height else "class",
        probabilities=probabilities,
        polygons=polygons,
        any_data=model.may_lack,
        **shared,
    )
    _tell(result)
    if picture is not None:
        draw_map(picture, opened, result.path, model.task)


def _refuse(options: Mapping[str, Any], of: str, checkpoint: Path, model: TaskModel) -> None:
    """Refuse options that mean nothing for a task, where they are given (not None)."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: of {of} alone, and {checkpoint} is a model for "
            f"{model.task.name}, which takes none"
        )


def model_folder(checkpoint: Path) -> Path:
    """The folder of the task's model: `checkpoint` itself, or `model` in a run's folder.

    Raises:
        CheckpointError: There is no such folder, or its run has not ended.
    """
    if not checkpoint.exists():
        raise CheckpointError(f"{checkpoint}: there is no such folder; expected a task's model")
    run = RunFolder(checkpoint)
    if run.config_path.is_file() and not run.model_path.exists():
        raise CheckpointError(
            f"{checkpoint}: this run has not ended: go on with it (`ringmoe finetune ... --resume`)"
        )
    return run.model_path if (run.model_path / TASK).is_file() else checkpoint


def tile_side(asked: int, facts: Mapping[str, Any], model: TaskModel) -> int:
    """Pixels of a tile's side: those asked for, or those of the model's training.

    Raises:
        ConfigError: The model cannot take tiles of that size.
    """
    stride = model.backbone.config.stride
    if asked % stride or asked < 0:
        raise ConfigError(f"tile_size must be a multiple of {stride} pixels, got {asked}")
    return asked or facts["tile_size"]


def open_images(
    model: TaskModel,
    scenes: Sequence[str],
    bands: Sequence[str] | None,
    encodings: Mapping[str, str],
    nodata: float | None = None,
) -> dict[str, Scene]:
    """The scenes by the names that the model knows them by, with its channels.

    Raises:
        ConfigError: There are not those that the model takes, or `bands` are given for several.
    """
    names = list(model.sources)
    paths = _by_name(scenes, model)
    unknown = [name for name in encodings if name not in names]
    if unknown or (bands and len(names) > 1):
        raise ConfigError(
            f"encodings, bands: the model's images are {', '.join(names)}"
            + (f", none is called {', '.join(unknown)}" if unknown else "; bands are for one image")
        )
    return {
        name: open_scene(
            path,
            model.sources[name].instrument,
            bands=bands,
            channels=model.sources[name].channels,
            encoding=encodings.get(name, model.sources[name].encoding),
            nodata=model.sources[name].nodata if nodata is None else nodata,
        )
        for name, path in paths.items()
    }


def _by_name(scenes: Sequence[str], model: TaskModel) -> dict[str, str]:
    """Name to path, in the model's order, from paths in that order or all as NAME=PATH."""
    names = list(model.sources)
    parts = [scene.partition("=") for scene in scenes]
    named = {name: path for name, equals, path in parts if equals and name in names}
    if not named and len(scenes) == len(names):
        return dict(zip(names, scenes, strict=True))
    enough = bool(named) if model.may_lack else set(named) == set(names)
    if len(named) == len(scenes) and enough:
        return {name: named[name] for name in names if name in named}
    lacking = [name for name in names if name not in named]
    if named and len(named) == len(scenes) == len({*scenes}) and lacking:
        raise ConfigError(
            f"{', '.join(lacking)} is missing, and the model was not trained to do without: give "
            "it too, or fine-tune with `missing` over 0"
        )
    few = "; it may do with fewer, by name: " if model.may_lack else "; or by name: "
    raise ConfigError(
        f"expected {len(names)} scene(s), {', '.join(names)}, in this order{few}"
        f"{' '.join(f'{name}=FILE' for name in names)}; got {' '.join(scenes)}"
    )


def _one(encoding: str | None, model: TaskModel) -> dict[str, str]:
    return {} if encoding is None else dict.fromkeys(model.sources, encoding)


def model_mark(folder: Path) -> str:
    """Tells the model from others: of the backbone, the head and what they are for."""
    digest = hashlib.sha256(fingerprint(folder).encode())
    for name in (TASK, TASK_WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def _tell(result: MapResult) -> None:
    share = result.valid_pixels / (result.height * result.width)
    print(f"map: {result.path} ({result.width} x {result.height} px, {share:.0%} with data)")
    if result.probabilities:
        print(f"probabilities: {result.probabilities}")
    if result.polygons:
        print(f"polygons: {result.polygons} ({result.polygon_count})")
    if result.resumed_rows:
        print(f"{result.resumed_rows} rows were there already")
    rate = result.tiles / result.seconds if result.seconds else 0.0
    print(f"{result.tiles} tiles in {result.seconds:.1f} s ({rate:.1f} a second)")
