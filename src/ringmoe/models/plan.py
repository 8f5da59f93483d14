"""Which bytes of a checkpoint a model needs, found without reading them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import torch

from ringmoe.errors import CheckpointError, ConfigError
from ringmoe.models.backbone import RingMoE
from ringmoe.models.config import ModelConfig
from ringmoe.models.folder import CONFIG, read_config
from ringmoe.models.shards import FLOATING, INDEX, INT8, SCALE, StoredTensor, stored_tensors

ByteRange = tuple[int, int]  # first byte, and the one after the last

STACKED = (".ffn.experts.", ".ffn.router.")  # tensors whose rows belong to modalities


@dataclass(frozen=True)
class TensorRead:
    """What is to be read of one tensor.

    Attributes:
        name: The tensor.
        file: Which file it is in.
        dtype: Its type there.
        shape: Its shape in the model that is loaded; of a stack fewer rows than in the file.
        rows: Of a stack, which rows in which order; None: all of the tensor.
        ranges: Where they lie in the file, in the same order.
        scale: Of an int8 tensor, what it is to be multiplied by; None for others.
    """

    name: str
    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    rows: tuple[range, ...] | None
    ranges: tuple[ByteRange, ...]
    scale: TensorRead | None = None

    @property
    def bytes(self) -> int:
        """How many bytes are read, without the scale's."""
        return sum(stop - start for start, stop in self.ranges)

    @property
    def floating(self) -> torch.dtype:
        """The type of its values, of an int8 tensor its scale's."""
        return self.dtype if self.scale is None else self.scale.dtype


@dataclass(frozen=True)
class LoadPlan:
    """What `load_model` reads.

    Attributes:
        folder: The checkpoint.
        config: The shape of the model that is loaded.
        reads: One for each of its tensors, in the order of its state.
        stored_bytes: Bytes of all tensors in the checkpoint, needed or not.
    """

    folder: Path
    config: ModelConfig
    reads: tuple[TensorRead, ...]
    stored_bytes: int

    @property
    def parts(self) -> tuple[TensorRead, ...]:
        """All that is read: the tensors, and the scales of those that are int8."""
        return (*self.reads, *(read.scale for read in self.reads if read.scale is not None))

    @property
    def bytes(self) -> int:
        """How many bytes are read, apart from the files' headers."""
        return sum(part.bytes for part in self.parts)

    @property
    def parameters(self) -> int:
        """How many weights the loaded model has."""
        return sum(math.prod(read.shape) for read in self.reads)

    @property
    def types(self) -> dict[str, int]:
        """How many of these bytes are of which type in the files, such as "int8"; most first."""
        found: Counter[str] = Counter()
        for part in self.parts:
            found[str(part.dtype).removeprefix("torch.")] += part.bytes
        return dict(found.most_common())

    @property
    def files(self) -> dict[Path, tuple[ByteRange, ...]]:
        """The ranges of each file in ascending order, neighbours joined."""
        found: dict[Path, list[ByteRange]] = {}
        for part in self.parts:
            found.setdefault(part.file, []).extend(part.ranges)
        return {file: _joined(found[file]) for file in sorted(found)}


def plan_load(folder: str | Path, modalities: Sequence[str] | None = None) -> LoadPlan:
    """Which bytes of a checkpoint `load_model` would read, by its configuration and headers.

    Args:
        folder: The checkpoint.
        modalities: As for `load_model`.

    Raises:
        CheckpointError: As for `load_model`; everything it checks is checked here.
        ConfigError: A modality is not in the checkpoint.
    """
    folder = Path(folder)
    config = read_config(folder)
    wanted = config.modalities if modalities is None else tuple(modalities)
    for modality in wanted:
        if modality not in config.modalities:
            raise ConfigError(
                f"{folder} has no modality {modality!r}: it has {', '.join(config.modalities)}"
            )
    return plan_part(folder, config, config.replace(modalities=wanted))


def plan_part(folder: Path, config: ModelConfig, part: ModelConfig) -> LoadPlan:
    """Which bytes of a checkpoint a part of its model needs.

    Args:
        folder: The checkpoint.
        config: Its shape.
        part: The same with some of the modalities, or of the collaborative experts.

    Raises:
        CheckpointError: As for `plan_load`.
    """
    stored = stored_tensors(folder)
    _check(stored, shapes(config), folder)
    reads = tuple(
        _plan(name, shape, stored, rows_of(name, config, part))
        for name, shape in shapes(part).items()
    )
    return LoadPlan(folder, part, reads, sum(t.stop - t.start for t in stored.values()))


