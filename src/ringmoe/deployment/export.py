"""Models as files that run without this package: ONNX, and programs of torch.export."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ringmoe.deployment.export_formats import (
    check_format,
    run_onnx,
    run_pt2,
    trace,
    write_onnx,
    write_pt2,
)
from ringmoe.deployment.export_metadata import describe_graph
from ringmoe.deployment.graph import Graph, ImageInput, task_inputs
from ringmoe.deployment.unrolled_experts import unrolled
from ringmoe.errors import ConfigError, ExportError, WriteError
from ringmoe.files import replacing
from ringmoe.models import RingMoE
from ringmoe.sensors import denormalise, normalise
from ringmoe.tasks import ObjectTask, TaskModel

Experts = Literal["auto", "routed", "masked"]
logger = logging.getLogger(__name__)

TOLERANCE = 1e-4  # of an output's largest value
_TRIES = 3  # random inputs, see _compare


@dataclass(frozen=True)
class ExportResult:
    """What `export_model` has written.

    Attributes:
        files: The model; and the file of its weights, if it is ONNX over 2 GB.
        bytes: Their size.
        metadata: What the model says of itself.
        differences: The largest difference to the model's outputs, over their largest value: on
            each random input that was tried, until one was within 1e-4.
    """

    files: tuple[Path, ...]
    bytes: int
    metadata: Mapping[str, Any]
    differences: tuple[float, ...]


def export_model(
    model: TaskModel | RingMoE,
    out: str | Path,
    *,
    image_size: int,
    image: ImageInput | None = None,
    batch: int = 0,
    experts: Experts = "auto",
    with_normalisation: bool = False,
) -> ExportResult:
    """Write a model as ONNX or as a program of torch.export, and check the file against it.

    Args:
        model: A task's model, or a backbone; float32 on the CPU. It is put into evaluation mode.
        out: A `.onnx` or `.pt2`.
        image_size: Pixels of the images' height and width.
        image: What enters a backbone (`backbone_input`); a task's model knows.
        batch: Images that enter at once; 0 for any number.
        experts: "routed": each token passes the experts that it chose, in shapes that are known
            only when the file runs. "masked": every expert is computed, what was not chosen
            multiplied by 0: slower, and for any runtime. "auto": "routed" for `.pt2`, "masked" for
            ONNX.
        with_normalisation: Whether values in the channels' units enter, which the file normalises.

    Raises:
        ConfigError: The file's ending or an option is not allowed, or the model finds objects.
        MissingDependencyError: ONNX, and a package of the extra `onnx` is not installed.
        ShapeError: The model does not take images of this size.
        UnknownChannelError: The backbone has no such channel.
        ExportError: The file does not compute what the model computes.
        WriteError: Disk full, no permission and the like; an old file stands untouched.
    """
    out = Path(out)
    check_format(out)
    if experts == "auto":
        experts = "masked" if out.suffix == ".onnx" else "routed"
    if batch < 0:
        raise ConfigError(f"batch must be 1 or more, or 0 for any number, got {batch}")
    if image_size <= 0:
        stride = (model.backbone if isinstance(model, TaskModel) else model).config.stride
        raise ConfigError(f"image_size must be a positive multiple of {stride}, got {image_size}")
    if isinstance(model, TaskModel):
        if isinstance(model.task, ObjectTask):
            raise ConfigError(
                f"a model for {model.task.name} cannot be exported: how many boxes it finds is not "
                "known before it runs; use `ringmoe predict`, or export a backbone"
            )
        inputs = task_inputs(model)
    elif image is None:
        raise ConfigError("say what enters the backbone: image=backbone_input(...)")
    else:
        inputs = (image,)
    graph = Graph(model, inputs, with_normalisation).eval()
    size = (image_size, image_size)
    drawn = _Drawn.of(graph, batch or 3, size, seed=0)  # tells what does not fit the model
    logger.info("tracing the model, operation by operation: this can take minutes")
    with unrolled(graph.backbone, masked=experts == "masked"):
        program = trace(graph, batch, size)
    is_dense = all(block.ffn.experts is None for block in graph.backbone.blocks())
    metadata = describe_graph(graph, size, batch, "none" if is_dense else experts)
    with _unfinished(out) as folder:
        file = folder / out.name
        (write_onnx if out.suffix == ".onnx" else write_pt2)(program, file, metadata)
        differences = _compare(file, graph, drawn)
        files = tuple(out.with_name(written.name) for written in sorted(folder.iterdir()))
    return ExportResult(files, sum(f.stat().st_size for f in files), metadata, differences)


@dataclass(frozen=True)
class _Drawn:
    """Random images as they enter the file, and what the model makes of them."""

    images: Sequence[Tensor]
    expected: Sequence[Tensor]

    @classmethod
    @torch.no_grad()
    def of(cls, graph: Graph, batch: int, size: tuple[int, int], seed: int) -> _Drawn:
        """Where units enter, the model gets what `ringmoe.sensors` makes of them."""
        generator = torch.Generator().manual_seed(seed)
        images, entering = [], []
        for image in graph.inputs:
            noise = torch.randn(batch, len(image.channels), *size, generator=generator)
            if graph.normalises:
                values = denormalise(noise.numpy(), image.described)
                noise = torch.from_numpy(normalise(values, image.described))
                entering.append(torch.from_numpy(values))
            else:
                entering.append(noise)
            images.append(noise)
        given = graph.apply_model(images)
        return cls(entering, [given] if isinstance(given, Tensor) else list(given))


def _compare(file: Path, graph: Graph, drawn: _Drawn) -> tuple[float, ...]:
    """Run the file and the model on random images.

    A token whose two best experts are equally probable goes to the one that rounding favours, so
    an input may differ without a fault. A fault would differ on each of several.

    Raises:
        ExportError: All of them differ by more than the tolerance.
    """
    run = (run_onnx if file.suffix == ".onnx" else run_pt2)(file)
    batch, _, *size = drawn.images[0].shape
    differences: list[float] = []
    for seed in range(1, _TRIES + 1):
        found = run(drawn.images)
        shares = [
            (ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)
            for ours, theirs in zip(found, drawn.expected, strict=True)
        ]
        differences.append(float(torch.stack(shares).max()))  # NaN if any is
        if differences[-1] <= TOLERANCE:
            return tuple(differences)
        drawn = _Drawn.of(graph, batch, (size[0], size[1]), seed)
    raise ExportError(
        f"{file.name} differs from the model by {min(differences):.1e} of its largest value, "
        f"expected {TOLERANCE:g} at most: nothing was written; please report it"
    )


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """A folder beside `out` whose files take their places at the end, the model last.

    Raises:
        WriteError: They cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            folder = Path(name)
            yield folder
            for file in sorted(folder.iterdir(), key=lambda file: file.name == out.name):
                with replacing(out.with_name(file.name)) as partial:
                    file.rename(partial)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"cannot write {out}: {error.strerror or error}") from error
