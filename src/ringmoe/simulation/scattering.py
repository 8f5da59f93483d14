"""Polarimetric covariance of materials, and random draws from it.

Freeman and Durden (1998, IEEE TGRS 36(3), doi:10.1109/36.673687): three mechanisms that do not
interfere, so that their covariances add. With reciprocity (HV = VH) and reflection symmetry
(co- and cross-polarised channels do not correlate) a covariance has four numbers:

    <|HH|^2> = fs |beta|^2 + fd |alpha|^2 + fv
    <|VV|^2> = fs          + fd           + fv
    <|HV|^2> =                              fv / 3
    <HH VV*> = fs beta     + fd alpha     + fv / 3

beta is the ratio of HH to VV of first-order Bragg scattering, alpha that of a reflection from
ground to wall and back, both from the permittivities and the angle of incidence.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ringmoe.simulation.materials import MATERIALS, Scattering

Array = np.ndarray

INCIDENCE = 35.0  # degrees, for which the materials' powers hold


def bragg_ratio(permittivity: complex, incidence: float) -> complex:
    """HH over VV of a slightly rough surface (first-order small perturbation, Rice 1951).

    Args:
        permittivity: Relative, of the surface.
        incidence: Degrees.
    """
    sine2 = math.sin(math.radians(incidence)) ** 2
    cosine = math.cos(math.radians(incidence))
    root = cmath.sqrt(permittivity - sine2)
    hh = (cosine - root) / (cosine + root)
    vv = (permittivity - 1) * (sine2 - permittivity * (1 + sine2))
    return hh * (permittivity * cosine + root) ** 2 / vv


def fresnel(permittivity: complex, incidence: float) -> tuple[complex, complex]:
    """Reflection coefficients of a plane for horizontal and vertical polarisation."""
    sine2 = math.sin(math.radians(incidence)) ** 2
    cosine = math.cos(math.radians(incidence))
    root = cmath.sqrt(permittivity - sine2)
    horizontal = (cosine - root) / (cosine + root)
    vertical = (permittivity * cosine - root) / (permittivity * cosine + root)
    return horizontal, vertical


def dihedral_ratio(ground: complex, wall: complex, incidence: float) -> complex:
    """HH over VV of a reflection from ground and wall, in the backscatter alignment.

    The ground is met at the angle of incidence, the wall at its complement. A metal dihedral
    gives -1: even bounces turn the sign of one polarisation.
    """
    horizontal_ground, vertical_ground = fresnel(ground, incidence)
    horizontal_wall, vertical_wall = fresnel(wall, 90 - incidence)
    return -(horizontal_ground * horizontal_wall) / (vertical_ground * vertical_wall)


@dataclass(frozen=True)
class Covariance:
    """Second moments of the scattering vector, numbers or rasters, in sigma nought.

    Attributes:
        hh: Mean of |HH|^2.
        hv: Mean of |HV|^2, which is that of |VH|^2.
        vv: Mean of |VV|^2.
        hhvv: Mean of HH times the conjugate of VV.
    """

    hh: Array
    hv: Array
    vv: Array
    hhvv: Array

    @classmethod
    def of(cls, scattering: Scattering, incidence: float = INCIDENCE) -> Covariance:
        """The covariance of a material."""
        surface, double, volume = (
            10 ** (decibel / 10)
            for decibel in (scattering.surface, scattering.double, scattering.volume)
        )
        beta = bragg_ratio(scattering.ground, incidence)
        alpha = dihedral_ratio(scattering.ground, scattering.wall, incidence)
        double /= abs(alpha) ** 2  # to the power in VV
        return cls(
            hh=np.asarray(surface * abs(beta) ** 2 + double * abs(alpha) ** 2 + volume),
            hv=np.asarray(volume / 3),
            vv=np.asarray(surface + double + volume),
            hhvv=np.asarray(surface * beta + double * alpha + volume / 3),
        )

    @classmethod
    def table(cls, rows: Iterable[Covariance]) -> Covariance:
        """Covariances stacked along a first axis."""
        rows = list(rows)
        return cls(
            *(np.array([getattr(row, name) for row in rows]) for name in ("hh", "hv", "vv", "hhvv"))
        )

    def matrix(self, noise: float = 0.0) -> Array:
        """Of (HH, HV, VH, VV), `(..., 4, 4)` complex, with a noise power in each channel."""
        zero = np.zeros_like(self.hh)
        rows = [
            [self.hh, zero, zero, self.hhvv],
            [zero, self.hv, self.hv, zero],
            [zero, self.hv, self.hv, zero],
            [np.conj(self.hhvv), zero, zero, self.vv],
        ]
        return np.moveaxis(np.array(rows, complex), (0, 1), (-2, -1)) + noise * np.eye(4)


# One row a material.
TABLE = Covariance.table(Covariance.of(material.radar) for material in MATERIALS)


def circular(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Circular complex Gaussian numbers of unit power, complex64."""
    parts = rng.standard_normal((*shape, 2), dtype=np.float32)
    return (parts * np.float32(math.sqrt(0.5))).view(np.complex64)[..., 0]


def single_look(covariance: Covariance, rng: np.random.Generator, noise: float = 0.0) -> Array:
    """One look at a distributed target: fully developed speckle with that covariance.

    A circular complex Gaussian vector per pixel (Goodman 1976), independent from pixel to pixel,
    by the Cholesky factor of the covariance, which reflection symmetry makes a formula.

    Args:
        covariance: Rasters `(H, W)`.
        rng: Source of speckle and noise.
        noise: Mean power of the additive noise, independent in the four channels (the noise
            equivalent sigma zero), linear.

    Returns:
        HH, HV, VH, VV, `(4, H, W)` complex64.
    """
    shape = np.shape(covariance.hh)
    first, second, cross = circular(rng, (3, *shape))
    hh, hv, vv, hhvv = (
        np.asarray(part) for part in (covariance.hh, covariance.hv, covariance.vv, covariance.hhvv)
    )
    shared = np.conj(hhvv) / np.sqrt(np.maximum(hh, 1e-30))
    rest = np.sqrt(np.maximum(vv - np.abs(shared) ** 2, 0))
    looks = np.empty((4, *shape), np.complex64)
    looks[0] = np.sqrt(hh) * first
    looks[1] = looks[2] = np.sqrt(hv) * cross
    looks[3] = shared * first + rest * second
    return looks + np.float32(math.sqrt(noise)) * circular(rng, (4, *shape))
