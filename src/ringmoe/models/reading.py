"""Reading the tensors of a plan, each into the memory where it stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

import torch
from torch import Tensor

from ringmoe.errors import CheckpointError
from ringmoe.models.plan import LoadPlan, TensorRead

CHUNK_BYTES = 16 * 2**20  # what is read at once where it has to be converted or moved


def read_tensors(
    plan: LoadPlan, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """What is planned, each tensor read into the memory where it stays.

    Where type or device are not those of the file, values pass through one buffer of
    `CHUNK_BYTES`; nothing else is allocated. An int8 tensor is multiplied by its scale there.

    Args:
        plan: What to read.
        device: Where to.
        dtype: As what; None for the type in the file, of an int8 tensor its scale's.

    Raises:
        CheckpointError: A file cannot be read, or ends too early.
    """
    buffer = new_buffer()
    return {read.name: read_tensor(read, buffer, device, dtype) for read in plan.reads}


def new_buffer() -> Tensor:
    """Memory for reading chunk by chunk, `CHUNK_BYTES` of it."""
    return torch.empty(CHUNK_BYTES, dtype=torch.uint8, device="cpu")


def read_tensor(
    read: TensorRead,
    buffer: Tensor,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Tensor:
    """One tensor of a plan; see `read_tensors`.

    Args:
        read: The tensor.
        buffer: From `new_buffer`.
        device: Where to.
        dtype: As what; None for the type in the file, of an int8 tensor its scale's.

    Raises:
        CheckpointError: As for `read_tensors`.
    """
    out = torch.empty(read.shape, dtype=dtype or read.floating, device=device)
    values = out.view(-1)
    if out.device.type == "cpu" and out.dtype == read.dtype:
        with _opened(read) as stream:
            lengths = [(stop - start) // read.dtype.itemsize for start, stop in read.ranges]
            for (start, _), part in zip(read.ranges, values.split(lengths), strict=True):
                stream.seek(start)
                _read_exactly(part, stream)
        return out
    for chunk in read_chunks(read, buffer):
        values[: len(chunk)].copy_(chunk)
        values = values[len(chunk) :]
    if read.scale is not None:  # int8 values are exact in every floating type
        out.mul_(read_tensor(read.scale, buffer).to(out))
    return out


def read_chunks(read: TensorRead, buffer: Tensor) -> Iterator[Tensor]:
    """The values of one tensor of a plan one after the other, of the type in the file.

    Of an int8 tensor they are not yet multiplied by its scale.

    Args:
        read: The tensor.
        buffer: From `new_buffer`.

    Yields:
        `(N,)`, a view of the buffer: good until the next is asked for.

    Raises:
        CheckpointError: As for `read_tensors`.
    """
    values = buffer.view(read.dtype)
    with _opened(read) as stream:
        for start, stop in read.ranges:
            stream.seek(start)
            missing = (stop - start) // read.dtype.itemsize
            while missing:
                part = values[:missing]
                _read_exactly(part, stream)
                yield part
                missing -= len(part)


@contextmanager
def _opened(read: TensorRead) -> Iterator[FileIO]:
    """The file of a tensor; what goes wrong with it as CheckpointError."""
    try:
        with read.file.open("rb", buffering=0) as stream:
            yield stream
    except OSError as error:
        raise CheckpointError(f"{read.file} cannot be read ({error}): copy it anew") from None


def _read_exactly(out: Tensor, stream: FileIO) -> None:
    """Fill a tensor's memory; one system call reads at most 2 GiB."""
    missing = out.view(torch.uint8).numpy().data
    while missing:
        count = stream.readinto(missing)
        if not count:
            raise OSError(f"it ends {len(missing)} bytes too early")
        missing = missing[count:]
