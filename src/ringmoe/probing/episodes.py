"""Few-shot episodes on frozen features: N classes, K samples of each, the nearest class mean.

Snell, Swersky and Zemel 2017, "Prototypical Networks for Few-shot Learning" (arXiv:1703.05175).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ringmoe.errors import ConfigError, ShapeError

Distance = Literal["cosine", "euclidean"]


@dataclass(frozen=True)
class Episode:
    """Which samples an episode uses.

    Attributes:
        support: `(N, K)` int64 indices, a row a class.
        query: `(N, Q)` int64 indices of other samples of the same classes.
    """

    support: Tensor
    query: Tensor


@dataclass(frozen=True)
class FewShotResult:
    """Accuracy over episodes.

    Attributes:
        accuracy: Mean over episodes of the share of queries that get their class, 0 to 1.
        interval: Half the width of its 95 % confidence interval,
            `1.96 * deviation / sqrt(episodes)`.
        episodes: How many.
    """

    accuracy: float
    interval: float
    episodes: int


def few_shot(
    x: Tensor,
    y: Tensor,
    *,
    ways: int,
    shots: int,
    queries: int = 15,
    episodes: int = 600,
    distance: Distance = "cosine",
    generator: torch.Generator | None = None,
) -> FewShotResult:
    """Accuracy of the nearest class mean over N-way K-shot episodes.

    The defaults for queries and episodes are the paper's.

    Args:
        x: `(M, F)` features.
        y: `(M,)` int64 classes.
        ways: Classes an episode (N).
        shots: Labelled samples of each class (K).
        queries: Samples of each class to be classified.
        episodes: How many, at least 2.
        distance: "cosine" or "euclidean", of a query from a class mean.
        generator: Draws the episodes, on the CPU; None for torch's own.

    Raises:
        ShapeError: `x` and `y` do not agree.
        ConfigError: Fewer than `ways` classes have `shots + queries` samples, or a number is too
            small.
    """
    if x.ndim != 2 or y.shape != (len(x),):
        raise ShapeError(f"expected x (M, F) and y (M,), got {tuple(x.shape)}, {tuple(y.shape)}")
    if episodes < 2:
        raise ConfigError(f"episodes: expected at least 2 for an interval, got {episodes}")
    accuracies = []
    for _ in range(episodes):
        episode = draw_episode(y, ways, shots, queries, generator)
        found = nearest_mean(x[episode.support], x[episode.query].flatten(0, 1), distance)
        truth = torch.arange(ways, device=found.device).repeat_interleave(queries)
        accuracies.append((found == truth).double().mean())
    scores = torch.stack(accuracies)
    interval = 1.96 * scores.std().item() / episodes**0.5
    return FewShotResult(scores.mean().item(), interval, episodes)


def draw_episode(
    y: Tensor, ways: int, shots: int, queries: int, generator: torch.Generator | None = None
) -> Episode:
    """Draw classes, and of each its support and its queries, all without replacement.

    Args:
        y: `(M,)` int64 classes.
        ways: Classes to draw, among those with enough samples.
        shots: Support samples a class.
        queries: Queries a class.
        generator: Draws, on the CPU; None for torch's own.

    Raises:
        ConfigError: Fewer than `ways` classes have `shots + queries` samples.
    """
    if min(ways - 1, shots, queries) < 1:
        raise ConfigError(
            "an episode needs at least 2 ways, 1 shot and 1 query, "
            f"got {ways} ways, {shots} shots, {queries} queries"
        )
    needed = shots + queries
    labels, counts = y.unique(return_counts=True)
    able = labels[counts >= needed]
    if len(able) < ways:
        raise ConfigError(
            f"{ways}-way {shots}-shot episodes with {queries} queries need {ways} classes of "
            f"{needed} samples, found {len(able)} of {len(labels)}: ask for fewer"
        )
    rows = []
    for label in able[torch.randperm(len(able), generator=generator)[:ways].to(y.device)]:
        members = torch.nonzero(y == label).flatten()
        order = torch.randperm(len(members), generator=generator)[:needed]
        rows.append(members[order.to(y.device)])
    drawn = torch.stack(rows)
    return Episode(drawn[:, :shots], drawn[:, shots:])


def nearest_mean(support: Tensor, query: Tensor, distance: Distance = "cosine") -> Tensor:
    """The class whose mean is nearest to each query; of equally near ones the first.

    Args:
        support: `(N, K, F)`, K samples of each class.
        query: `(Q, F)`.
        distance: "euclidean", or "cosine": of the angle between query and mean.

    Returns:
        `(Q,)` int64 classes 0 to N - 1.

    Raises:
        ConfigError: There is no such distance.
    """
    means = support.mean(dim=1)
    if distance == "euclidean":
        return torch.cdist(query, means).argmin(dim=1)
    if distance == "cosine":
        return (F.normalize(query, dim=1) @ F.normalize(means, dim=1).T).argmax(dim=1)
    raise ConfigError(f"distance: expected cosine or euclidean, got {distance!r}")
