"""Single looks have the covariance they are drawn from, and are the same in every window.

Where a mean of N independent draws is compared with its expectation, the standard error is that of
the circular complex Gaussian: |z_i|^2 is exponential with variance C_ii^2, z_i z_j* has variance
C_ii C_jj, and the span z^H z has variance tr(C C). Seeds are fixed; 4 standard errors are allowed.
"""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ringmoe.errors import ConfigError
from ringmoe.scenes import Window, open_scene

SIZE = 200
COUNT = SIZE * SIZE

# Lexicographic, (HH, sqrt(2) HV, VV): HH and VV correlated by 0.6 at 70 degrees.
HHVV = 0.6 * np.sqrt(2.0 * 1.5) * np.exp(1j * np.deg2rad(70))
LEXICOGRAPHIC = np.array([[2.0, 0.1j, HHVV], [-0.1j, 0.6, 0.2], [HHVV.conj(), 0.2, 1.5]])
# Pauli, (HH + VV, HH - VV, 2 HV) / sqrt(2), in terms of the lexicographic vector.
PAULI = np.array([[1, 0, 1], [1, 0, -1], [0, np.sqrt(2), 0]]) / np.sqrt(2)


def everywhere(matrix, height=SIZE, width=SIZE):
    return np.broadcast_to(matrix, (height, width, *matrix.shape))


@pytest.fixture(scope="module", params=["C3", "T3"])
def looks(request, tmp_path_factory, make_folder):
    """HH, HV, VH, VV drawn from the same scatterers, described in one basis or the other."""
    matrix = LEXICOGRAPHIC if request.param == "C3" else PAULI @ LEXICOGRAPHIC @ PAULI.T
    folder = tmp_path_factory.mktemp("draw") / request.param
    make_folder(folder, request.param, everywhere(matrix))
    return open_scene(folder, "airsar", derive="single-look").read().values


def test_reciprocity(looks):
    np.testing.assert_array_equal(looks[1], looks[2])


def test_covariance_is_that_of_the_matrix_in_either_basis(looks):
    hh, hv, _, vv = looks.reshape(4, -1).astype(complex)
    vector = np.stack([hh, np.sqrt(2) * hv, vv])
    sample = vector @ vector.conj().T / COUNT
    power = LEXICOGRAPHIC.diagonal().real
    error = np.sqrt(np.outer(power, power) / COUNT)
    assert (np.abs(sample - LEXICOGRAPHIC) < 4 * error).all()


def test_mean_span_is_the_trace(looks):
    span = (np.abs(looks.astype(complex)) ** 2).sum(0)
    trace = LEXICOGRAPHIC.trace().real
    error = np.sqrt((LEXICOGRAPHIC @ LEXICOGRAPHIC).trace().real / COUNT)
    assert abs(span.mean() - trace) < 4 * error
    assert span.var() == pytest.approx((error * np.sqrt(COUNT)) ** 2, rel=0.1)


def test_hh_vv_correlation_and_phase(looks):
    """Magnitude 0.6 within 4 (1 - 0.36) / sqrt(2 N), phase 70 degrees within 4 of its own error."""
    hh, vv = looks[0].astype(complex), looks[3].astype(complex)
    coherence = (hh * vv.conj()).mean() / np.sqrt(
        (np.abs(hh) ** 2).mean() * (np.abs(vv) ** 2).mean()
    )
    assert abs(abs(coherence) - 0.6) < 4 * (1 - 0.36) / np.sqrt(2 * COUNT)
    assert abs(np.rad2deg(np.angle(coherence)) - 70) < 4 * np.rad2deg(
        np.sqrt((1 - 0.36) / (2 * COUNT * 0.36))
    )


