"""A file of an ingest: its name, its state, its pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ringmoe.archive.changes import State, state_of
from ringmoe.archive.sources import SourceFile, split_date
from ringmoe.errors import SceneReadError
from ringmoe.sampling.hashing import mix, name_key
from ringmoe.scenes import Scene, Window, open_scene

# Smaller scenes are read at once: PNG and JPEG are decoded from their start for every window.
READ_WHOLE_BYTES = 64 * 2**20


def ground_sampling_distance(scene: Scene) -> float:
    """Pixel size in metres: of a projected scene its own, else the sensor's; NaN if unknown."""
    if scene.transform is not None and scene.crs is not None and scene.crs.is_projected:
        metres = scene.crs.linear_units_factor[1]
        return float(abs(scene.transform.determinant) ** 0.5 * metres)
    return float("nan") if scene.sensor.gsd is None else scene.sensor.gsd


def check_name(file: SourceFile) -> None:
    """Raise `SceneReadError` if the table of tiles cannot hold the file's name."""
    if in_utf8(file.name) != file.name:
        raise SceneReadError(f"{file.name}: not UTF-8 in its name: rename it")


def in_utf8(text: str) -> str:
    r"""A text that may hold bytes of a file name that are not UTF-8, with these as `\udcd6`."""
    return text.encode(errors="backslashreplace").decode()


def state_of_file(file: SourceFile) -> State | None:
    """What the file is like now, see `state_of`."""
    return state_of(split_date(file.path)[0])


def open_file(file: SourceFile) -> Scene:
    """The scene, as its source says."""
    source = file.source
    return open_scene(
        file.path,
        source.sensor,
        bands=source.bands,
        channels=source.channels,
        encoding=source.encoding,
        nodata=source.nodata,
        derive=source.derive,
        seed=int(mix(source.seed, name_key(file.name))),  # scenes are drawn independently
    )


def reader_of(scene: Scene) -> Callable[[Window], tuple[np.ndarray, np.ndarray]]:
    """`scene.read_digital`, or the same out of memory for a scene of modest size."""
    if scene.height * scene.width * len(scene.channels) * scene.dtype.itemsize > READ_WHOLE_BYTES:
        return scene.read_digital
    digital, valid = scene.read_digital()
    return lambda w: (digital[:, w.rows, w.columns], valid[w.rows, w.columns])
