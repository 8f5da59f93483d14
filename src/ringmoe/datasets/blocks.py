"""Parts of a scene that lie apart, so that no test pixel has a training pixel beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from ringmoe.sampling import mix, permutation, uniform
from ringmoe.scenes import Window

CANDIDATES = 128  # ways that are drawn


def split_into_blocks(
    windows: Sequence[Window],
    scene_of: np.ndarray,
    histograms: np.ndarray,
    shares: Sequence[float],
    *,
    apart: int,
    seed: int,
) -> np.ndarray:
    """Assign windows to parts by spatial blocks, with a gap between parts.

    Each of some drawn ways cuts every scene into strips or blocks and deals these out to the parts
    by their shares; windows nearer than `apart` to one of a smaller part are left out, of the
    largest part first. Kept is the way with the largest geometric mean, over parts and classes, of
    the pixels got over those due (at most 1): one number that rewards few windows left out and
    every class in every part.

    Args:
        windows: Where each example lies in its scene.
        scene_of: `(N,)` which scene that is.
        histograms: `(N, K)` pixels of each class in each window.
        shares: Of each part, adding up to 1; the first part is the largest.
        apart: Least distance between windows of two parts, in pixels, across or down.
        seed: Of the draws.

    Returns:
        `(N,)` int64: the part of each window, -1 for those left out.

    Source:
        Blocks for validation against spatial autocorrelation: Roberts et al., Ecography 2017,
        doi:10.1111/ecog.02881.
    """
    boxes = np.array([(w.row, w.column, w.rows.stop, w.columns.stop) for w in windows], float)
    near = _near_pairs(boxes, scene_of, apart)
    best, best_score = np.zeros(len(windows), np.int64), (-1.0, -1.0)
    for candidate in range(CANDIDATES):
        parts = _deal(boxes, scene_of, shares, apart, int(mix(seed, candidate)))
        _leave_out(parts, near, len(shares))
        score = _score(parts, histograms, shares)
        if score > best_score:
            best, best_score = parts, score
    return best


def _near_pairs(boxes: np.ndarray, scene_of: np.ndarray, apart: int) -> np.ndarray:
    """`(P, 2)` pairs of one scene's windows with a gap under `apart` both across and down."""
    pairs = [np.empty((0, 2), np.int64)]
    reach = apart + (boxes[:, 2:] - boxes[:, :2]).max()
    for scene in np.unique(scene_of):
        members = np.flatnonzero(scene_of == scene)
        centres = (boxes[members, :2] + boxes[members, 2:]) / 2
        found = members[cKDTree(centres).query_pairs(reach, p=np.inf, output_type="ndarray")]
        first, second = boxes[found[:, 0]], boxes[found[:, 1]]
        gaps = np.maximum(first[:, :2] - second[:, 2:], second[:, :2] - first[:, 2:])
        pairs.append(found[gaps.max(1) < apart])
    return np.concatenate(pairs)


def _deal(
    boxes: np.ndarray, scene_of: np.ndarray, shares: Sequence[float], apart: int, key: int
) -> np.ndarray:
    """The part of each window where blocks of one drawn shape are dealt out by their shares."""
    shape, down, across = uniform(key, np.arange(3))
    side = apart * (2 + int(mix(key, 3) % 5))  # 2 to 6 windows a side
    rows, columns = (1, 0) if shape < 1 / 3 else (0, 1) if shape < 2 / 3 else (1, 1)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    places = np.stack(
        [
            scene_of,
            rows * ((centres[:, 0] + down * side) // side).astype(np.int64),
            columns * ((centres[:, 1] + across * side) // side).astype(np.int64),
        ]
    )
    _, block_of, sizes = np.unique(places, axis=1, return_inverse=True, return_counts=True)
    block_of = block_of.reshape(-1)
    order = permutation(len(sizes), key, 4)
    middle = (np.cumsum(sizes[order]) - sizes[order] / 2) / len(boxes)
    part_of_block = np.empty(len(sizes), np.int64)
    ends = np.cumsum(np.roll(shares, -1))  # the first part, the largest, takes what is left
    part_of_block[order] = (np.searchsorted(ends[:-1], middle, side="right") + 1) % len(shares)
    return part_of_block[block_of]


def _leave_out(parts: np.ndarray, near: np.ndarray, count: int) -> None:
    """Take out windows near another part's: the largest part gives way first, then the next."""
    for part in range(count - 1):
        first, second = parts[near[:, 0]], parts[near[:, 1]]
        clash = (first != second) & (first >= 0) & (second >= 0)
        for side in (0, 1):
            own = near[clash, side]
            parts[own[parts[own] == part]] = -1


def _score(
    parts: np.ndarray, histograms: np.ndarray, shares: Sequence[float]
) -> tuple[float, float]:
    """How near each part comes to its share of each class, 0 to 1.

    Then the same of windows, which decides where some part lacks a class whatever is drawn.
    """
    windows = np.ones((len(parts), 1))
    return _nearness(parts, histograms, shares), _nearness(parts, windows, shares)


def _nearness(parts: np.ndarray, amounts: np.ndarray, shares: Sequence[float]) -> float:
    total = amounts.sum(0)
    got = np.stack([amounts[parts == part].sum(0) for part in range(len(shares))])
    ratios = got[:, total > 0] / np.outer(shares, total[total > 0])
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(np.minimum(ratios, 1)).mean())) if ratios.size else 1.0
