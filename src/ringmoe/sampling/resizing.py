"""Images with holes, resized."""

from __future__ import annotations

import numpy as np


def resize(image: np.ndarray, valid: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Resample bilinearly, antialiased, from valid pixels alone.

    Sums and weights are resampled apart (normalised convolution), so that what is invalid does not
    bleed into its neighbours; a pixel is valid if most of its weight is.

    Args:
        image: `(C, H, W)` float32, finite.
        valid: `(H, W)` bool.
        size: Height and width of what comes out.

    Returns:
        `(C, size, size)` float32, 0 where invalid, and `(size, size)` bool.
    """
    import torch  # here, because an ingest does not need it
    from torch.nn.functional import interpolate

    stack = torch.from_numpy(np.concatenate([image, valid[None].astype(np.float32)]))
    small = interpolate(
        stack[None], (size, size), mode="bilinear", antialias=True, align_corners=False
    )[0].numpy()
    weight = small[-1]
    known = weight > 0.5
    return np.where(known, small[:-1] / np.maximum(weight, 0.5), 0), known
