"""From arrays of labelled data to what a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from ringmoe.errors import ConfigError
from ringmoe.observation import Observation
from ringmoe.sensors import Sensor, normalise


def observe(
    values: np.ndarray,
    sensor: Sensor,
    *,
    channels: Sequence[str] | None = None,
    valid: np.ndarray | None = None,
) -> Observation:
    """Normalise images as an Observation.

    Args:
        values: `(N, C, H, W)` in the sensor's unit (`ringmoe.sensors.calibrate` makes it of digital
            numbers), complex for complex sensors.
        sensor: Where they come from.
        channels: The sensor's names of the channels; all of them for None.
        valid: `(N, 1, H, W)` bool; all true for None.

    Returns:
        Normalised images; pixels without data are 0.
    """
    chosen = sensor.select(channels)
    images = torch.from_numpy(normalise(values, chosen))
    mask = None
    if valid is not None and not valid.all():
        mask = torch.from_numpy(valid)
        images = torch.where(mask, images, 0)
    return Observation(images, sensor.modality, sensor.stem_channels(chosen), mask, sensor.gsd)


def fit_to(
    observation: Observation, size: int, how: Literal["pad", "resize"] = "pad"
) -> Observation:
    """The same images at `size` x `size` pixels.

    Args:
        observation: Images of any size.
        size: Height and width to give; models need a multiple of 32.
        how: "pad": a larger side is cut to its middle, a smaller one padded evenly with pixels
            that are not valid; nothing is resampled. "resize": bilinear with anti-aliasing.

    Raises:
        ConfigError: SAR is to be resized: resampling correlates its speckle.
    """
    height, width = observation.size
    if (height, width) == (size, size):
        return observation
    if how == "resize":
        if observation.modality.startswith("sar"):
            raise ConfigError("SAR is cut or padded, never resized (speckle): use how='pad'")
        if observation.valid is not None:
            raise ConfigError("images with pixels without data cannot be resized: use how='pad'")
        images = F.interpolate(
            observation.images, (size, size), mode="bilinear", antialias=True, align_corners=False
        )
        return replace(observation, images=images)
    top, left = (height - size) // 2, (width - size) // 2
    # F.pad with negative widths cuts, so one call serves both.
    edges = (-left, size - width + left, -top, size - height + top)
    valid = observation.valid
    if valid is None:
        valid = torch.ones((observation.batch_size, 1, height, width), dtype=torch.bool)
    padded = F.pad(valid, edges, value=False)
    return replace(
        observation,
        images=F.pad(observation.images, edges),
        valid=None if bool(padded.all()) else padded,
    )
