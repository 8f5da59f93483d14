"""What an exported file says of itself: what enters, what comes out, how to prepare images."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringmoe import __version__
from ringmoe.deployment.graph import Graph, ImageInput
from ringmoe.errors import CheckpointError, MissingDependencyError
from ringmoe.sensors import Channel
from ringmoe.tasks import TaskModel

FORMAT = 1
KEY = "ringmoe"  # of ONNX's metadata_props
FILE = "ringmoe.json"  # of the extra files of a .pt2

_NORMALISED = (
    "normalised values enter: (x - mean) / std of each channel's values in its unit; where "
    "log_floor is given, x = log(max(value, 0) + log_floor); 0 where there are no data"
)
_IN_UNITS = (
    "values in the channels' units enter, NaN where there are no data; the graph normalises them"
)


def describe_graph(graph: Graph, size: tuple[int, int], batch: int, experts: str) -> dict[str, Any]:
    """What goes into an exported file, as JSON can hold it.

    Args:
        graph: The model.
        size: Height and width in pixels of what enters.
        batch: Images that enter at once; 0 for any number.
        experts: How experts are computed: "routed", "masked" or "none".
    """
    task = graph.model.task if isinstance(graph.model, TaskModel) else None
    return {
        "format": FORMAT,
        "ringmoe": __version__,
        "task": task.name if task else "features",
        "classes": list(task.classes) if task else [],
        "images": "in units" if graph.normalises else "normalised",
        "preprocessing": _IN_UNITS if graph.normalises else _NORMALISED,
        "inputs": [_input(image, size, batch) for image in graph.inputs],
        "outputs": list(graph.outputs),
        "tile_size": size[0],
        "experts": experts,
    }


def _input(image: ImageInput, size: tuple[int, int], batch: int) -> dict[str, Any]:
    return {
        "name": image.name,
        "shape": [batch or "batch", len(image.channels), *size],
        "modality": image.modality,
        "sensor": image.sensor or None,
        "gsd": image.gsd,
        "channels": [_channel(channel) for channel in image.channels],
    }


def _channel(channel: str | Channel) -> dict[str, Any]:
    """A channel's facts; of one without a sensor, its name in the modality's vocabulary."""
    if isinstance(channel, str):
        return {"name": channel, "key": channel}
    names = ("name", "key", "unit", "mean", "std", "log_floor", "wavelength_nm", "polarisation")
    return {name: getattr(channel, name) for name in names}


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What an exported file says of itself: inputs, outputs, classes, normalisation.

    Args:
        path: A `.onnx` or `.pt2`.

    Raises:
        CheckpointError: It cannot be read, or was not written by `ringmoe export`.
        MissingDependencyError: It is ONNX, and onnx is not installed.
    """
    path = Path(path)
    text = _of_onnx(path) if path.suffix == ".onnx" else _of_pt2(path)
    if text is None:
        raise CheckpointError(f"{path} does not say what it is: `ringmoe export` did not write it")
    return json.loads(text)


def _of_onnx(path: Path) -> str | None:
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError(
            "reading ONNX files needs onnx: pip install 'ringmoe[onnx]'"
        ) from None
    from google.protobuf.message import DecodeError

    try:
        found = onnx.load(path, load_external_data=False).metadata_props
    except (OSError, DecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as ONNX: {error}") from None
    props: Mapping[str, str] = {entry.key: entry.value for entry in found}
    return props.get(KEY)


def _of_pt2(path: Path) -> str | None:
    """From the archive itself: to load the program would take its custom operators."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if Path(name).name == FILE]
            return archive.read(names[0]).decode() if names else None
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read as an exported program: {error}") from None
