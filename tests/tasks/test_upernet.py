"""UPerNet against segmentation-models-pytorch's."""

import pytest
import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder as TheirDecoder
from tests.tasks.pyramids import SIZE, WIDTHS, pyramid
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from ringmoe.tasks.heads import UPerNet

CHANNELS, CLASSES = 10, 5


def ours_and_theirs() -> tuple[UPerNet, TheirDecoder, SegmentationHead]:
    """Both with batch norms (theirs has no layer norm on maps), and the same random weights.

    Both modules list their parts in the order norms, pooling, laterals, fusion; only laterals and
    3x3 convolutions of the pyramid go from coarse to fine there, and fine to coarse here.
    """
    torch.manual_seed(0)
    theirs = TheirDecoder((3, 4, *WIDTHS), encoder_depth=5, decoder_channels=CHANNELS).double()
    head = SegmentationHead(CHANNELS, CLASSES, kernel_size=1, upsampling=1).double()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours = UPerNet(WIDTHS, CLASSES, CHANNELS, norm=nn.BatchNorm2d).double()
    pairs = [
        (ours.decoder.norms, theirs.feature_norms),
        *zip(ours.decoder.pooling.branches, (b[1] for b in theirs.psp.blocks), strict=True),
        (ours.decoder.pooling.fuse, theirs.psp.out_conv),
        *zip(
            ours.decoder.laterals,
            (b.conv_norm_relu for b in reversed(theirs.fpn_lateral_blocks)),
            strict=True,
        ),
        *zip(ours.decoder.smooths, reversed(theirs.fpn_conv_blocks), strict=True),
        (ours.decoder.fuse, theirs.fusion_block),
        (ours.classify, head[0]),
    ]
    for mine, other in pairs:
        mine.load_state_dict(other.state_dict())
    return ours, theirs, head


@pytest.mark.parametrize("training", [False, True])
def test_upernet_is_segmentation_models_pytorchs(training):
    """The same scores at stride 4, gradients and running statistics, of two images.

    Their last resizing sets corners on corners, which moves pixels by up to 1.5; ours keeps their
    places, so the comparison resizes for both.
    """
    ours, theirs, head = ours_and_theirs()
    for module in (ours, theirs, head):
        module.train(training)
    maps = [level.requires_grad_() for level in pyramid(2)]
    expected = head(theirs([None, None, *maps]))
    expected = F.interpolate(expected, SIZE, mode="bilinear", align_corners=False)
    found = ours([maps], SIZE)
    assert expected.std() > 0.1
    assert_close(found, expected, atol=1e-9, rtol=1e-9)
    weight = torch.randn_like(found)
    for mine, other in zip(
        torch.autograd.grad((found * weight).sum(), maps),
        torch.autograd.grad((expected * weight).sum(), maps),
        strict=True,
    ):
        assert_close(mine, other, atol=1e-9, rtol=1e-9)
    assert_close(
        ours.decoder.fuse[1].running_var, theirs.fusion_block[1].running_var, atol=1e-9, rtol=1e-9
    )


def test_maps_smaller_than_the_pooling_grid_work():
    """An image of 32 pixels has one cell at stride 32, where grids of 6 x 6 are asked for."""
    head = UPerNet(WIDTHS, CLASSES, CHANNELS).double()
    maps = [
        torch.randn(1, w, s, s, dtype=torch.float64)
        for w, s in zip(WIDTHS, (8, 4, 2, 1), strict=True)
    ]
    assert head([maps], (32, 32)).isfinite().all()
