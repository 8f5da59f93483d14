"""Single looks drawn from covariance matrices: what a single-look radar might have measured.

A multi-look product (T3, C3, C2) keeps the expected products of scattering amplitudes, not the
amplitudes. Under fully developed speckle these are circular complex Gaussian with just that
covariance (Goodman, Statistical properties of laser speckle patterns, 1975; Lee and Pottier 2009,
section 4.3), so a draw from it is a physically valid single look: one of the many that would have
given this average. It is a draw, not a measurement: neighbouring pixels are independent (a real
point-spread function correlates them) and the absolute phase is random.
"""

from __future__ import annotations

import numpy as np

BLOCK = 32  # rows and columns that share a random stream
_ROOT_HALF = np.sqrt(0.5)


def draw_single_looks(
    covariance: np.ndarray, valid: np.ndarray, kind: str, seed: int, block: tuple[int, int]
) -> tuple[np.ndarray, int]:
    """Scattering amplitudes of one block of pixels.

    Args:
        covariance: `(H, W, N, N)` complex, Hermitian; at most `BLOCK` rows and columns.
        valid: `(H, W)` bool; 0 is drawn where it is false.
        kind: The basis: "T3", "C3" or "C2".
        seed: Of the scene.
        block: The block's place in the scene, in blocks. The draw is a function of the seed, this
            place and the covariance alone, so every window that holds the block reads the same.

    Returns:
        `(P, H, W)` complex64, P = HH, HV, VH, VV for T3 and C3, the two polarisations for C2; and
        how many valid matrices had to be regularised.
    """
    height, width, order = covariance.shape[:3]
    matrices = np.where(valid[..., None, None], covariance, np.eye(order))
    factor, regularised = _factor(matrices)
    normal = np.random.default_rng([seed, *block]).standard_normal((BLOCK, BLOCK, order, 2))
    white = (normal[:height, :width] * _ROOT_HALF).view(np.complex128)  # E|w|^2 = 1
    vector = (factor @ white)[..., 0]
    looks = _scattering(np.moveaxis(vector, -1, 0), kind)
    return np.where(valid, looks, 0).astype(np.complex64), regularised


def hermitian(planes: np.ndarray, order: int) -> np.ndarray:
    """Matrices `(H, W, N, N)` complex128 of the planes `(N * N, H, W)` of a folder, in its order.

    The planes are the diagonal, then real and imaginary parts of the elements above it.
    """
    matrices = np.zeros((*planes.shape[1:], order, order), np.complex128)
    for i in range(order):
        matrices[..., i, i] = planes[i]
    rest = iter(planes[order:])
    for i in range(order):
        for j in range(i + 1, order):
            element = next(rest) + 1j * next(rest).astype(np.float64)
            matrices[..., i, j] = element
            matrices[..., j, i] = element.conj()
    return matrices


def _factor(matrices: np.ndarray) -> tuple[np.ndarray, int]:
    """F with F F^H = C, and how many C were not positive semi-definite.

    Those (rounding, calibration, interpolation) are replaced by the nearest matrix that is, in the
    Frobenius norm: negative eigenvalues become 0 (Higham, Linear Algebra Appl. 103, 1988).
    """
    try:
        return np.linalg.cholesky(matrices), 0
    except np.linalg.LinAlgError:  # one matrix is enough: eigenvectors serve the whole block
        values, vectors = np.linalg.eigh(matrices)
        # float32 planes: an eigenvalue of exactly 0 may come out as -1e-7 of the largest
        negative = values[..., 0] < -1e-6 * values[..., -1]
        return vectors * np.sqrt(np.maximum(values, 0))[..., None, :], int(negative.sum())


def _scattering(vector: np.ndarray, kind: str) -> np.ndarray:
    """Polarisations of a target vector `(N, H, W)`.

    T3: k = (HH + VV, HH - VV, 2 HV) / sqrt(2). C3: k = (HH, sqrt(2) HV, VV). The factors keep the
    power, |k|^2 = |HH|^2 + |HV|^2 + |VH|^2 + |VV|^2, and VH = HV (reciprocity).
    """
    if kind == "C2":
        return vector
    if kind == "T3":
        plus, minus, cross = vector * _ROOT_HALF
        return np.stack([plus + minus, cross, cross, plus - minus])
    return np.stack([vector[0], vector[1] * _ROOT_HALF, vector[1] * _ROOT_HALF, vector[2]])
