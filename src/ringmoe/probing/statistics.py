"""Features without a network: what a probe of learnt features has to beat."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PERCENTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 16
LEVELS = 256  # percentiles are read off this finer histogram: sorting each image is 20 times slower


def image_statistics(images: Tensor, low: float, high: float) -> Tensor:
    """Mean, deviation, percentiles and histogram of each channel: colours, not patterns.

    Args:
        images: `(N, C, H, W)`, real.
        low: Lower edge of the histogram.
        high: Upper edge; values outside count in the outer bins.

    Returns:
        `(N, C * 23)`: per channel the mean, the deviation, five percentiles (5, 25, 50, 75, 95, to
        1/256 of the range) and the square roots of the shares of 16 equal bins (the dot product of
        two such roots is the Bhattacharyya coefficient; a linear probe likes them better).
    """
    features = []
    percentiles = torch.tensor(PERCENTILES)
    for channel in images.flatten(0, 1).flatten(1).float():
        level = ((channel - low) * (LEVELS / (high - low))).long().clamp(0, LEVELS - 1)
        share = level.bincount(minlength=LEVELS) / channel.numel()
        rank = torch.searchsorted(share.cumsum(0), percentiles)
        moments = torch.stack([channel.mean(), channel.std(correction=0)])
        bins = share.view(BINS, -1).sum(1).sqrt()
        features.append(torch.cat([moments, low + rank * ((high - low) / LEVELS), bins]))
    return torch.stack(features).view(len(images), -1)


def neighbourhood_statistics(images: Tensor, window: int = 9) -> Tensor:
    """Each pixel's values with their mean and deviation in a square window around it.

    Args:
        images: `(N, C, H, W)`, real.
        window: Side of the window in pixels, odd; at the image's edge it holds fewer pixels.

    Returns:
        `(N, 3 * C, H, W)`: values, means, deviations.
    """

    def mean_of(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, window, stride=1, padding=window // 2, count_include_pad=False)

    centred = images - images.mean(dim=(0, 2, 3), keepdim=True)  # for the variance's precision
    mean = mean_of(centred)
    variance = (mean_of(centred.square()) - mean.square()).clamp_min(0)
    return torch.cat([centred, mean, variance.sqrt()], dim=1)
