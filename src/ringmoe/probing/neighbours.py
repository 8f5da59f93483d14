"""Nearest neighbours on frozen features: nothing is fitted but the number of neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from ringmoe.probing.result import Choice, ProbeResult, last_fifth, score, standardise

K_GRID = (1, 3, 5, 10, 20)


def vote(train_x: Tensor, train_y: Tensor, x: Tensor, ks: Sequence[int]) -> dict[int, Tensor]:
    """The most frequent class among the k training samples of largest cosine similarity.

    Of equally frequent classes the smallest number wins, as in scikit-learn's
    `KNeighborsClassifier(metric="cosine")`.

    Args:
        train_x: `(N, F)`.
        train_y: `(N,)` int64.
        x: `(M, F)`.
        ks: Numbers of neighbours, each at most N.

    Returns:
        For each k the classes, `(M,)` int64.
    """
    similarity = F.normalize(x, dim=1) @ F.normalize(train_x, dim=1).T
    nearest = train_y[similarity.topk(max(ks), dim=1).indices]  # (M, k), nearest first
    ballots = F.one_hot(nearest, int(train_y.max()) + 1).cumsum(dim=1)  # (M, k, K)
    return {k: ballots[:, k - 1].argmax(dim=1) for k in ks}


def choose_k(
    train_x: Tensor,
    train_y: Tensor,
    *,
    ks: Sequence[int] = K_GRID,
    validation: Tensor | None = None,
    standardised: bool = True,
) -> Choice:
    """The number of neighbours that is best on a validation part of the training data.

    Of equally good ones the smallest.

    Args:
        train_x: `(N, F)`.
        train_y: `(N,)` int64.
        ks: Candidates.
        validation: `(N,)` bool: the validation part; the last fifth of each class for None.
        standardised: As in `nearest_neighbours`.
    """
    held = last_fifth(train_y) if validation is None else validation
    fit_x, held_x = train_x[~held], train_x[held]
    if standardised:
        fit_x, held_x = standardise(fit_x, held_x)
    votes = vote(fit_x, train_y[~held], held_x, sorted(k for k in ks if k <= len(fit_x)))
    choices = [Choice(k, *score(predicted, train_y[held])) for k, predicted in votes.items()]
    return max(choices, key=lambda choice: choice.accuracy)


def nearest_neighbours(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    ks: Sequence[int] = K_GRID,
    validation: Tensor | None = None,
    standardised: bool = True,
) -> ProbeResult:
    """Accuracy of k nearest neighbours (cosine, equal votes).

    k is chosen inside the training data (`choose_k`); the test part is then compared with all of
    them.

    Args:
        train_x: `(N, F)`.
        train_y: `(N,)` int64.
        test_x: `(M, F)`.
        test_y: `(M,)` int64.
        ks: Candidates for k.
        validation: As in `choose_k`.
        standardised: Each feature to mean 0 and deviation 1 over the training data first; false
            for features that are comparable as they are, such as pixels.
    """
    choice = choose_k(train_x, train_y, ks=ks, validation=validation, standardised=standardised)
    if standardised:
        train_x, test_x = standardise(train_x, test_x)
    k = int(choice.setting)
    predicted = vote(train_x, train_y, test_x, [k])[k]
    return ProbeResult(*score(predicted, test_y), choice, predicted)
