"""Statistics of each channel, gathered tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ringmoe.sensors import Calibration, Channel, calibrate, normalise


class ChannelStatistics:
    """Count, sum, sum of squares, minimum and maximum of each stem channel.

    Both of calibrated values (is the unit right?) and of normalised ones (are the sensor's
    constants right? then the mean is near 0 and the standard deviation near 1). They can be added
    and written to JSON without loss, so that a restarted ingest comes to the same numbers.

    Args:
        sums: `(2, C, 5)` float64: calibrated and normalised; count, sum, squares, minimum, maximum.
    """

    def __init__(self, sums: np.ndarray) -> None:
        self.sums = sums

    @classmethod
    def empty(cls, stem_channels: int) -> ChannelStatistics:
        """Of no values."""
        return cls(np.tile([0.0, 0.0, 0.0, np.inf, -np.inf], (2, stem_channels, 1)))

    def add(self, sums: np.ndarray) -> None:
        """Take in the sums of other values."""
        self.sums[..., :3] += sums[..., :3]
        self.sums[..., 3] = np.minimum(self.sums[..., 3], sums[..., 3])
        self.sums[..., 4] = np.maximum(self.sums[..., 4], sums[..., 4])

    def add_tile(
        self,
        digital: np.ndarray,
        valid: np.ndarray,
        channels: Sequence[Channel],
        calibration: Calibration,
    ) -> None:
        """Take in the valid pixels of a tile, `(C, H, W)` and `(H, W)`."""
        values = calibrate(digital[:, valid][..., None], calibration)  # (C, pixels, 1)
        normalised = normalise(values, channels)
        if np.iscomplexobj(values):
            values = np.stack([values.real, values.imag], axis=1).reshape(normalised.shape)
        self.add(np.stack([_sums(values[..., 0]), _sums(normalised[..., 0])]))

    def table(self, channels: Sequence[Channel]) -> list[dict[str, Any]]:
        """One row for each stem channel.

        Args:
            channels: Of the tiles; complex ones give two rows.
        """
        stem = [part for channel in channels for part in channel.split()]
        return [
            {
                "channel": part.name,
                "unit": part.unit,
                "pixels": int(calibrated[0]),
                "calibrated": _moments(calibrated),
                "normalised": _moments(normalised),
            }
            for part, calibrated, normalised in zip(stem, *self.sums, strict=True)
        ]


def _sums(values: np.ndarray) -> np.ndarray:
    """`(C, 5)` of `(C, pixels)`."""
    return np.stack(
        [
            np.full(len(values), values.shape[1], np.float64),
            values.sum(axis=1, dtype=np.float64),
            np.einsum("cp,cp->c", values, values, dtype=np.float64),
            values.min(axis=1).astype(np.float64),
            values.max(axis=1).astype(np.float64),
        ],
        axis=1,
    )


def _moments(sums: np.ndarray) -> dict[str, float]:
    count, total, squares, low, high = map(float, sums)
    mean = total / count
    std = max(squares / count - mean**2, 0.0) ** 0.5
    named = {"mean": mean, "std": std, "min": low, "max": high}
    return {name: float(f"{value:.6g}") for name, value in named.items()}
