"""Gradients in cells against waves of known direction, and against NumPy."""

import math

import numpy as np
import pytest
import torch

from ringmoe.pretraining.gradients import (
    CELL,
    FLOOR,
    GRADIENT_CHANNELS,
    ORIENTATIONS,
    gradient_cells,
)


def everywhere(images):
    return torch.ones_like(images[:, :1], dtype=torch.bool)


@pytest.mark.parametrize("bin_number", range(ORIENTATIONS))
def test_a_ramp_has_one_orientation(bin_number):
    """x cos t + y sin t rises along t: all strength in the bin of t, of length 4.

    A central difference of a ramp of slope 1 is (2 cos t, 2 sin t): strength 2, away from the
    border.
    """
    angle = bin_number * math.pi / ORIENTATIONS
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    image = (columns * math.cos(angle) + rows * math.sin(angle))[None, None]
    inner = gradient_cells(image, everywhere(image))[0, :, 12, 12]
    expected = torch.zeros(ORIENTATIONS)
    expected[bin_number] = 4 * 2 / (2 + FLOOR)
    torch.testing.assert_close(inner[:-1], expected, rtol=1e-4, atol=1e-4)
    assert inner[-1].item() == pytest.approx(math.log(2 + FLOOR), rel=1e-4)
    assert GRADIENT_CHANNELS[bin_number] == f"gradient-{180 * bin_number / ORIENTATIONS:g}"


def test_equals_a_plain_count_in_numpy():
    """Pixel by pixel, two channels, against the two nearest of eight directions."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, CELL, CELL)).astype(np.float32)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    counts = np.zeros(ORIENTATIONS)
    for c in range(2):
        for i in range(CELL):
            for j in range(CELL):
                dx = padded[c, i + 1, j + 2] - padded[c, i + 1, j]
                dy = padded[c, i + 2, j + 1] - padded[c, i, j + 1]
                degrees = math.degrees(math.atan2(dy, dx)) % 180
                for k in range(ORIENTATIONS):
                    apart = abs(degrees - 22.5 * k)
                    apart = min(apart, 180 - apart)
                    counts[k] += math.hypot(dx, dy) * max(0, 1 - apart / 22.5)
    counts /= CELL**2
    length = np.linalg.norm(counts) + FLOOR
    expected = np.append(4 * counts / length, math.log(length))
    images = torch.from_numpy(image)[None]
    found = gradient_cells(images, everywhere(images))[0, :, 0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_mirrored_image_has_mirrored_orientations():
    """Left to right turns an angle t into 180 - t: bin k into bin -k."""
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = gradient_cells(image, everywhere(image))
    mirrored = gradient_cells(image.flip(-1), everywhere(image)).flip(-1)
    order = [(-k) % ORIENTATIONS for k in range(ORIENTATIONS)]
    torch.testing.assert_close(mirrored[:, order], found[:, :-1], rtol=1e-4, atol=1e-5)


def test_what_stands_in_pixels_without_data_does_not_matter():
    image = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    valid = everywhere(image)
    valid[..., :10, 5:20] = False
    disturbed = torch.where(valid, image, torch.tensor(1e4))
    found = gradient_cells(image, valid)
    assert found.isfinite().all()
    torch.testing.assert_close(gradient_cells(disturbed, valid), found)


def test_gain_of_amplitude_changes_nothing():
    """A constant added to a logarithm: the gradient by ratio does not see the calibration."""
    image = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    brighter = gradient_cells(image + 1.5, everywhere(image))
    expected = gradient_cells(image, everywhere(image))
    torch.testing.assert_close(brighter, expected, rtol=1e-3, atol=1e-4)
