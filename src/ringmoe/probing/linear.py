"""Linear probe: multinomial logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ringmoe.errors import ShapeError
from ringmoe.probing.result import Choice, ProbeResult, last_fifth, score, standardise

# Weights of the penalty on the mean loss, strong to weak: each fit starts at the last one's
# solution, and the weak ones need many steps from zero.
L2_GRID = tuple(10 ** (-half / 2) for half in range(0, 9))


@dataclass(frozen=True)
class LinearClassifier:
    """Class scores linear in the features: `x @ weight.T + bias`.

    Attributes:
        weight: `(K, F)`.
        bias: `(K,)`.
    """

    weight: Tensor
    bias: Tensor

    def predict(self, x: Tensor) -> Tensor:
        """The class of each row of `x` `(N, F)`."""
        return F.linear(x, self.weight, self.bias).argmax(dim=1)


def fit_linear(
    x: Tensor,
    y: Tensor,
    *,
    l2: float,
    classes: int | None = None,
    start: LinearClassifier | None = None,
    max_iterations: int = 100,
    tolerance: float = 1e-5,
) -> LinearClassifier:
    """Multinomial logistic regression by L-BFGS.

    Minimises the mean cross entropy plus `l2 / 2` times the squared norm of the weights, the
    bias free: scikit-learn's `LogisticRegression(C=1 / (l2 * N))`.

    Args:
        x: `(N, F)` features, standardised.
        y: `(N,)` int64 classes from 0.
        l2: Weight of the penalty.
        classes: K; the largest of `y` plus one for None.
        start: Where to start; zeros for None.
        max_iterations: Most L-BFGS steps; the defaults move accuracies of a probe by less than
            its validation part can resolve.
        tolerance: Stops when no entry of the gradient is larger.
    """
    if x.ndim != 2 or y.shape != (len(x),):
        raise ShapeError(f"expected x (N, F) and y (N,), got {tuple(x.shape)}, {tuple(y.shape)}")
    count = int(y.max()) + 1 if classes is None else classes
    weight, bias = x.new_zeros((count, x.shape[1])), x.new_zeros(count)
    if start is not None:
        weight, bias = start.weight.clone(), start.bias.clone()
    weight.requires_grad_(), bias.requires_grad_()
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iterations,
        tolerance_grad=tolerance,
        tolerance_change=1e-16,  # the gradient decides: weak penalties make flat valleys
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), y) + l2 / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(closure)
    return LinearClassifier(weight.detach(), bias.detach())


def choose_l2(
    train_x: Tensor,
    train_y: Tensor,
    *,
    l2_grid: Sequence[float] = L2_GRID,
    validation: Tensor | None = None,
) -> Choice:
    """The L2 weight that is best on a validation part of the training data.

    Of equally good ones the strongest. Recipes of pre-training are compared by its accuracy: no
    test part is involved.

    Args:
        train_x: `(N, F)`.
        train_y: `(N,)` int64.
        l2_grid: Candidates.
        validation: `(N,)` bool: the validation part; the last fifth of each class for None. Give
            one where neighbouring samples are alike, such as the pixels of a tile.
    """
    held = last_fifth(train_y) if validation is None else validation
    classes = int(train_y.max()) + 1
    fit_x, held_x = standardise(train_x[~held], train_x[held])
    fitted: LinearClassifier | None = None
    choices = []
    for l2 in sorted(l2_grid, reverse=True):
        fitted = fit_linear(fit_x, train_y[~held], l2=l2, classes=classes, start=fitted)
        choices.append(Choice(l2, *score(fitted.predict(held_x), train_y[held])))
    return max(choices, key=lambda choice: choice.accuracy)


def linear_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    l2_grid: Sequence[float] = L2_GRID,
    validation: Tensor | None = None,
) -> ProbeResult:
    """Accuracy of logistic regression on standardised features.

    The L2 weight is chosen inside the training data (`choose_l2`); the classifier that is tested
    is then fitted to all of them.

    Args:
        train_x: `(N, F)`; float64 where the last digit matters, at twice the time.
        train_y: `(N,)` int64.
        test_x: `(M, F)`.
        test_y: `(M,)` int64.
        l2_grid: Candidates.
        validation: As in `choose_l2`.
    """
    choice = choose_l2(train_x, train_y, l2_grid=l2_grid, validation=validation)
    all_x, test = standardise(train_x, test_x)
    classifier = fit_linear(all_x, train_y, l2=choice.setting, max_iterations=300)
    predicted = classifier.predict(test)
    return ProbeResult(*score(predicted, test_y), choice, predicted)