def test_intensity_is_exponential_and_phase_uniform(looks):
    intensity = np.abs(looks[0].astype(complex).ravel()) ** 2 / LEXICOGRAPHIC[0, 0].real
    assert stats.kstest(intensity, "expon").pvalue > 0.01
    assert stats.kstest(np.angle(looks[0]).ravel() / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01


def test_neighbours_are_independent(looks):
    hh = looks[0].astype(complex)
    for shift in ((0, 1), (1, 0), (0, 32), (32, 0)):
        product = (hh * np.roll(hh, shift, (0, 1)).conj()).mean()
        assert abs(product) < 4 * LEXICOGRAPHIC[0, 0].real / np.sqrt(COUNT)


def test_dual_pol_draws(tmp_path, make_folder):
    matrix = np.array([[1.0, 0.3 + 0.2j], [0.3 - 0.2j, 0.25]])
    make_folder(tmp_path / "C2", "C2", everywhere(matrix))
    scene = open_scene(tmp_path / "C2", "airsar", derive="single-look", bands=["VV", "VH"])
    vector = scene.read().values.reshape(2, -1).astype(complex)
    error = np.sqrt(np.outer(matrix.diagonal(), matrix.diagonal()).real / COUNT)
    assert (np.abs(vector @ vector.conj().T / COUNT - matrix) < 4 * error).all()


@pytest.fixture(scope="module")
def varied(tmp_path_factory, make_folder):
    """A scene of 70 x 90 different matrices, some singular, some not positive semi-definite."""
    rng = np.random.default_rng(1)
    k = rng.normal(size=(70, 90, 3, 4)) + 1j * rng.normal(size=(70, 90, 3, 4))
    matrices = k @ k.conj().swapaxes(-1, -2)
    matrices[:8, :8] = k[:8, :8, :, :1] @ k[:8, :8, :, :1].conj().swapaxes(-1, -2)
    matrices[40, 40] = np.diag([1.0, 0.5, -0.2])
    folder = make_folder(tmp_path_factory.mktemp("varied") / "T3", "T3", matrices)
    return open_scene(folder, "airsar", derive="single-look")


@given(st.integers(0, 69), st.integers(0, 89), st.integers(1, 70), st.integers(1, 90))
@settings(max_examples=20, deadline=None)
def test_draws_do_not_depend_on_the_window(varied, row, column, height, width):
    """Bit for bit, whatever was read before."""
    window = Window(row, column, min(height, 70 - row), min(width, 90 - column))
    whole = _WHOLE.setdefault("values", varied.read().values)
    np.testing.assert_array_equal(varied.read(window).values, whole[:, window.rows, window.columns])


_WHOLE: dict[str, np.ndarray] = {}


def test_the_seed_makes_the_draw(tmp_path, make_folder):
    folder = make_folder(tmp_path / "C3", "C3", everywhere(LEXICOGRAPHIC, 40, 40))

    def draw(seed):
        return open_scene(folder, "airsar", derive="single-look", seed=seed).read().values

    np.testing.assert_array_equal(draw(3), draw(3))
    product = (draw(3)[0] * draw(4)[0].conj()).mean()
    assert abs(product) < 4 * LEXICOGRAPHIC[0, 0].real / np.sqrt(1600)
    with pytest.raises(ConfigError, match="C3: the seed of a draw must be 0 or more, got -1"):
        draw(-1)


def test_matrices_that_are_no_covariance_are_made_one_and_counted(tmp_path, make_folder, caplog):
    """Eigenvalues 1, 0.5, -0.2 become 1, 0.5, 0: the third component is never drawn."""
    turn = np.linalg.qr(np.array([[1, 2, 3], [4, 1j, 6], [1, 1, 2]], complex))[0]
    matrix = turn @ np.diag([1, 0.5, -0.2]) @ turn.conj().T
    make_folder(tmp_path / "C3", "C3", everywhere(matrix, 100, 100))
    with caplog.at_level(logging.INFO, "ringmoe.scenes"):
        hh, hv, _, vv = open_scene(tmp_path / "C3", "airsar", derive="single-look").read().values
    assert "10000 of 10000 matrices are not positive semi-definite" in caplog.text
    vector = turn.conj().T @ np.stack([hh, np.sqrt(2) * hv, vv]).reshape(3, -1).astype(complex)
    power = (np.abs(vector) ** 2).mean(1)
    assert np.abs(power[:2] - [1, 0.5]).max() < 4 / np.sqrt(10_000)
    assert power[2] < 1e-12
