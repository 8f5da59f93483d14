"""Writing safetensors files, in shards and as the tensors come: none need be in memory together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import StateDictSplit, split_torch_state_dict_into_shards
from torch import Tensor

from ringmoe.errors import ConfigError
from ringmoe.models.shards import INDEX, SHARD_PATTERN, TYPES

_KINDS = {dtype: kind for kind, dtype in TYPES.items()}


@dataclass
class _Place:
    """Where a tensor goes, and how far it is written: bytes from the start of the file."""

    file: Path
    dtype: torch.dtype
    at: int
    stop: int


class ShardWriter:
    """Writes tensors as `WEIGHTS`, or where they are larger than a limit as shards with `INDEX`.

    Headers are written at once, from the shapes; then values, in any order of the tensors.

        with ShardWriter(shapes, folder, MAX_SHARD_BYTES) as writer:
            for name in shapes:
                writer.append(name, ...)

    Use it within `ringmoe.files.replacing`, which speaks of full disks and takes away what is
    unfinished.

    Args:
        tensors: What will be written: names, shapes and types, on any device, `meta` too. One
            larger than the limit gets a shard of its own.
        folder: Where to; it exists.
        max_shard_bytes: The limit in bytes, or as text such as "5GB" (of 1000^3).

    Raises:
        ConfigError: The limit is no size.
        OSError: Disk full or the like; so do the methods.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], folder: Path, max_shard_bytes: int | str
    ) -> None:
        self._places: dict[str, _Place] = {}
        split = _split(tensors, max_shard_bytes)
        for shard, names in split.filename_to_tensors.items():
            # the widest type first, as the library has it: then each value lies at a multiple of
            # its size
            names = sorted(names, key=lambda name: -tensors[name].dtype.itemsize)
            self._start(folder / shard, {name: tensors[name] for name in names})
        if split.is_sharded:
            index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
            (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")

    def _start(self, file: Path, tensors: Mapping[str, Tensor]) -> None:
        """Write a file's header, and remember where its tensors go."""
        entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
        at = 0
        for name, tensor in tensors.items():
            stop = at + tensor.numel() * tensor.dtype.itemsize
            kind, shape = _KINDS[tensor.dtype], list(tensor.shape)
            entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, stop]}
            self._places[name] = _Place(file, tensor.dtype, at, stop)
            at = stop
        header = json.dumps(entries, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        file.write_bytes(len(header).to_bytes(8, "little") + header)
        for name in tensors:
            self._places[name].at += 8 + len(header)
            self._places[name].stop += 8 + len(header)

    def append(self, name: str, values: Tensor) -> None:
        """Write a tensor's next values, or all of them, in its type.

        Args:
            name: The tensor.
            values: On any device, of any shape and type.
        """
        place = self._places[name]
        values = values.detach().to("cpu", place.dtype).contiguous()
        data = values.view(-1).view(torch.uint8).numpy().data
        assert place.at + len(data) <= place.stop, f"more values of {name} than its shape has"
        write_at(place.file, place.at, data)
        place.at += len(data)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        unfinished = [name for name, place in self._places.items() if place.at < place.stop]
        assert kind is not None or not unfinished, f"values of {unfinished} are missing"


def write_shards(state: Mapping[str, Tensor], folder: Path, max_shard_bytes: int | str) -> None:
    """Write tensors that are all there; see `ShardWriter`."""
    with ShardWriter(state, folder, max_shard_bytes) as writer:
        for name, tensor in state.items():
            writer.append(name, tensor)


def write_at(file: Path, position: int, data: memoryview) -> None:
    """Write into a file that exists."""
    with file.open("r+b", buffering=0) as stream:
        stream.seek(position)
        while data:  # one system call writes at most 2 GiB
            data = data[stream.write(data) :]


def _split(tensors: Mapping[str, Tensor], max_shard_bytes: int | str) -> StateDictSplit:
    """Which tensors go together, in their order."""
    # As fresh meta tensors: what shares memory with others, or holds more than its shape says
    # (a view of a flat buffer), is written as the tensor it is.
    shapes = {n: torch.empty(t.shape, dtype=t.dtype, device="meta") for n, t in tensors.items()}
    try:
        if not isinstance(max_shard_bytes, str) and max_shard_bytes <= 0:
            raise ValueError("not positive")
        return split_torch_state_dict_into_shards(
            shapes, filename_pattern=SHARD_PATTERN, max_shard_size=max_shard_bytes
        )
    except ValueError:
        raise ConfigError(
            "max_shard_bytes must be a number of bytes or text such as '5GB', got "
            f"{max_shard_bytes!r}"
        ) from None
