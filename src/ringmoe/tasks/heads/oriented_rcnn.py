"""Oriented R-CNN: rotated proposals from horizontal anchors, read along their own axes, refined.

Xie et al. 2021 (arXiv:2108.05699). As in the Faster R-CNN here, losses are means over each image's
own boxes, what is drawn follows from the image's name and visit, and ignored objects are neither
learnt nor background. Boxes are refined alike for all classes. Objects of a few pixels are near to
few anchors and to no proposal at first: hence what `rotated_proposals` does otherwise than the
paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList

from ringmoe.boxes import rotated_roi_align
from ringmoe.tasks.heads.blocks import in_full
from ringmoe.tasks.heads.detections import Selection
from ringmoe.tasks.heads.fpn import ANCHORS, RESOLUTION, STRIDES, DetectionPyramid, make_anchors
from ringmoe.tasks.heads.rotated_proposals import OrientedRCNNDetections

FINEST = 112.0  # proposals up to so many pixels (root of the area) are read at stride 4, as in FPN


class OrientedRCNN(nn.Module):
    """The pyramid network, rotated proposals and the second stage.

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        classes: How many, without background.
        channels: Of the pyramid; the second stage has four times as many.
        anchor_sizes: Pixels, one a level.
        selection: Which boxes are given.
    """

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        *,
        channels: int,
        anchor_sizes: Sequence[float],
        selection: Selection,
    ) -> None:
        super().__init__()
        self.selection = selection
        self.pyramid = DetectionPyramid(widths, channels)
        self.anchors = make_anchors(anchor_sizes)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, ANCHORS, 1)
        self.midpoints = nn.Conv2d(channels, 6 * ANCHORS, 1)
        hidden = 4 * channels
        self.second = TwoMLPHead(channels * RESOLUTION**2, hidden)
        self.classify = nn.Linear(hidden, classes + 1)  # background is the first
        self.refine = nn.Linear(hidden, 5)
        for layer in (self.conv, self.objectness, self.midpoints):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> OrientedRCNNDetections:
        """Maps, and what the first stage says of every anchor."""
        (pyramid,) = pyramids
        maps = self.pyramid(pyramid)
        seen = [F.relu(self.conv(level)) for level in maps]
        objectness = [_by_anchor(self.objectness(level), 1) for level in seen]
        maps = [in_full(level) for level in maps]
        images = ImageList(maps[0].new_empty(1, 0, *size), [size])
        return OrientedRCNNDetections(
            head=self,
            maps=maps,
            size=size,
            anchors=self.anchors(images, maps)[0],
            objectness=torch.cat(objectness, 1).squeeze(2),
            codes=torch.cat([_by_anchor(self.midpoints(level), 6) for level in seen], 1),
            counts=tuple(level.shape[1] for level in objectness),
        )

    def look(self, maps: Sequence[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """The second stage.

        Args:
            maps: Of the pyramid.
            rois: `(R, 6)`: the image's number and a rotated box.

        Returns:
            `(R, K + 1)` logits and `(R, 5)` refinements of the boxes.
        """
        size = rois[:, 3:5].prod(1).clamp(min=1e-6).sqrt()
        level = (size / FINEST).log2().floor().long().add(1).clamp(0, len(maps) - 1)
        shape = (len(rois), maps[0].shape[1], RESOLUTION, RESOLUTION)
        features = maps[0].new_zeros(shape)
        for number, (values, stride) in enumerate(zip(maps, STRIDES, strict=True)):
            mine = (level == number).nonzero().squeeze(1)
            part = rotated_roi_align(values, rois[mine], RESOLUTION, 1 / stride)
            features = features.index_copy(0, mine, part)
        hidden = self.second(features)
        return self.classify(hidden), self.refine(hidden)


def _by_anchor(x: Tensor, numbers: int) -> Tensor:
    """`(B, A * n, H, W)` to `(B, H * W * A, n)`, as torchvision orders anchors."""
    return in_full(x).unflatten(1, (-1, numbers)).permute(0, 3, 4, 1, 2).flatten(1, 3)
