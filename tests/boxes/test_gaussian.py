"""Gaussian distances of boxes against linear algebra, integrals and invariances."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ringmoe.boxes import gaussian_distance
from ringmoe.errors import ConfigError, ShapeError

KINDS = ["kld", "probiou"]
places = st.floats(-30, 30)
edges = st.floats(1, 60)
angles = st.floats(-4, 4)
rotated = st.tuples(places, places, edges, edges, angles).map(np.array)


def distance(predicted, target, kind, dtype=torch.float64):
    pair = [torch.tensor(np.atleast_2d(one), dtype=dtype) for one in (predicted, target)]
    return gaussian_distance(*pair, kind).double().numpy()


def normal(box, spread):
    """Mean and covariance of a box, y up, with standard deviations of `spread` times the edges."""
    x, y, width, height, angle = box
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.array([x, -y]), turn @ np.diag([width * spread, height * spread]) ** 2 @ turn.T


@settings(max_examples=40)
@given(rotated, rotated)
def test_kullback_leibler_divergence(predicted, target):
    """Of two normal distributions: 1/2 (d' T^-1 d + tr(T^-1 P) + ln |T| / |P| - 2)."""
    (mean_p, p), (mean_t, t) = normal(predicted, 1 / 2), normal(target, 1 / 2)
    apart, inverse = mean_p - mean_t, np.linalg.inv(t)
    divergence = apart @ inverse @ apart + np.trace(inverse @ p) - 2
    divergence = (divergence + np.log(np.linalg.det(t) / np.linalg.det(p))) / 2
    expected = 1 - 1 / (1 + np.log1p(divergence))
    np.testing.assert_allclose(distance(predicted, target, "kld"), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("predicted", "target"),
    [
        ([0, 0, 20, 8, 0.3], [3, -2, 16, 9, 1.1]),
        ([5, 5, 12, 12, 0.7], [5, 5, 30, 6, -0.4]),
        ([0, 9, 20, 8, -1.5], [0, 0, 20, 8, 1.5]),
    ],
)
def test_hellinger_distance(predicted, target):
    """sqrt(1 - integral of the root of the product of both densities), summed on a grid: both are
    smooth and far from its border, so that the sum is exact to rounding."""
    steps = np.linspace(-60, 60, 481)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1)
    densities = [
        stats.multivariate_normal(*normal(box, 1 / math.sqrt(12))).pdf(grid)
        for box in (predicted, target)
    ]
    coefficient = np.sqrt(densities[0] * densities[1]).sum() * (steps[1] - steps[0]) ** 2
    expected = math.sqrt(1 - coefficient)
    assert 0.2 < expected < 0.95
    np.testing.assert_allclose(distance(predicted, target, "probiou"), expected, atol=1e-5)
    np.testing.assert_allclose(distance(target, predicted, "probiou"), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(predicted=rotated, target=rotated, by=angles, x=places, y=places, zoom=st.floats(0.1, 10))
def test_invariances(kind, predicted, target, by, x, y, zoom):
    """A box turned by pi and one with exchanged edges turned by pi/2 are the same box; moving,
    turning or scaling both boxes changes nothing."""
    expected = distance(predicted, target, kind)
    half = predicted + np.array([0, 0, 0, 0, math.pi])
    quarter = target[[0, 1, 3, 2, 4]] + np.array([0, 0, 0, 0, math.pi / 2])
    np.testing.assert_allclose(distance(half, quarter, kind), expected, atol=1e-9)

    def moved(box):
        # Counter-clockwise as displayed about (x, y), then scaled: y runs down.
        right, down = box[0] - x, box[1] - y
        turned_x = right * math.cos(by) + down * math.sin(by)
        turned_y = down * math.cos(by) - right * math.sin(by)
        edges = box[2:4] * zoom
        return np.array([zoom * turned_x, zoom * turned_y, *edges, box[4] + by])

    np.testing.assert_allclose(distance(moved(predicted), moved(target), kind), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_closer_the_smaller(kind):
    """0 for the same box; growing with offset and turn; a square's turn is none."""
    box = np.array([10.0, 20, 30, 8, 0.4])
    away = [distance(box + np.array([d, d, 0, 0, 0]), box, kind)[0] for d in range(6)]
    turned = [distance(box + np.array([0, 0, 0, 0, d / 5]), box, kind)[0] for d in range(6)]
    for found in (away, turned):
        assert found[0] == pytest.approx(0, abs=1e-12)
        assert all(np.diff(found) > 1e-3) and found[-1] < 1
    square = np.array([10.0, 20, 30, 30, 0.4])
    np.testing.assert_allclose(
        distance(square + np.array([0, 0, 0, 0, 1]), square, kind), 0, atol=1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind):
    """Against finite differences: crossing boxes, a square, a thin box."""
    predicted = torch.tensor(
        [[3, 4, 20, 8, 0.3], [3, 4, 9, 9, 1.0], [0, 1, 30, 0.5, -0.8]], dtype=torch.float64
    ).requires_grad_()
    target = torch.tensor(
        [[2, 5, 18, 9, 1.2], [4, 4, 12, 12, 0.0], [0, 0, 25, 2.0, -0.7]], dtype=torch.float64
    )
    assert torch.autograd.gradcheck(lambda boxes: gaussian_distance(boxes, target, kind), predicted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_finite_at_the_extremes(kind, dtype):
    """No size, the same box, far away, a hair's width at the far side of a scene: distances in
    [0, 1] and gradients that an optimiser can square."""
    extremes = torch.tensor(
        [
            [0, 0, 0, 0, 0],
            [5, 5, 10, 0, 0.3],
            [5, 5, 10, 10, 0.3],
            [20000, 20000, 300, 0.01, -1.5],
            [0, 0, 20000, 20000, 0],
        ],
        dtype=dtype,
    )
    count = len(extremes)
    predicted = extremes.repeat_interleave(count, 0).requires_grad_()
    found = gaussian_distance(predicted, extremes.repeat(count, 1), kind)
    found.sum().backward()
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    assert found.isfinite().all() and found.min() >= -1e-6 and found.max() <= 1
    assert predicted.grad.isfinite().all()
    assert predicted.grad.double().abs().max() < 1e5


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(predicted=rotated, target=rotated)
def test_float32_is_enough(kind, predicted, target):
    """Three or more digits less than float64 has, and no more."""
    rounded = [np.float32(box) for box in (predicted, target)]
    expected = distance(*rounded, kind)
    np.testing.assert_allclose(distance(*rounded, kind, torch.float32), expected, atol=1e-3)


def test_no_boxes_and_mistakes():
    none = torch.zeros(0, 5, requires_grad=True)
    for kind in KINDS:
        assert gaussian_distance(none, none, kind).shape == (0,)
    with pytest.raises(ShapeError, match=r"as many of both, got \(2, 5\) and \(1, 5\)"):
        gaussian_distance(torch.zeros(2, 5), torch.zeros(1, 5), "kld")
    with pytest.raises(ConfigError, match="kld or probiou, got 'iou'"):
        gaussian_distance(none, none, "iou")


def test_probiou_of_nearly_equal_boxes_is_not_negative():
    generator = torch.Generator().manual_seed(0)
    one = torch.rand(10_000, 5, generator=generator) * torch.tensor([100, 100, 60, 20, 3.0]) + 1
    other = one * (1 + 1e-7 * torch.randn(one.shape, generator=generator))
    assert gaussian_distance(one, other, "probiou").min() >= 0
