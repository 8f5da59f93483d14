"""The two formats of exported models: how each is written and run."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from ringmoe.deployment.export_metadata import FILE, KEY
from ringmoe.deployment.graph import Graph
from ringmoe.errors import ConfigError, MissingDependencyError

FORMATS = (".onnx", ".pt2")
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_format(out: Path) -> None:
    """Refuse a file that cannot be written here.

    Raises:
        ConfigError: Its ending is not of a format.
        MissingDependencyError: It is ONNX, and a package is not installed.
    """
    if out.suffix not in FORMATS:
        raise ConfigError(
            f"{out}: let the name end in {' or '.join(FORMATS)}, for ONNX or torch.export"
        )
    if out.is_dir():
        raise ConfigError(f"{out} is a folder: name a file")
    lacking = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if out.suffix == ".onnx" and lacking:
        raise MissingDependencyError(
            f"ONNX needs {', '.join(lacking)}: pip install 'ringmoe[onnx]', or write a .pt2"
        )


def trace(graph: Graph, batch: int, size: tuple[int, int]) -> ExportedProgram:
    """The model's operations for images of one size.

    Args:
        graph: The model.
        batch: Images that enter at once; 0 for any number.
        size: Height and width in pixels.
    """
    # 0 and 1 would become constants
    examples = tuple(torch.zeros(batch or 2, len(image.channels), *size) for image in graph.inputs)
    # each image of an input has the same name of its first axis, so they must agree
    dynamic = None if batch else (tuple({0: Dim("batch")} for _ in examples),)
    with torch.no_grad(), _quiet():
        program = torch.export.export(graph, examples, dynamic_shapes=dynamic)
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:  # this machine's paths, half of a small file
                node.meta.pop("stack_trace", None)
    return program


def write_pt2(program: ExportedProgram, out: Path, metadata: Mapping[str, Any]) -> None:
    """Write a program with its metadata."""
    buffer = io.BytesIO()  # on a full disk torch's own writer ends the process
    with _quiet():
        torch.export.save(program, buffer, extra_files={FILE: json.dumps(metadata, indent=2)})
    out.write_bytes(buffer.getbuffer())


def write_onnx(program: ExportedProgram, out: Path, metadata: Mapping[str, Any]) -> None:
    """Write a program as ONNX with its metadata; beside it `NAME.data` if it is over 2 GB."""
    names = [image["name"] for image in metadata["inputs"]]
    with _quiet():
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=names,
            output_names=[output["name"] for output in metadata["outputs"]],
            verbose=False,
        )
        assert converted is not None
        _name_batch(converted.model)
        for node in converted.model.graph:
            node.metadata_props.clear()  # where in the source each operation was
        converted.model.metadata_props[KEY] = json.dumps(metadata)
        converted.save(out, external_data=False)  # torch puts what is over 2 GB beside it


def run_pt2(file: Path) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """What runs a program, as users do."""
    with _quiet():
        program = torch.export.load(file).module()

    @torch.no_grad()
    def run(images: Sequence[Tensor]) -> list[Tensor]:
        given = program(*images)
        return [given] if isinstance(given, Tensor) else list(given)

    return run


def run_onnx(file: Path) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """What runs an ONNX file in onnxruntime, on as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(images: Sequence[Tensor]) -> list[Tensor]:
        feed = {name: image.numpy() for name, image in zip(names, images, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, feed)]

    return run


def _name_batch(model: Any) -> None:
    """Call the first axis of what enters and comes out "batch", which torch calls s0 or s77."""
    import onnx_ir

    for value in (*model.graph.inputs, *model.graph.outputs):
        first, *others = value.shape
        if isinstance(first, onnx_ir.SymbolicDim):
            value.shape = onnx_ir.Shape(["batch", *others])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporters say of their own workings from people who cannot mend it."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
