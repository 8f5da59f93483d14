"""Bright ships on dark water: images with DOTA's labels to learn from, and a scene to search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ringmoe import boxes
from ringmoe.scenes import write_raster


def water(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """`(H, W, 3)` uint8."""
    return rng.integers(20, 60, (height, width, 3), np.uint8)


def put(picture: np.ndarray, ships: np.ndarray) -> None:
    """Paint `(N, 5)` cxcywhr."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    for cx, cy, w, h, r in ships:
        along = (x - cx) * np.cos(r) - (y - cy) * np.sin(r)
        across = (x - cx) * np.sin(r) + (y - cy) * np.cos(r)
        picture[(abs(along) < w / 2) & (abs(across) < h / 2)] = 220


def draw(rng: np.random.Generator, height: int, width: int, step: int) -> np.ndarray:
    """Ships, about one in two squares of `step` pixels, well inside it."""
    ships = []
    for y in range(0, height - step + 1, step):
        for x in range(0, width - step + 1, step):
            if rng.random() < 0.5:
                length, beam = rng.uniform(14, 20), rng.uniform(5, 7)
                centre = rng.uniform(-3, 3, 2) + step / 2 + (x, y)
                ships.append([*centre, length, beam, rng.uniform(-1.57, 1.57)])
    return np.array(ships).reshape(-1, 5)


def write_ships(folder: Path, count: int, size: int = 64) -> Path:
    """A folder in DOTA's layout."""
    rng = np.random.default_rng(0)
    for part in ("images", "labelTxt"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture, ships = water(rng, size, size), draw(rng, size, size, 32)
        put(picture, ships)
        lines = [
            " ".join(f"{value:.2f}" for value in corners) + " ship 0\n"
            for corners in boxes.cxcywhr_to_corners(ships)
        ]
        Image.fromarray(picture).save(folder / "images" / f"P{number:04d}.png")
        (folder / "labelTxt" / f"P{number:04d}.txt").write_text("".join(lines))
    return folder


def write_scene(path: Path, height: int, width: int, **place: object) -> np.ndarray:
    """A scene, and the ships that are there."""
    rng = np.random.default_rng(1)
    picture, ships = water(rng, height, width), draw(rng, height, width, 32)
    put(picture, ships)
    write_raster(path, np.moveaxis(picture, -1, 0), cog=False, **place)  # type: ignore[arg-type]
    return ships
