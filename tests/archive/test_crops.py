"""Crops, flips and turns: inside the data, as often as promised, and as they are named."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional as tv

from ringmoe.archive.collate import collate
from ringmoe.archive.crops import Crops, draw_crops
from ringmoe.sensors import get_sensor

SIDES = st.integers(1, 200)
RGB = get_sensor("rgb-dn8")


def draw(height=64, width=64, count=2000, **options) -> Crops:
    options = {"key": 3, "size": 32, "crop": "cut", "flip": True, "turns": True, **options}
    full = np.full(count, 1)
    return draw_crops(full * height, full * width, np.arange(count), **options)


@given(SIDES, SIDES, st.integers(1, 96), st.sampled_from(["cut", "resized", "centre"]))
def test_crops_stay_inside_the_data(height, width, size, crop):
    """A chip smaller than the crop is cut at its first row: the crop then holds all of it."""
    crops = draw(height, width, 50, size=size, crop=crop)
    assert (crops.rows >= 0).all() and (crops.columns >= 0).all()
    assert (crops.rows + np.minimum(crops.heights, height) <= height).all()
    assert (crops.columns + np.minimum(crops.widths, width) <= width).all()
    if crop == "resized":
        assert (crops.heights >= 1).all() and (crops.heights <= height).all()
        assert (crops.widths >= 1).all() and (crops.widths <= width).all()
    else:
        assert (crops.heights == size).all() and (crops.widths == size).all()


def test_every_place_is_equally_likely():
    """33 x 33 places of a 32 px crop in a 64 px tile; 2000 draws, mean 16 within 4 standard errors.

    The standard deviation of 33 equally likely values is sqrt((33^2 - 1) / 12) = 9.5.
    """
    crops = draw()
    for start in (crops.rows, crops.columns):
        assert start.min() == 0 and start.max() == 32
        assert abs(start.mean() - 16) < 4 * 9.5 / np.sqrt(2000)
    assert abs(crops.mirrored.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)
    assert (np.abs(np.bincount(crops.turns) / 2000 - 0.25) < 0.04).all()


def test_resized_takes_the_share_of_the_area_that_it_should():
    crops = draw(200, 200, crop="resized", area=(0.2, 0.5))
    share = crops.heights * crops.widths / 200**2
    aspect = crops.widths / crops.heights
    assert share.min() > 0.19 and share.max() < 0.51
    assert abs(share.mean() - 0.35) < 4 * 0.3 / np.sqrt(12 * 2000)
    assert aspect.min() > 0.74 and aspect.max() < 1.36
    assert abs(np.log(aspect).mean()) < 0.02


def test_centre_leaves_nothing_to_chance():
    crops = draw(70, 51, 10, crop="centre")
    assert (crops.rows == 19).all() and (crops.columns == 9).all()
    assert not crops.mirrored.any() and not crops.turns.any()


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
