"""Safetensors files: where each tensor lies in them.

The format (huggingface.co/docs/safetensors): 8 bytes, little-endian, with the length of a JSON
header; the header, `{name: {dtype, shape, data_offsets}}` with offsets counted from its end; the
data, without holes. Large models are several such files, and beside them `INDEX` says which
tensor is in which. Files are read here and not by the library, which maps them into memory: then
neither the bytes that are read nor the memory they take could be told or bounded.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ringmoe.errors import CheckpointError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD_PATTERN = "model{suffix}.safetensors"  # model-00001-of-00003.safetensors
MAX_SHARD_BYTES = "5GB"  # Hugging Face's own limit

FLOATING = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
INT8 = "I8"  # a matrix NAME of this type, times NAME + SCALE, is the matrix (`pruning.quantise`)
SCALE = ".scale"  # of a matrix's shape, but for its second axis, over which it is one number
TYPES = FLOATING | {INT8: torch.int8}
_LONGEST_HEADER = 100_000_000  # bytes; the library's own limit


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies.

    Attributes:
        file: The file.
        kind: Its type as the format names it, such as "F32" or "I64".
        shape: Its shape.
        start: Its first byte in the file.
        stop: The byte after its last.
    """

    file: Path
    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def dtype(self) -> torch.dtype:
        """Its type, of those that checkpoints may have."""
        return TYPES[self.kind]


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of a checkpoint folder, by the headers of its files alone.

    Raises:
        CheckpointError: There are no weights, or those of two checkpoints; a shard is missing; a
            file is cut short or no safetensors file; the index does not fit the shards.
    """
    index, single = folder / INDEX, folder / WEIGHTS
    if not index.exists():
        return read_header(single)
    if single.exists():
        raise CheckpointError(
            f"{folder} has both {WEIGHTS} and {INDEX}: only one can be this checkpoint's, "
            "remove the other with its shards"
        )
    places = _read_index(index)
    found: dict[str, StoredTensor] = {}
    for shard in sorted(set(places.values())):
        for name, tensor in read_header(folder / shard, named_in=index).items():
            if places.get(name) != shard:
                raise CheckpointError(
                    f"{tensor.file} has tensor {name}, which {INDEX} beside it places in "
                    f"{places.get(name, 'no shard')}: copy the checkpoint anew"
                )
            found[name] = tensor
    for name, shard in places.items():
        if name not in found:
            raise CheckpointError(
                f"{folder / shard} lacks tensor {name}, which {INDEX} beside it places there: "
                "copy the checkpoint anew"
            )
    return found


def _read_index(file: Path) -> dict[str, str]:
    """Which shard each tensor is in."""
    try:
        places = json.loads(file.read_text())["weight_map"]
        for shard in places.values():
            if Path(shard).name != shard:  # a path could lead anywhere on this machine
                raise ValueError(f"{shard!r} is no file name")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file} is no index of shards: {error!r}") from None
    return places


def read_header(file: Path, named_in: Path | None = None) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file.

    Args:
        file: The file.
        named_in: The index that names it, for the message if it is missing.

    Raises:
        CheckpointError: It is missing, cut short or no safetensors file.
    """
    if not file.is_file():
        what = f"{named_in.name} beside it names this shard" if named_in else "no weights"
        raise CheckpointError(f"{file} is missing: {what}; copy the checkpoint anew")
    try:
        with file.open("rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, _LONGEST_HEADER):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        tensors = {name: _entry(file, entry, 8 + length) for name, entry in header.items()}
        _check_tiling(tensors, 8 + length, size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(
            f"{file} cannot be read ({error}): it is cut short or no safetensors file; copy it anew"
        ) from None
    return tensors


def _entry(file: Path, entry: Mapping[str, Any], data: int) -> StoredTensor:
    """One entry of a header whose data start at byte `data` of the file."""
    start, stop = entry["data_offsets"]
    shape = tuple(int(side) for side in entry["shape"])
    tensor = StoredTensor(file, str(entry["dtype"]), shape, data + int(start), data + int(stop))
    if tensor.kind in TYPES:
        due = math.prod(shape) * TYPES[tensor.kind].itemsize
        if min(shape, default=0) < 0 or stop - start != due:
            raise ValueError(f"{stop - start} bytes for a tensor of {due}")
    return tensor


def _check_tiling(tensors: Mapping[str, StoredTensor], start: int, size: int) -> None:
    """Raise ValueError unless the tensors fill the file from `start` to its end, one by one."""
    for tensor in sorted(tensors.values(), key=lambda t: (t.start, t.stop)):
        if tensor.start != start or tensor.stop < start:
            raise ValueError(f"tensors overlap or leave a hole at byte {start}")
        start = tensor.stop
    if start != size:
        raise ValueError(f"{size} bytes, its header promises {start}")
