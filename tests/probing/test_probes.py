"""The probes against scikit-learn, on data whose best answer is known."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from ringmoe.errors import DatasetError, ShapeError
from ringmoe.probing import fit_linear, last_fifth, linear_probe, nearest_neighbours, vote
from ringmoe.probing.result import score, standardise


def clusters(n: int, classes: int, features: int, seed: int, noise: float = 1.5):
    """Gaussian clusters that overlap: no classifier gets all of them right."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, features, generator=torch.Generator().manual_seed(99))
    y = torch.arange(n) % classes
    x = centres[y] + noise * torch.randn(n, features, generator=generator)
    return x * torch.logspace(-2, 2, features), y  # features of very different scales


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_linear_is_scikit_learns_logistic_regression(l2):
    """Ours is mean loss + l2/2 |W|^2, theirs C * sum of losses + 1/2 |W|^2: C = 1 / (l2 N)."""
    x, y = clusters(300, 4, 12, seed=0)
    test_x, _ = clusters(200, 4, 12, seed=1)
    x, test_x = standardise(x.double(), test_x.double())
    ours = fit_linear(x, y, l2=l2, max_iterations=2000, tolerance=1e-10)
    theirs = LogisticRegression(C=1 / (l2 * len(x)), solver="newton-cg", tol=1e-10).fit(x, y)
    np.testing.assert_allclose(ours.weight.numpy(), theirs.coef_, atol=1e-5)
    # The bias is determined up to a constant over classes.
    bias = ours.bias.numpy() - ours.bias.numpy().mean()
    np.testing.assert_allclose(bias, theirs.intercept_ - theirs.intercept_.mean(), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(test_x).numpy(), theirs.predict(test_x))


def test_linear_probe_is_the_whole_of_scikit_learns_pipeline():
    """Standardise on the training part, choose C on the last fifth, refit, score: the same."""
    x, y = clusters(300, 4, 12, seed=0)
    test_x, test_y = clusters(400, 4, 12, seed=1)
    grid = (1.0, 0.1, 0.01)
    held = last_fifth(y).numpy()

    def theirs(fit_x, fit_y, other_x, l2):
        scaler = StandardScaler().fit(fit_x)
        model = LogisticRegression(C=1 / (l2 * len(fit_x)), tol=1e-8, max_iter=5000)
        return model.fit(scaler.transform(fit_x), fit_y).predict(scaler.transform(other_x))

    x_, y_, test_ = x.double().numpy(), y.numpy(), test_x.double().numpy()
    chosen = [(theirs(x_[~held], y_[~held], x_[held], c) == y_[held]).mean() for c in grid]
    best = int(np.argmax(chosen))
    expected = (theirs(x_, y_, test_, grid[best]) == test_y.numpy()).mean()
    result = linear_probe(x.double(), y, test_x.double(), test_y, l2_grid=grid)
    assert result.choice.setting == grid[best]
    assert result.choice.accuracy == pytest.approx(chosen[best])
    assert result.accuracy == pytest.approx(expected, abs=1e-12)
    assert 0.3 < result.accuracy < 0.999  # neither chance (1/4) nor trivial


@pytest.mark.parametrize("k", [1, 3, 5, 20])
def test_votes_are_scikit_learns(k):
    x, y = clusters(300, 7, 10, seed=2)
    test_x, _ = clusters(500, 7, 10, seed=3)
    x, test_x = standardise(x.double(), test_x.double())
    theirs = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(x, y)
    np.testing.assert_array_equal(vote(x, y, test_x, [k])[k].numpy(), theirs.predict(test_x))


def test_nearest_neighbours_chooses_k_on_the_validation_part():
    """With noise as large as the clusters' distance one neighbour is worse than many."""
    x, y = clusters(400, 3, 4, seed=4, noise=1.0)
    test_x, test_y = clusters(600, 3, 4, seed=5, noise=1.0)
    result = nearest_neighbours(x, y, test_x, test_y, ks=(1, 20))
    assert result.choice.setting == 20
    one = nearest_neighbours(x, y, test_x, test_y, ks=(1,))
    assert result.accuracy > one.accuracy


def test_the_test_part_chooses_nothing():
    """The setting depends on the training part alone: any test labels give the same one."""
    x, y = clusters(200, 4, 12, seed=6)
    test_x, test_y = clusters(100, 4, 12, seed=7)
    wrong = (test_y + 1) % 4
    right, other = (linear_probe(x, y, test_x, t, l2_grid=(1, 0.01)) for t in (test_y, wrong))
    assert right.choice == other.choice
    assert right.accuracy != other.accuracy


def test_a_given_validation_part_is_used():
    """Labels that are noise outside the validation part: the choice must see only that part."""
    x, y = clusters(200, 4, 12, seed=6)
    validation = torch.arange(200) < 40
    result = linear_probe(x, y, x, y, validation=validation, l2_grid=(0.1,))
    fitted = fit_linear(standardise(x[40:].double())[0], y[40:], l2=0.1)
    predicted = fitted.predict(standardise(x[40:].double(), x[:40].double())[1])
    assert result.choice.accuracy == pytest.approx(score(predicted, y[:40])[0])


def test_score_counts_classes_alike():
    """4 of 5 right; class 0: 4 of 4, class 1: 0 of 1, so the mean over classes is 1/2."""
    truth = torch.tensor([0, 0, 0, 0, 1])
    assert score(torch.zeros(5, dtype=torch.long), truth) == pytest.approx((0.8, 0.5))


def test_a_constant_feature_does_no_harm():
    x, y = clusters(100, 2, 3, seed=8)
    constant = torch.full((100, 1), 7.0)
    with_it = torch.cat([x, constant], 1)
    assert torch.isfinite(standardise(with_it, with_it + 1)[1]).all()
    alone, both = (linear_probe(f, y, f, y, l2_grid=(0.1,)).accuracy for f in (x, with_it))
    assert alone == both


def test_last_fifth_is_the_last_of_each_class():
    """10 of class 0 and 5 of class 1, interleaved: 2 and 1 are held, the last in order."""
    labels = torch.tensor([0, 1, 0] * 5)
    held = torch.nonzero(last_fifth(labels)).flatten()
    assert held.tolist() == [12, 13, 14]
    assert labels[held].tolist() == [0, 1, 0]


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="expected x"):
        fit_linear(torch.zeros(4, 2), torch.zeros(3, dtype=torch.long), l2=1.0)


def test_classes_of_a_few_images_leave_one_to_choose_on():
    assert last_fifth(torch.tensor([0, 0, 1, 1, 1, 1, 2])).nonzero().flatten().tolist() == [1, 5]
    with pytest.raises(DatasetError, match="no class has two training images"):
        last_fifth(torch.arange(3))
