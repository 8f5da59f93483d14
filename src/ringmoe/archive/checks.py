"""What is looked at before a tile is let into an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ringmoe.errors import ValueRangeError
from ringmoe.sensors import Calibration, Channel, calibrate, check_values

Reason = Literal["nodata", "small", "not finite", "constant", "saturated", "not in unit"]


@dataclass(frozen=True)
class Limits:
    """What a tile must hold to be let in.

    Attributes:
        min_valid: Lowest share of the window's pixels that hold data.
        max_saturated: Highest share of values at the top of an integer type (255, 65535).
        min_size: Shortest side in pixels of an image or its last part; smaller ones are refused,
            those smaller than a tile are padded.
    """

    min_valid: float = 0.5
    max_saturated: float = 0.25
    min_size: int = 8


@dataclass(frozen=True)
class Refusal:
    """Why a tile was not let in.

    Attributes:
        reason: For counting.
        detail: What was found, for reading.
    """

    reason: Reason
    detail: str


def check_tile(
    digital: np.ndarray,
    valid: np.ndarray,
    channels: Sequence[Channel],
    calibration: Calibration,
    limits: Limits,
) -> Refusal | None:
    """Look at one tile.

    Args:
        digital: `(C, H, W)` as in the file, without padding.
        valid: `(H, W)` bool.
        channels: One per first axis of `digital`.
        calibration: From digital values to the channels' unit.
        limits: What is let in.

    Returns:
        The first reason to refuse the tile, None if there is none.
    """
    if min(valid.shape) < limits.min_size:
        return Refusal("small", f"{valid.shape[0]} x {valid.shape[1]} pixels")
    share = float(valid.mean())
    if share < limits.min_valid or share == 0:
        nan = float(np.isnan(digital).any(axis=0).mean())
        also = f", {nan:.0%} are NaN" if nan else ""
        return Refusal("nodata", f"{share:.0%} of the pixels hold data{also}")
    values = digital[:, valid]
    broken = ~np.isfinite(values)
    if broken.any():
        return Refusal("not finite", f"{int(broken.sum())} infinite values")
    if (values == values[:, :1]).all():
        return Refusal("constant", f"all pixels are {values[:, 0].tolist()}")
    if values.dtype.kind in "iu":
        saturated = float((values == np.iinfo(values.dtype).max).mean())
        if saturated > limits.max_saturated:
            return Refusal("saturated", f"{saturated:.0%} at {np.iinfo(values.dtype).max}")
    try:
        check_values(calibrate(digital, calibration), channels, valid, where="tile")
    except ValueRangeError as error:
        return Refusal("not in unit", str(error).removeprefix("tile: "))
    return None
