"""Pictures of a few tiles, to see at a glance what a stream holds."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ringmoe.archive.archive import Stream
from ringmoe.files import replacing
from ringmoe.sensors import calibrate, normalise

TRUE_COLOUR = ("B04", "B03", "B02")


def write_thumbnails(stream: Stream, count: int = 8) -> None:
    """Write `thumbnail-0.png`, ... into a stream's folder: tiles evenly spaced over it."""
    chosen = np.unique(np.linspace(0, len(stream) - 1, count).round().astype(int))
    for i, tile in enumerate(chosen):
        digital, valid = stream.tile(int(tile))
        with replacing(stream.folder / f"thumbnail-{i}.png") as path:
            Image.fromarray(picture(stream, digital, valid)).save(path, format="PNG")


def picture(stream: Stream, digital: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """A tile as people look at it.

    True colour where red, green and blue are there, else grey: the first channel, or of SAR the
    logarithm of all channels' mean. Stretched between the 2nd and 98th percentile; invalid pixels
    are black.

    Args:
        stream: Where the tile is from.
        digital: `(C, T, T)`.
        valid: `(T, T)` bool.

    Returns:
        `(T, T, 3)` or `(T, T)` uint8.
    """
    values = calibrate(digital, stream.calibration)
    keys = [channel.key for channel in stream.channels]
    if np.iscomplexobj(values):
        planes = np.log(np.square(np.abs(values)).mean(axis=0, keepdims=True) + 1e-6)
    elif stream.modality == "sar_amplitude":
        planes = normalise(values, stream.channels).mean(axis=0, keepdims=True)
    else:
        wanted = [k for k in ("red", "green", "blue", *TRUE_COLOUR) if k in keys]
        planes = values[[keys.index(k) for k in wanted]] if len(wanted) == 3 else values[:1]
    low, high = np.percentile(planes[:, valid], [2, 98])
    shades = np.clip((planes - low) / max(high - low, 1e-12) * 255, 0, 255) * valid
    return np.moveaxis(shades.astype(np.uint8), 0, -1).squeeze()
