"""`CameraMotion`: how the camera moved between two frames."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.errors import MissingDependencyError, ShapeError

Method = Literal["sift", "orb", "sparseOptFlow", "ecc"]

_EDGE = 1000  # pixels to which longer frames are shrunk
_ZOOM = (0.25, 4.0)  # of areas: beyond, no two frames of a video follow one another
_SHARED = 0.1  # of the frame that must be in both
_ALIKE = 0.3  # correlation of a frame with the one before, moved
_SAME = 0.02  # by which it may be less than unmoved: resampling costs some
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
        if not height or not width:
            self.failed += last is not None
            return np.eye(2, 3)
        colours = np.repeat(picture[:height, :width, None], 3, axis=2)
        around = None if objects is None else _around(objects)
        found = np.asarray(self._estimator.estimate(colours, around), np.float64)
        if last is not None and (picture != last).any():
            # The identity to the last bit is what the estimator gives where it gives up.
            before, now = (_shrunk(p[:height, :width], shrink) for p in (last, picture))
            here = np.column_stack([found[:, :2], found[:, 2] / shrink])
            if (found == np.eye(2, 3)).all() or not _fits(before, now, here):
                self.failed += 1
                return np.eye(2, 3)
        # OpenCV counts from the middle of the first pixel, here of the smaller image.
        middle = np.full(2, shrink / 2)
        found[:, 2] += middle - found[:, :2] @ middle
        return found


def _shrunk(picture: np.ndarray, shrink: int) -> np.ndarray:
    height, width = picture.shape
    return picture.reshape(height // shrink, shrink, width // shrink, shrink).mean((1, 3))


def _fits(last: np.ndarray, picture: np.ndarray, found: np.ndarray) -> bool:
    """Whether the last picture, moved so, is like this one, and more so than as it was.

    Few features that agree by chance give any turn and zoom.
    """
    linear, shift = found[:, :2], found[:, 2]
    if not _ZOOM[0] < np.linalg.det(linear) < _ZOOM[1]:
        return False
    back = np.linalg.inv(linear)[::-1, ::-1]  # of rows and columns
    start = -back @ shift[::-1]
    moved = ndimage.affine_transform(last, back, start, order=1, cval=np.nan)
    both = np.isfinite(moved)
    if both.mean() < _SHARED:
        return False
    alike, before = (_correlation(one[both], picture[both]) for one in (moved, last))
    return alike > _ALIKE and alike >= before - _SAME


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-9))


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
