"""`placed_motion`: how a platform moved, as the places of its frames on Earth tell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ringmoe.deployment.degrees import reproject
from ringmoe.deployment.places import plane_around, to_map
from ringmoe.errors import GeoreferenceError
from ringmoe.scenes import Scene

_SAME = 1e-3  # pixels: frames that are off by less lie on one grid
_POINTS = 5  # a side, to fit to


def placed_motion(scenes: Sequence[Scene]) -> list[np.ndarray] | None:
    """Steps from the pixels of each frame to those of the next, as `track` takes them.

    Args:
        scenes: The frames, of one size, each with a place; their systems may differ.

    Returns:
        `(2, 3)` each, the affine map that fits best; None where all lie on one grid.
    """
    plane = _plane_of(scenes[0])
    fits = [_fit(scene, plane) for scene in scenes]
    steps = [np.eye(2, 3)]
    for (a, s), (b, t) in pairwise(fits):
        steps.append(np.linalg.solve(b, np.column_stack([a, s - t])))
    corners = _grid(scenes[0])
    moved = [np.abs(corners @ step[:, :2].T + step[:, 2] - corners).max() for step in steps]
    return steps if max(moved) > _SAME else None


def _grid(scene: Scene) -> np.ndarray:
    """`(25, 2)` columns and rows, all over a scene."""
    sides = [np.linspace(0, n, _POINTS) for n in (scene.width, scene.height)]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


def _plane_of(scene: Scene) -> str:
    """Metres around the middle of a scene (azimuthal equidistant)."""
    with to_map(scene) as project:
        middle = project(np.array([[scene.width / 2, scene.height / 2]]))
    ((longitude, latitude),) = reproject(scene.crs, "EPSG:4326", middle)
    if np.isnan(longitude):
        raise GeoreferenceError(f"{scene.path}: its middle is not on Earth: cut it there")
    return plane_around(longitude, latitude)


def _fit(scene: Scene, plane: str) -> tuple[np.ndarray, np.ndarray]:
    """`(2, 2)` and `(2,)`: from pixels to metres of the plane."""
    pixels = _grid(scene)
    with to_map(scene) as project:
        metres = reproject(scene.crs, plane, project(pixels))
    known = np.isfinite(metres).all(axis=1)
    pixels, metres = pixels[known], metres[known]
    found, *_ = np.linalg.lstsq(np.column_stack([pixels, np.ones(len(pixels))]), metres)
    return found[:2].T, found[2]
