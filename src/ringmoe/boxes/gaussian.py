"""Rotated boxes as Gaussians: distances that are differentiable wherever the boxes are.

A box becomes the normal distribution around its centre whose axes are the box's. Its covariance is
the same for r and r + pi and for exchanged edges with r + pi/2, and a square's has no angle: no
jump of the angle's range, no order of the edges and no meaningless angle reaches the loss.

The distances are computed in the target's frame as sums of positive terms, without inverting or
subtracting matrices, so that float32 is enough for boxes of a hair's width too.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ringmoe.errors import ConfigError, ShapeError

# Edges are taken as at least this, in pixels: a box without width is no distribution.
LEAST_EDGE = 1e-3
# The Hellinger distance is the root of 1 - coefficient, which is not differentiable where boxes
# coincide; below this the root is rounded off.
_ROUNDING = 1e-6


def gaussian_distance(predicted: Tensor, target: Tensor, kind: Literal["kld", "probiou"]) -> Tensor:
    """How far predicted boxes are from their targets, in [0, 1], as a loss.

    - `kld`: `1 - 1 / (1 + ln(1 + D))` of the Kullback-Leibler divergence D of the prediction from
      the target, standard deviations half the edges (Yang et al. 2021, arXiv:2106.01883, with
      tau = 1). Does not change with the scale of the image, and has a gradient at any distance.
    - `probiou`: the Hellinger distance, variances those of even spread over the box: edge^2 / 12
      (Llerena et al. 2021, arXiv:2106.06072, L1). Symmetric, and 1 - distance resembles the IoU;
      the gradient vanishes where boxes are far apart.

    Args:
        predicted: `(N, 5)` cxcywhr, in pixels, not necessarily canonical.
        target: `(N, 5)`.
        kind: Which.

    Returns:
        `(N,)`, differentiable, with finite gradients also for boxes of no size (edges are taken as
        at least `LEAST_EDGE`) and boxes that coincide; float32, or float64 if the boxes are.

    Raises:
        ShapeError: The boxes are not (N, 5), or not as many.
        ConfigError: There is no such kind.
    """
    if predicted.ndim != 2 or predicted.shape[1] != 5 or predicted.shape != target.shape:
        raise ShapeError(
            "predicted and target boxes are (N, 5) cxcywhr, as many of both, "
            f"got {tuple(predicted.shape)} and {tuple(target.shape)}"
        )
    if kind not in _KINDS:
        raise ConfigError(f"kind of Gaussian distance: {' or '.join(_KINDS)}, got {kind!r}")
    precise = torch.promote_types(predicted.dtype, torch.float32)
    return _KINDS[kind](predicted.to(precise), target.to(precise))


def _kld(predicted: Tensor, target: Tensor) -> Tensor:
    (u, v), (tw, th), (pw, ph), (cos, sin) = _in_target_frame(predicted, target)
    # Mahalanobis distance and trace, each along the target's axes; half edges, hence 4 / edge^2.
    along = 4 * u**2 + (pw * cos) ** 2 + (ph * sin) ** 2
    across = 4 * v**2 + (pw * sin) ** 2 + (ph * cos) ** 2
    divergence = (along / tw**2 + across / th**2) / 2 + (tw / pw).log() + (th / ph).log() - 1
    return 1 - 1 / (1 + divergence.log1p())


def _probiou(predicted: Tensor, target: Tensor) -> Tensor:
    (u, v), (tw, th), (pw, ph), (cos, sin) = _in_target_frame(predicted, target)
    # The prediction's covariance in units of 1 / 12, its part on and off the target's axes.
    along, across = (pw * cos) ** 2 + (ph * sin) ** 2, (pw * sin) ** 2 + (ph * cos) ** 2
    mixed = (pw - ph) * (pw + ph) * cos * sin
    # det(P + T), of which det P = (pw ph)^2 spares along * across - mixed^2.
    both = (pw * ph) ** 2 + (tw * th) ** 2 + tw**2 * across + th**2 * along
    # 1/8 d' (1/2 S / 12)^-1 d = 3 d' S^-1 d, and S^-1 by its adjugate.
    apart = (tw**2 + along) * v**2 + (th**2 + across) * u**2 - 2 * mixed * u * v
    distance = 3 * apart / both + (both / (4 * tw * th * pw * ph)).log() / 2
    hellinger = -torch.expm1(-distance.clamp(min=0))  # squared; rounding makes less of equals
    return hellinger / (hellinger + _ROUNDING).sqrt()


_KINDS = {"kld": _kld, "probiou": _probiou}


def _in_target_frame(predicted: Tensor, target: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
    """What the distances need, along and across the target's long edge.

    The offset of the centres, the edges of the target and of the prediction, and the cosine and
    sine of the angle from the one to the other.
    """
    px, py, pw, ph, pr = predicted.unbind(-1)
    tx, ty, tw, th, tr = target.unbind(-1)
    right, up = px - tx, ty - py
    cos, sin = tr.cos(), tr.sin()
    offset = right * cos + up * sin, up * cos - right * sin
    pw, ph, tw, th = (edge.clamp(min=LEAST_EDGE) for edge in (pw, ph, tw, th))
    turn = pr - tr
    return offset, (tw, th), (pw, ph), (turn.cos(), turn.sin())
