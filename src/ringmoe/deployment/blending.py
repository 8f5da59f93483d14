"""Overlapping tiles summed to the pixels of a map, and these turned into classes.

NumPy on one thread: blending runs beside the forward pass, and torch's own threads would take the
cores from it (its argmax over channels is slow besides).
"""

from __future__ import annotations

import numpy as np

from ringmoe.deployment.windows import Axis

_PIXELS = 2**16  # at a time: so few stay in the processor's cache between the passes over them


class TileBlender:
    """Weighted sums of tiles; each tile gives out the pixels that none after it touches.

    What later tiles touch as well is carried on, and nothing else: beside the tile for the next one
    of the row, below it for the next row. So a channel stays in the processor's cache from its
    scores to its sums, and memory grows with the scene's width times the overlap.

    Tiles come row by row, those without data left out: what is carried to and from them is of no
    meaning, nor is what then comes out there.

    Args:
        channels: Of the scores.
        rows: The rows of tiles.
        columns: The columns of tiles.
    """

    def __init__(self, channels: int, rows: Axis, columns: Axis) -> None:
        tile, count = rows.tile_size, len(columns.starts)
        height, width = rows.longest, columns.longest
        self._rows, self._columns = rows, columns
        self._sum = np.empty((tile, tile), np.float32)
        self._beside = np.zeros((channels, tile, columns.furthest), np.float32)
        self._below = np.zeros((count, channels, rows.furthest, width), np.float32)
        self._final = np.empty((channels, height * width), np.float32)

    def add(self, row: int, column: int, scores: np.ndarray) -> np.ndarray:
        """Add a tile's scores, `(channels, tile, tile)`; they are not changed.

        Returns:
            The sums that are final with it, of the pixels `rows.final(row)` and
            `columns.final(column)`, `(channels, height, width)`. A view: it holds until the next
            call.
        """
        weights = np.multiply.outer(self._rows.weights[row], self._columns.weights[column])
        height, width = _length(self._rows.final(row)), _length(self._columns.final(column))
        above, below = self._rows.reach(row), self._rows.reach(row + 1)
        left, right = self._columns.reach(column), self._columns.reach(column + 1)
        found, plane = self._final[:, : height * width].reshape(-1, height, width), self._sum
        for final, beside, under, given in zip(
            found, self._beside, self._below[column], scores, strict=True
        ):
            np.multiply(given, weights, out=plane)
            plane[:, :left] += beside[:, :left]
            beside[:, :right] = plane[:, width : width + right]
            plane[:above, :width] += under[:above, :width]
            under[:below, :width] = plane[height : height + below, :width]
            final[:] = plane[:height, :width]
        return found


def highest(scores: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The channel of the highest score at each pixel, and that score.

    The lowest of several that are equal, as `argmax`; seven times faster than NumPy's over the
    first axis.

    Args:
        scores: `(K, rows, width)` float32.
        dtype: Of the channel numbers: uint8 or uint16.

    Returns:
        `(rows, width)` of `dtype`, and `(rows, width)` float32, NaN where any score is.
    """
    labels = np.zeros(scores.shape[1:], dtype)
    best = scores[0].copy()
    step = max(1, _PIXELS // best.shape[1])
    for row in range(0, len(best), step):
        rows = slice(row, row + step)
        for channel in range(1, len(scores)):
            better = (scores[channel, rows] > best[rows]) * dtype.type(channel)
            np.maximum(labels[rows], better, out=labels[rows])
            np.maximum(best[rows], scores[channel, rows], out=best[rows])
    return labels, best


def softmax(scores: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Probabilities of scores `(K, rows, width)` whose highest are `best`; float32."""
    probabilities = np.exp(scores - best)
    probabilities /= probabilities.sum(axis=0)
    return probabilities


def _length(pixels: slice) -> int:
    return pixels.stop - pixels.start
