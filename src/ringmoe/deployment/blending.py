"""Tiles added up to rows of a map, and rows turned into classes.

NumPy on one thread: blending runs beside the forward pass, and torch's own threads would take the
cores from it (its argmax over channels is slow besides).
"""

from __future__ import annotations

import numpy as np

from ringmoe.deployment.windows import Axis

_ROWS = 8  # at a time: so few stay in the processor's cache between the passes over them


class RowBlender:
    """Weighted sums of tiles in a band one tile high: memory grows with the scene's width alone.

    Tiles come in the order of their rows. Sums are taken in the order of the tiles, so that the
    result does not depend on how they were batched.

    Args:
        channels: Of the scores.
        rows: The rows of tiles.
        columns: The columns of tiles.
        first_row: The row of tiles to begin with.
    """

    def __init__(self, channels: int, rows: Axis, columns: Axis, first_row: int = 0) -> None:
        tile = rows.tile_size
        self._rows, self._columns, self._row = rows, columns, first_row
        self._sums = np.zeros((channels, tile, max(columns.length, tile)), np.float32)
        self._product = np.empty((tile, tile), np.float32)

    def add(self, row: int, column: int, scores: np.ndarray) -> None:
        """Add a tile's scores, `(channels, tile, tile)`; they are not changed."""
        self._move_to(row)
        weights = np.multiply.outer(self._rows.weights[row], self._columns.weights[column])
        start = self._columns.starts[column]
        for plane, scores_of_channel in zip(self._sums, scores, strict=True):
            np.multiply(scores_of_channel, weights, out=self._product)
            plane[:, start : start + self._columns.tile_size] += self._product

    def finish(self, row: int) -> np.ndarray:
        """The pixel rows that are final once `row` is, `(channels, rows, width)`.

        A view: it holds until the next call.
        """
        self._move_to(row)
        final = self._rows.final(row)
        return self._sums[:, : final.stop - final.start, : self._columns.length]

    def _move_to(self, row: int) -> None:
        """Let the band begin where this row of tiles does."""
        if row == self._row:
            return
        shift = self._rows.starts[row] - self._rows.starts[self._row]
        kept = max(self._rows.tile_size - shift, 0)
        for plane in self._sums:
            plane[:kept] = plane[shift : shift + kept].copy()
            plane[kept:] = 0
        self._row = row


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
    for row in range(0, len(best), _ROWS):
        rows = slice(row, row + _ROWS)
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
