"""Telling one set of weights from another without reading it."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ringmoe.errors import CheckpointError
from ringmoe.models import RingMoE
from ringmoe.models.hub import local_folder
from ringmoe.models.shards import SCALE, TYPES, StoredTensor, stored_tensors

_SAMPLES = 8  # values of each tensor that are looked at: the first, the last and some between


def fingerprint(weights: RingMoE | str | Path) -> str:
    """A hash of the names, the shapes and eight values of each tensor.

    The same for a checkpoint and the model read from it, also where it was read into a type that
    holds the stored values exactly (bfloat16 into float32). Of a checkpoint only the headers and
    these values are read, so that it takes as long for a large one as for a small one. It tells
    trainings and prunings apart; it is no protection against somebody who wants to deceive.

    Args:
        weights: A model, or a checkpoint as `load_model` takes it.

    Raises:
        CheckpointError: It is no checkpoint, or a file of it is damaged.
    """
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(weights, RingMoE):
        for name, tensor in sorted(weights.state_dict().items()):
            _add(digest, name, tuple(tensor.shape), _values(tensor))
    else:
        tensors = stored_tensors(local_folder(weights))
        scales = {
            name: tensors.pop(name + SCALE) for name in list(tensors) if name + SCALE in tensors
        }
        for name, stored in sorted(tensors.items()):
            _add(digest, name, stored.shape, _stored_values(stored, scales.get(name)))
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, name: str, shape: tuple[int, ...], values: Tensor) -> None:
    digest.update(f"{name} {shape} ".encode())
    digest.update(values.double().cpu().numpy().astype("<f8").tobytes())


def _places(count: int) -> list[int]:
    """Evenly over so many values, each once."""
    return sorted(set(np.linspace(0, count - 1, _SAMPLES).astype(int).tolist())) if count else []


def _values(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1)[_places(tensor.numel())]


def _stored_values(stored: StoredTensor, scale: StoredTensor | None) -> Tensor:
    places = _places(math.prod(stored.shape))
    values = _read(stored, places)
    if scale is None or not places:
        return values
    rows, _, *columns = np.unravel_index(places, stored.shape)  # the second axis has one scale
    return values * _read(scale, (rows * math.prod(stored.shape[2:]) + sum(columns)).tolist())


def _read(stored: StoredTensor, places: list[int]) -> Tensor:
    if stored.kind not in TYPES:
        raise CheckpointError(
            f"a tensor in {stored.file} is of type {stored.kind}, which no checkpoint has "
            f"({', '.join(TYPES)}): save the model anew"
        )
    size = stored.dtype.itemsize
    found = bytearray()
    with stored.file.open("rb", buffering=0) as stream:
        for place in places:
            stream.seek(stored.start + place * size)
            found += stream.read(size)
    return torch.frombuffer(found, dtype=stored.dtype) if found else torch.empty(0)
