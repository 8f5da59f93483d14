"""Crops of digital values to what enters a stem, in numpy: torch has few operations on uint16."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ringmoe.sampling.crops import Crops
from ringmoe.sampling.resizing import resize
from ringmoe.sensors import Calibration, Channel, calibrate, normalise


def collate(
    tiles: Iterable[tuple[np.ndarray, np.ndarray]],
    crops: Crops,
    channels: Sequence[Channel],
    calibration: Calibration,
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut, calibrate, normalise, and where asked resize, flip and turn.

    Image by image, so that what is computed stays in the processor's cache.

    Args:
        tiles: Digital values `(C, T, T)` and validity `(T, T)` of each image.
        crops: One for each tile.
        channels: Of the digital values.
        calibration: From digital values to the channels' unit.
        size: Height and width of what comes out.

    Returns:
        Images `(N, C', size, size)` float32, C' the stem channels, invalid pixels 0; and validity
        `(N, 1, size, size)` bool.
    """
    stem_channels = sum(len(channel.split()) for channel in channels)
    images = np.empty((len(crops.rows), stem_channels, size, size), np.float32)
    valid = np.empty((len(crops.rows), 1, size, size), bool)
    for i, (digital, known) in enumerate(tiles):
        rows = slice(crops.rows[i], crops.rows[i] + crops.heights[i])
        columns = slice(crops.columns[i], crops.columns[i] + crops.widths[i])
        known = known[rows, columns]
        image = normalise(calibrate(digital[:, rows, columns], calibration), channels)
        if not known.all():
            np.copyto(image, 0, where=~known)
        if image.shape[1:] != (size, size):
            image, known = resize(image, known, size)
        if crops.mirrored[i]:
            image, known = image[..., ::-1], known[..., ::-1]
        if crops.turns[i]:
            image = np.rot90(image, crops.turns[i], axes=(-2, -1))
            known = np.rot90(known, crops.turns[i])
        images[i], valid[i, 0] = image, known
    return images, valid
