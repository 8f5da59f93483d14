"""`CameraMotion`: how the camera moved between two frames."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.errors import MissingDependencyError, ShapeError

Method = Literal["sift", "orb", "sparseOptFlow", "ecc"]

_EDGE = 1000  # pixels to which longer frames are shrunk
_CONTRAST = (1.0, 99.0)  # percentiles that become black and white


class CameraMotion:
    """Estimates the shift, turn and zoom from each frame to the next.

    By SIFT features, matched and fitted robustly (RANSAC), of roboflow's `trackers`, on images of
    half the size. Of its four methods this is the one that finds shifts of up to a quarter of the
    image and turns of 20 degrees alike (`docs/tracking.md`).

    Args:
        method: Another of the library's.

    Attributes:
        failed: How many frames had too little to go by; they count as not moved.

    Raises:
        MissingDependencyError: roboflow's trackers are not installed.
    """

    def __init__(self, method: Method = "sift") -> None:
        try:
            from trackers import CMC, CMCConfig
        except ImportError as error:
            from ringmoe.tasks.tracking.tracker import missing

            raise MissingDependencyError(missing(error)) from None
        self._estimator = CMC(CMCConfig(method=method))
        self._last: np.ndarray | None = None
        self.failed = 0

    def step(
        self,
        image: np.ndarray,
        objects: Objects | None = None,
        valid: np.ndarray | None = None,
    ) -> np.ndarray:
        """Motion from the frame of the last call to this one.

        Args:
            image: `(C, H, W)` or `(H, W)`, real or complex, in any unit.
            objects: What was found: it may move by itself, and is left out.
            valid: `(H, W)` bool, false where there are no data.

        Returns:
            `(2, 3)` float64: `[A | t]` with `A p + t` the place of what was at `p`, in pixels as
            `ringmoe.boxes` counts them. For the first frame, and where too little is to be seen,
            nothing moves.

        Raises:
            ShapeError: The frame is of another size than the one before.
        """
        picture, last = _as_bytes(image, valid), self._last
        if last is not None and last.shape != picture.shape:
            raise ShapeError(f"expected a frame of {last.shape} pixels, got {picture.shape}")
        self._last = picture
        shrink = max(2, -(-max(picture.shape) // _EDGE))
        self._estimator.downscale = shrink
        height, width = (n // shrink * shrink for n in picture.shape)
        colours = np.repeat(picture[:height, :width, None], 3, axis=2)
        around = None if objects is None else _around(objects)
        found = np.asarray(self._estimator.estimate(colours, around), np.float64)
        if last is not None and (found == np.eye(2, 3)).all() and (picture != last).any():
            self.failed += 1  # to the last bit: what the estimator gives where it gives up
        # OpenCV counts from the middle of the first pixel, here of the smaller image.
        middle = np.full(2, shrink / 2)
        found[:, 2] += middle - found[:, :2] @ middle
        return found


def _as_bytes(image: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """The mean of the channels as `(H, W)` uint8, black where there are no data."""
    grey = np.abs(image) if np.iscomplexobj(image) else image
    grey = grey.astype(np.float64).reshape(-1, *image.shape[-2:]).mean(axis=0)
    there = np.isfinite(grey) if valid is None else valid & np.isfinite(grey)
    if not there.any():
        return np.zeros(grey.shape, np.uint8)
    low, high = np.percentile(grey[there], _CONTRAST)
    scaled = (np.where(there, grey, low) - low) / max(high - low, np.finfo(float).tiny)
    return (255 * scaled.clip(0, 1)).astype(np.uint8)


def _around(objects: Objects) -> np.ndarray:
    """Horizontal boxes."""
    return boxes.cxcywhr_to_xyxy(objects.boxes) if objects.rotated else objects.boxes