@lru_cache(maxsize=8)  # a model on the meta device takes a tenth of a second or more
def shapes(config: ModelConfig) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of a model's tensors, in the order of its state."""
    with torch.device("meta"):
        state = RingMoE(config).state_dict()
    return MappingProxyType({name: tuple(tensor.shape) for name, tensor in state.items()})


def _check(
    stored: dict[str, StoredTensor], expected: Mapping[str, tuple[int, ...]], folder: Path
) -> None:
    """Raise CheckpointError unless these tensors are there, in these shapes, as floating values.

    Matrices may be int8, each with its scale.
    """
    matrices = {name: shape for name, shape in expected.items() if len(shape) > 1}
    scaled = {name for name in matrices if name in stored and stored[name].kind == INT8}
    expected = {**expected} | {name + SCALE: scale_shape(matrices[name]) for name in scaled}
    for words, names in (
        ("lacks", sorted(set(expected) - set(stored))),
        ("has unexpected", sorted(set(stored) - set(expected))),
    ):
        if names:
            files = {tensor.file for tensor in stored.values()}
            whole = files.pop() if len(files) == 1 else folder / INDEX
            file = stored[names[0]].file if names[0] in stored else whole
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(
                f"{file} {words} tensor {names[0]}{more}: it does not fit the {CONFIG} beside it"
            )
    for name, shape in expected.items():
        there = stored[name]
        if there.shape != shape:
            raise CheckpointError(
                f"tensor {name} in {there.file} has shape {there.shape}, expected {shape}: it does "
                f"not fit the {CONFIG} beside it"
            )
        if there.kind not in FLOATING and name not in scaled:
            raise CheckpointError(
                f"tensor {name} in {there.file} is of type {there.kind}: a floating one is due "
                f"({', '.join(FLOATING)})"
            )


def _plan(
    name: str,
    shape: tuple[int, ...],
    stored: dict[str, StoredTensor],
    rows: tuple[range, ...] | None,
) -> TensorRead:
    """What to read of one tensor; of a stack only these rows."""
    there = stored[name]
    scale = None
    if there.kind == INT8:
        scale = _plan(name + SCALE, scale_shape(shape), stored, rows)
    ranges = [(there.start, there.stop)]
    if rows is not None:
        row = math.prod(shape[1:]) * there.dtype.itemsize
        ranges = [(there.start + r.start * row, there.start + r.stop * row) for r in rows]
    return TensorRead(name, there.file, there.dtype, shape, rows, tuple(ranges), scale)


def scale_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the scale of an int8 matrix: `(out, 1)` for `(out, in)`, `(E, 1, out)` for a stack."""
    return (shape[0], 1, *shape[2:])


def rows_of(name: str, config: ModelConfig, part: ModelConfig) -> tuple[range, ...] | None:
    """Which rows of a tensor a part of its model has.

    Args:
        name: The tensor.
        config: The model's shape.
        part: The same with some of the modalities, or of the collaborative experts.

    Returns:
        Of a stack the wanted modalities' rows, in the order of `part`, then those of collaborative
        experts; None for a tensor that is no stack: all of it.
    """
    if not any(stack in name for stack in STACKED):
        return None
    each = config.specialized_experts
    starts = [config.modalities.index(modality) * each for modality in part.modalities]
    own = [range(start, start + each) for start in starts]
    first = len(config.modalities) * each
    if STACKED[1] in name:  # routers keep the rows of experts that are gone
        shared = [range(first, first + config.collaborative_experts)]
    else:
        block = block_of(name, config)
        there, kept = config.kept_in(block), part.kept_in(block)
        places = [first + there.index(number) for number in kept]
        shared = [range(a, b) for a, b in _joined([(at, at + 1) for at in places])]
    return tuple(rows for rows in (*own, *shared) if rows)


def block_of(name: str, config: ModelConfig) -> int:
    """Number over all stages of the block that a tensor `stages.S.blocks.B.` belongs to."""
    _, stage, _, index, _ = name.split(".", 4)
    return sum(config.depths[: int(stage)]) + int(index)


def _joined(ranges: Sequence[ByteRange]) -> tuple[ByteRange, ...]:
    """In ascending order, those that touch made one."""
    joined: list[ByteRange] = []
    for start, stop in sorted(ranges):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)
