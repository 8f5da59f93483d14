"""Simulated scenes as files: GeoTIFFs, labels, and a manifest that lists them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from ringmoe.errors import ConfigError
from ringmoe.files import discard, replacing
from ringmoe.scenes import write_raster
from ringmoe.sensors import get_sensor
from ringmoe.simulation.kinds import KINDS
from ringmoe.simulation.labels import object_labels, track_lines, video_labels
from ringmoe.simulation.landscape import Landscape, check_landscape, simulate_landscape
from ringmoe.simulation.materials import LAND_COVER, LAND_COVER_COLOURS
from ringmoe.simulation.object_models import OBJECT_CLASSES
from ringmoe.simulation.optical import observe_multispectral, observe_optical
from ringmoe.simulation.plan import stream
from ringmoe.simulation.raster import GSD
from ringmoe.simulation.sar import observe_sar_amplitude, observe_sar_complex
from ringmoe.simulation.video import Film, close_up

Array = np.ndarray

MANIFEST = "simulation.json"
CRS = "EPSG:32632"  # WGS 84 / UTM zone 32N
_EAST, _NORTH = 400_000.0, 5_300_000.0  # of the first scene's north-west corner
_SCENES_A_ROW = 8

# File name -> sensor and how it observes.
OBSERVATIONS: dict[str, tuple[str, Callable[[Landscape, np.random.Generator], Array]]] = {
    "optical": ("simulated-optical", observe_optical),
    "multispectral": ("simulated-multispectral", observe_multispectral),
    "sar_complex": ("simulated-sar-complex", observe_sar_complex),
    "sar_amplitude": ("simulated-sar-amplitude", observe_sar_amplitude),
}
_LOOKS = OBSERVATIONS | {"close_up": ("simulated-video", observe_optical)}


def write_simulation(
    out: Path,
    scenes: int = 8,
    size: int = 256,
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
    workers: int = 1,
    kinds: Sequence[str] = (),
    film: Film | None = None,
) -> Path:
    """Simulate scenes and write what the sensors see of them, with labels for every task.

    The same arguments give the same bytes. Kinds of scene take turns, so that eight scenes show
    them all. The manifest is written last, and one of an earlier run is removed first: a run that
    was interrupted leaves whole files but no manifest.

    Args:
        out: The folder; made where it lacks.
        scenes: How many.
        size: Their height and width in pixels of 2 m.
        seed: At least 0; of the first scene and, with its number, of every other.
        progress: Wraps the iteration over scenes, e.g. `rich.progress.track`.
        workers: Processes that share the scenes; they change nothing in the files. With more than
            one, a script needs the `if __name__ == "__main__":` of `multiprocessing`.
        kinds: Kinds of scene that take turns, e.g. "harbour"; none: all.
        film: How videos are made; None: as `Film` has it.

    Returns:
        The path of the manifest, `simulation.json`.

    Raises:
        ConfigError: No scenes, no workers, a size below 32, a negative seed, no such kind, or a
            film that cannot be made of such scenes.
        WriteError: Disk full, no permission and the like.
    """
    if scenes < 1:
        raise ConfigError(f"scenes is {scenes}: simulate at least one")
    if workers < 1:
        raise ConfigError(f"workers is {workers}: at least one process must do the work")
    for kind in (None, *kinds):
        check_landscape(seed, size, kind)
    film = film or Film()
    film.check(size)
    out = Path(out)
    discard(out / MANIFEST)
    write = partial(_write_scene, out, size, seed, tuple(kinds) or tuple(KINDS), film)
    numbers = progress(range(scenes)) if progress else range(scenes)
    if workers == 1:
        entries = [write(number) for number in numbers]
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            written = pool.map(write, range(scenes))
            entries = [entry for _, entry in zip(numbers, written, strict=True)]
    manifest = {
        "format": "ringmoe-simulation",
        "version": 1,
        "seed": seed,
        "size": size,
        "gsd": GSD,
        "crs": CRS,
        "scene_classes": list(KINDS),
        "land_cover": list(LAND_COVER),
        "object_classes": list(OBJECT_CLASSES),
        "scenes": entries,
    }
    _write_text(out / MANIFEST, json.dumps(manifest, indent=1))
    return out / MANIFEST


def _write_scene(
    out: Path, size: int, seed: int, kinds: Sequence[str], film: Film, number: int
) -> dict[str, Any]:
    """One scene's folder; returns its entry of the manifest."""
    kind = kinds[number % len(kinds)]
    scene_seed = int(stream(seed, f"scene {number}").integers(2**31))
    landscape = simulate_landscape(scene_seed, size, kind, film.frames, film.interval)
    name = f"scene-{number:04d}"
    row, column = divmod(number, _SCENES_A_ROW)
    east, north = _EAST + column * size * GSD, _NORTH - row * size * GSD
    place = Affine(GSD, 0, east, 0, -GSD, north)

    def write(file: str, values: Array, transform: Affine = place, **more: Any) -> str:
        write_raster(out / name / file, values, crs=CRS, transform=transform, **more)
        return f"{name}/{file}"

    def observe(file: str, of: Landscape, observation: str, **more: Any) -> dict[str, str]:
        sensor, look = _LOOKS[observation]
        values = look(of, stream(scene_seed, f"sensor {file}"))
        names = [channel.name for channel in get_sensor(sensor).channels]
        return {"path": write(file, values, channel_names=names, **more), "sensor": sensor}

    colours = dict(enumerate(LAND_COVER_COLOURS))
    labels = {
        "class": kind,
        "mask": write("landcover.tif", landscape.land_cover, colormap=colours),
        "height": write("height.tif", landscape.height_above_ground, channel_names=["height"]),
        "boxes": f"{name}/boxes.json",
    }
    change = write("change.tif", landscape.change, colormap={0: (0, 0, 0), 1: (255, 255, 255)})
    _write_text(out / labels["boxes"], json.dumps(object_labels(landscape), indent=1))

    files = [
        {**observe(f"{observation}.tif", landscape, observation), "labels": labels}
        for observation in OBSERVATIONS
    ]
    assert landscape.later is not None
    later = observe("optical_later.tif", landscape.later, "optical")
    before = {"change": change, "before": files[0]["path"]}
    files.append({**later, "labels": {"class": kind, **before}})
    shown, top, left = close_up(landscape, film)
    there = Affine(film.gsd, 0, east + left * GSD, 0, -film.gsd, north - top * GSD)
    look = "optical" if film.zoom == 1 else "close_up"
    frames = [
        observe(f"video/frame_{n:03d}.tif", shown.at_frame(n), look, transform=there)["path"]
        for n in range(film.frames)
    ]
    moving = {"boxes": f"{name}/tracks.json", "tracks": f"{name}/tracks.txt"}
    _write_text(out / moving["boxes"], json.dumps(video_labels(shown, film.zoom)))
    _write_text(out / moving["tracks"], "\n".join(track_lines(shown)) + "\n")
    return {
        "name": name,
        "class": kind,
        "seed": scene_seed,
        "files": files,
        "video": {
            "frames": frames,
            "sensor": _LOOKS[look][0],
            "gsd": film.gsd,
            "interval_s": film.interval,
            "labels": moving,
        },
    }


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
