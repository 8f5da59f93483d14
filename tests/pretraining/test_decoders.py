"""The decoder against its definition."""

import torch
import torch.nn.functional as F

from ringmoe.pretraining.decoders import LinearDecoder


def test_each_pixel_is_its_own_linear_function_of_the_cell():
    """Pixel (i, j) of channel c in a cell is weight[c, i * stride + j] . features + bias."""
    generator = torch.Generator().manual_seed(0)
    decoder = LinearDecoder(5, 3, stride=4, generator=generator)
    torch.nn.init.normal_(decoder.bias, generator=generator)
    features = torch.randn(2, 5, 2, 3, generator=generator)
    found = decoder(features)
    assert found.shape == (2, 3, 8, 12)
    expected = decoder.weight[1, 3 * 4 + 2] @ features[1, :, 1, 2] + decoder.bias[1, 3 * 4 + 2]
    torch.testing.assert_close(found[1, 1, 4 + 3, 2 * 4 + 2], expected)


def test_rows_are_the_channels_they_name():
    decoder = LinearDecoder(5, 3, stride=4, generator=torch.Generator().manual_seed(0))
    features = torch.randn(2, 5, 1, 1, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(decoder(features, [2, 0]), decoder(features)[:, [2, 0]])
    decoder(features, [2]).sum().backward()
    assert F.l1_loss(decoder.weight.grad[:2], torch.zeros(2, 16, 5)) == 0
    assert decoder.weight.grad[2].abs().sum() > 0
