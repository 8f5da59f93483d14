"""Random numbers as a function of where they are used, instead of a state that moves on.

`mix(seed, stream, position)` gives the same bits on every machine, in every process, in whatever
order it is asked: this is what makes the order of tiles, the crops and the flips resumable by the
step alone. numpy's generators are not used here, because their streams may change between versions
of numpy (NEP 19), and a run resumed after an upgrade would see other tiles.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(*words: ArrayLike) -> np.ndarray:
    """64 random bits for each combination of integers.

    Each word is absorbed with the finaliser of splitmix64 (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", OOPSLA 2014).

    Args:
        words: Integers or integer arrays; they are broadcast against each other.

    Returns:
        uint64 of the broadcast shape.
    """
    state = np.zeros((1,), np.uint64)  # one axis: numpy warns when scalars wrap around
    for word in words:
        state = (state + _GOLDEN) ^ np.asarray(word).astype(np.uint64)
        state = (state ^ (state >> np.uint64(30))) * _FIRST
        state = (state ^ (state >> np.uint64(27))) * _SECOND
        state = state ^ (state >> np.uint64(31))
    return state.reshape(np.broadcast_shapes(*(np.shape(word) for word in words)))


def uniform(*words: ArrayLike) -> np.ndarray:
    """float64 in [0, 1) for each combination of integers, see `mix`."""
    return (mix(*words) >> np.uint64(11)) * 2.0**-53


def permutation(count: int, *words: int) -> np.ndarray:
    """The numbers 0 to count - 1 in an order that is a function of `words`, int64."""
    return np.argsort(mix(*words, np.arange(count)), kind="stable")


def name_key(name: str) -> int:
    """A word for `mix` that stands for a name; a file's need not be UTF-8."""
    return zlib.crc32(name.encode(errors="surrogateescape"))
