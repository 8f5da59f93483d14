"""Differences between two models that saw the same images, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 10_000


@dataclass(frozen=True)
class Difference:
    """A mean difference and its 95 % interval, in the unit of what was compared.

    Attributes:
        mean: Of all seeds and images.
        low: The 2.5th percentile of the bootstrap's means.
        high: The 97.5th.
    """

    mean: float
    low: float
    high: float

    @property
    def resolved(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return self.low > 0 or self.high < 0


def paired_difference(ours: np.ndarray, others: np.ndarray, seed: int = 0) -> Difference:
    """`ours - others` by the bootstrap (Efron 1979) over seeds and over images.

    Seeds are drawn with replacement, and, independently, images: the same images for all seeds
    and for both models, so that what makes an image hard does not count as a difference.

    Args:
        ours: `(S, N)` values, such as hits, of S seeds on N images.
        others: The same of the other model.
        seed: Of the draws.
    """
    each = np.asarray(ours, float) - np.asarray(others, float)
    if each.ndim != 2:
        raise ValueError(f"expected (seeds, images), got shape {each.shape}")
    seeds, images = each.shape
    generator = np.random.default_rng(seed)
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        rows = generator.multinomial(seeds, np.full(seeds, 1 / seeds))
        columns = np.bincount(generator.integers(images, size=images), minlength=images)
        means[draw] = rows @ each @ columns / (seeds * images)
    low, high = np.percentile(means, (2.5, 97.5))
    return Difference(float(each.mean()), float(low), float(high))
