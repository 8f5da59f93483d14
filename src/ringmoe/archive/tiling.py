"""Where a scene is cut into tiles, and which of them are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ringmoe.sampling.hashing import mix, name_key
from ringmoe.scenes import Window


def plan_tiles(
    height: int, width: int, tile_size: int, stride: int, holdout: float = 0.0, seed: int = 0
) -> list[tuple[Window, str]]:
    """The windows of one scene, each with its split.

    A scene smaller than a tile gives one window of its own size. Held out is a strip at one end of
    the longer axis, chosen by the seed; between it and the rest lies a gap of one tile that
    belongs to neither, because neighbouring pixels are alike. A scene of fewer than three tiles
    along that axis has no room for this and is used for training alone.

    Args:
        height: Rows of the scene.
        width: Columns.
        tile_size: Height and width of a tile in pixels.
        stride: From one tile to the next.
        holdout: Share of the scene to hold out, from 0 to 1; 1 holds out all of it.
        seed: Which end.

    Returns:
        Row by row, the tiles for training first.
    """
    whole = Window(0, 0, height, width)
    if holdout >= 1:
        return [(window, "heldout") for window in _grid(whole, tile_size, stride)]
    rows_longer = height >= width
    length = max(height, width)
    if holdout <= 0 or length < 3 * tile_size:
        return [(window, "train") for window in _grid(whole, tile_size, stride)]
    held = min(max(round(holdout * length), tile_size), length - 2 * tile_size)
    kept = length - held - tile_size
    at_end = bool(mix(seed) & np.uint64(1))  # not of the size: a place may have coarse images too
    train = _span(whole, rows_longer, 0 if at_end else held + tile_size, kept)
    heldout = _span(whole, rows_longer, kept + tile_size if at_end else 0, held)
    return [(window, "train") for window in _grid(train, tile_size, stride)] + [
        (window, "heldout") for window in _grid(heldout, tile_size, stride)
    ]


def held_out_images(names: Sequence[str], share: float, seed: int) -> set[str]:
    """Which of several images to hold out whole.

    Args:
        names: The images (or whatever belongs together); more than one.
        share: From 0 to 1.
        seed: Which.

    Returns:
        `share` of the names, rounded, but at least one and not all unless `share` is 0 or 1.
    """
    if share <= 0 or share >= 1:
        return set(names) if share >= 1 else set()
    unique = sorted(set(names))
    count = min(max(round(share * len(unique)), 1), len(unique) - 1)
    rank = mix(seed, [name_key(name) for name in unique])
    return {unique[i] for i in np.argsort(rank, kind="stable")[:count]}


def _span(whole: Window, along_rows: bool, start: int, length: int) -> Window:
    if along_rows:
        return replace(whole, row=start, height=length)
    return replace(whole, column=start, width=length)


def _grid(area: Window, tile_size: int, stride: int) -> list[Window]:
    """Tiles that cover an area; the last of a row or column is moved inwards to the edge."""
    return [
        Window(
            area.row + row,
            area.column + column,
            min(tile_size, area.height),
            min(tile_size, area.width),
        )
        for row in _starts(area.height, tile_size, stride)
        for column in _starts(area.width, tile_size, stride)
    ]


def _starts(length: int, tile_size: int, stride: int) -> list[int]:
    last = max(length - tile_size, 0)
    starts = list(range(0, last + 1, stride))
    return starts if starts[-1] == last else [*starts, last]
