"""Landscapes that several tests look at: real ones, made once, and uniform ones."""

import numpy as np
import pytest

from ringmoe.simulation import KINDS, Landscape, simulate_landscape
from ringmoe.simulation.materials import INDEX
from ringmoe.simulation.terrain import Illumination


def uniform_landscape(material, size=64, sun=(180.0, 45.0), radar=(90.0, 55.0)):
    """A level plain of one material, without anything on it."""
    zero = np.zeros((2 * size, 2 * size), np.float32)
    return Landscape(
        seed=0, kind="farmland", elevation=zero,
        base_material=np.full(zero.shape, INDEX[material], np.uint8), base_height=zero,
        deck=zero, base_mix=zero, tone=zero + 1, buildings=(), objects=(),
        sun=Illumination(*sun), radar=Illumination(*radar),
    )  # fmt: skip


@pytest.fixture(scope="session")
def uniform():
    return uniform_landscape


@pytest.fixture(scope="session")
def landscapes():
    """One landscape of each kind, 128 pixels wide."""
    return {kind: simulate_landscape(seed, 128, kind) for seed, kind in enumerate(KINDS, start=11)}
