"""Pooled and dense features of a backbone whose maps are known in closed form."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ringmoe.errors import ConfigError
from ringmoe.observation import Observation
from ringmoe.probing import dense_features, fit_to, observe, pooled_features
from ringmoe.sensors import Channel, Sensor


class BlockMeans(nn.Module):
    """A pyramid of block means of the input: level i is the mean over 4 * 2**i pixels."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.5)

    def forward(self, observations):
        return [
            tuple(self.dropout(self.gain * F.avg_pool2d(o.images, s)) for s in (4, 8, 16, 32))
            for o in observations
        ]


def rgb(images: torch.Tensor, valid: torch.Tensor | None = None) -> Observation:
    return Observation(images, "optical", ("red", "green", "blue"), valid)


def images(n: int, size: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_pooled_features_are_mean_and_deviation_of_every_map():
    """Of 4 levels with 3 channels: 24 features, in numpy's words the mean and std of each map."""
    x = images(5)
    got = pooled_features(BlockMeans(), [rgb(x[:2]), rgb(x[2:])])
    expected = []
    for stride in (4, 8, 16, 32):
        cells = x.numpy().reshape(5, 3, 64 // stride, stride, 64 // stride, stride).mean((3, 5))
        expected += [cells.mean((2, 3)), cells.std((2, 3))]
    np.testing.assert_allclose(got.numpy(), np.concatenate(expected, 1), atol=1e-5)


def test_cells_without_data_do_not_count():
    """An image padded to twice its width has the features of the image alone."""
    x = images(3)
    padded = F.pad(x, (0, 64), value=123.0)
    valid = torch.zeros(3, 1, 64, 128, dtype=torch.bool)
    valid[..., :64] = True
    got = pooled_features(BlockMeans(), [rgb(padded, valid)])
    torch.testing.assert_close(got, pooled_features(BlockMeans(), [rgb(x)]), rtol=1e-4, atol=1e-5)


def test_the_model_is_frozen_and_given_back_in_its_mode():
    model = BlockMeans().train()
    a, b = (pooled_features(model, [rgb(images(2))]) for _ in range(2))
    torch.testing.assert_close(a, b)  # dropout was off
    assert model.training
    assert not a.requires_grad


def test_dense_features_are_the_upsampled_maps():
    """Constant maps stay constant; the middle of a cell of the finest level keeps its value."""
    x = images(2)
    dense = dense_features(BlockMeans(), rgb(x))
    assert dense.shape == (2, 12, 64, 64)
    corner = F.avg_pool2d(x, 4)[:, :, 0, 0]
    torch.testing.assert_close(dense[:, :3, 0, 0], corner)  # outside the first cell's centre
    constant = dense_features(BlockMeans(), rgb(torch.full((1, 3, 64, 64), 2.5)))
    torch.testing.assert_close(constant, torch.full_like(constant, 2.5))


SENSOR = Sensor(
    name="test",
    title="test",
    modality="sar_complex",
    channels=(Channel("HH", "HH", "complex_amplitude", (-9, 9), 0.0, 2.0),),
)


def test_observe_splits_complex_values_and_zeroes_what_is_not_valid():
    """(4 + 2j) over the scale 2 is I = 2, Q = 1."""
    values = np.full((1, 1, 32, 32), 4 + 2j, np.complex64)
    valid = np.ones((1, 1, 32, 32), bool)
    valid[..., :3] = False
    observation = observe(values, SENSOR, valid=valid)
    assert observation.channel_names == ("HH_I", "HH_Q")
    assert observation.images[0, :, 0, 5].tolist() == [2.0, 1.0]
    assert observation.images[0, :, 0, 0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("size", "inside"), [(96, 64), (32, 32)])
def test_padding_and_cutting_keep_the_middle(size, inside):
    """64 px in 96: 16 px of padding on each side; 64 px in 32: the middle half, all valid."""
    x = images(1)
    fitted = fit_to(rgb(x), size)
    assert fitted.size == (size, size)
    low = (size - inside) // 2
    middle = fitted.images[..., low : low + inside, low : low + inside]
    start = (64 - inside) // 2
    assert torch.equal(middle, x[..., start : start + inside, start : start + inside])
    if size == 96:
        assert int(fitted.valid.sum()) == 64 * 64
        assert float(fitted.images.abs().sum()) == pytest.approx(float(x.abs().sum()), rel=1e-5)
    else:
        assert fitted.valid is None


def test_resizing_is_for_optical_only():
    assert fit_to(rgb(images(1)), 32, "resize").size == (32, 32)
    sar = Observation(torch.zeros(1, 1, 64, 64), "sar_amplitude", ("unknown",))
    with pytest.raises(ConfigError, match="speckle"):
        fit_to(sar, 32, "resize")


def test_features_can_be_trained_on():
    features = pooled_features(BlockMeans(), [rgb(images(4))])
    layer = nn.Linear(features.shape[1], 2)
    layer(features).sum().backward()
    assert layer.weight.grad is not None
