"""Statistics without a network against numpy."""

import numpy as np
import torch

from ringmoe.probing import image_statistics, neighbourhood_statistics


def test_image_statistics_are_numpys():
    """Mean, std and histogram exactly; percentiles to one of the 256 levels."""
    images = torch.randint(0, 256, (4, 2, 30, 40), generator=torch.Generator().manual_seed(0))
    got = image_statistics(images, 0, 256).view(4, 2, 23).numpy()
    pixels = images.numpy().reshape(4, 2, -1)
    np.testing.assert_allclose(got[..., 0], pixels.mean(2), rtol=1e-5)
    np.testing.assert_allclose(got[..., 1], pixels.std(2), rtol=1e-5)
    percentiles = np.moveaxis(np.percentile(pixels, [5, 25, 50, 75, 95], axis=2), 0, 2)
    np.testing.assert_allclose(got[..., 2:7], percentiles, atol=1.01)
    for i in range(4):
        for c in range(2):
            counts = np.histogram(pixels[i, c], bins=16, range=(0, 256))[0]
            np.testing.assert_allclose(got[i, c, 7:] ** 2, counts / 1200, atol=1e-6)


def test_neighbourhood_statistics_are_those_of_the_window():
    """At an inner pixel the 5 x 5 window; in the corner the 3 x 3 pixels of it that exist."""
    images = torch.randn(2, 1, 20, 20, generator=torch.Generator().manual_seed(0)) + 100
    got = neighbourhood_statistics(images, window=5)
    offset = images.mean()
    for row, column in [(10, 7), (0, 0)]:
        window = images[1, 0, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        value, mean, deviation = got[1, :, row, column]
        torch.testing.assert_close(value + offset, images[1, 0, row, column])
        torch.testing.assert_close(mean + offset, window.mean())
        torch.testing.assert_close(deviation, window.std(correction=0), rtol=1e-4, atol=1e-4)
