"""Crops of digital values as they enter a stem: image and validity move alike."""

import numpy as np
import torch
from torchvision.transforms import functional as tv

from ringmoe.archive.collate import collate
from ringmoe.sampling.crops import Crops
from ringmoe.sensors import get_sensor

RGB = get_sensor("rgb-dn8")


def one(digital, valid, size, **crop) -> tuple[np.ndarray, np.ndarray]:
    """A single image through `collate`, with normalisation undone."""
    values = {"rows": 0, "columns": 0, "heights": size, "widths": size, "mirrored": False}
    values |= {"turns": 0} | crop
    crops = Crops(**{name: np.array([value]) for name, value in values.items()})
    images, known = collate([(digital, valid)], crops, RGB.channels, RGB.encoding(), size)
    mean = np.array([c.mean for c in RGB.channels])[:, None, None]
    std = np.array([c.std for c in RGB.channels])[:, None, None]
    return images[0] * std + mean, known[0, 0]


def test_cut_flip_and_turn_move_image_and_mask_alike():
    rng = np.random.default_rng(0)
    digital = rng.integers(0, 255, (3, 40, 40), dtype=np.uint8)
    valid = rng.random((40, 40)) < 0.7
    image, known = one(digital, valid, 32, rows=3, columns=5, mirrored=True, turns=1)
    expected = np.rot90(digital[:, 3:35, 5:37][..., ::-1], axes=(1, 2))
    assert (known == np.rot90(valid[3:35, 5:37][:, ::-1])).all()
    np.testing.assert_allclose(image[:, known], expected[:, known], atol=1e-3)
    mean = np.array([c.mean for c in RGB.channels])
    np.testing.assert_allclose(image[:, ~known], np.tile(mean[:, None], (~known).sum()), atol=1e-3)


def test_resizing_is_that_of_torchvision():
    """Where all pixels are valid: bilinear, antialiased, as `resized_crop` does it."""
    rng = np.random.default_rng(0)
    digital = rng.integers(0, 255, (3, 90, 80), dtype=np.uint8)
    image, known = one(
        digital, np.ones((90, 80), bool), 32, rows=7, columns=9, heights=61, widths=47
    )
    reference = tv.resized_crop(torch.from_numpy(digital).float(), 7, 9, 61, 47, [32, 32])
    assert known.all()
    np.testing.assert_allclose(image, reference.numpy(), atol=1e-3)


def test_invalid_pixels_do_not_bleed_when_resizing():
    """A constant image of 200 with a hole: what is valid afterwards is still 200."""
    digital = np.full((3, 64, 64), 200, np.uint8)
    valid = np.ones((64, 64), bool)
    valid[20:40, 10:30] = False
    digital[:, ~valid] = 0
    image, known = one(digital, valid, 32, heights=64, widths=64)
    np.testing.assert_allclose(image[:, known], 200, atol=1e-3)
    assert abs((~known).sum() - 100) <= 4  # 20 x 20 pixels at half the size
