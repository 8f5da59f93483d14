"""RoI align of rotated boxes: what a feature map shows inside each, turned upright, at one size.

As RoI align of Mask R-CNN (He et al. 2017, arXiv:1703.06870), with the box's own axes in place of
the image's (Ding et al. 2019, arXiv:1812.00155).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ringmoe.errors import ShapeError


def rotated_roi_align(
    maps: Tensor, rois: Tensor, size: int, scale: float, *, sampling: int = 2
) -> Tensor:
    """The mean of a feature map in each of size x size bins of each rotated box.

    The columns go along the long edge in the direction of the angle, the rows a quarter turn
    clockwise from it as displayed: at angle 0 to the right and down, as
    `torchvision.ops.roi_align(aligned=True)`, to which it is then equal. Of each bin the mean of
    sampling x sampling points is taken, `(i + 1/2) / sampling` of the bin's edge from its
    beginning, interpolated bilinearly between pixels whose centres lie at one half (pixel 0 of a
    map spans 0 to 1). Points more than half a pixel outside the map are 0, those nearer take the
    map's border.

    Args:
        maps: `(B, C, H, W)`, floating point, on any device.
        rois: `(N, 6)`: index of the image in the batch, then cxcywhr in pixels of the image. The
            result is differentiable with respect to the maps, not to these.
        size: Bins along each edge.
        scale: Pixels of the map per pixel of the image: 1 / stride.
        sampling: Points along each edge of a bin.

    Returns:
        `(N, C, size, size)` of the maps' type.

    Raises:
        ShapeError: The RoIs are not (N, 6), the maps not (B, C, H, W).
    """
    if maps.ndim != 4 or rois.ndim != 2 or rois.shape[1] != 6:
        raise ShapeError(
            "rotated RoI align takes maps (B, C, H, W) and RoIs (N, 6), "
            f"got {tuple(maps.shape)} and {tuple(rois.shape)}"
        )
    images = rois[:, 0].long()
    points = _points(rois[:, 1:].detach().to(_precise(maps)), size * sampling) * scale
    # Without a RoI the result still depends on the maps, so that the batch trains like any other.
    parts, order = [maps[:0, :, :1, :1].expand(-1, -1, size, size)], [images[:0]]
    for image, one in enumerate(maps.split(1)):
        mine = (images == image).nonzero().squeeze(1)
        if len(mine):
            parts.append(F.avg_pool2d(_sample(one, points[mine]), sampling))
            order.append(mine)
    return torch.cat(parts)[torch.cat(order).argsort()]


def _points(boxes: Tensor, count: int) -> Tensor:
    """A count x count grid of points in each of `(N, 5)` boxes: `(N, count, count, 2)` x, y."""
    x, y, width, height, angle = boxes[:, :, None, None].unbind(1)
    steps = torch.arange(count, dtype=boxes.dtype, device=boxes.device)
    steps = (steps + 0.5) / count - 0.5
    along, down = width * steps, height * steps[:, None]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([x + along * cos + down * sin, y - along * sin + down * cos], dim=-1)


def _sample(one: Tensor, points: Tensor) -> Tensor:
    """The map `(1, C, H, W)` at `(N, K, K, 2)` points, in its pixels: `(N, C, K, K)`."""
    count, edge = points.shape[:2]
    extent = points.new_tensor([one.shape[3], one.shape[2]])
    grid = (2 * points / extent - 1).reshape(1, count * edge, edge, 2)
    inside = ((points >= -0.5) & (points <= extent + 0.5)).all(-1)
    values = F.grid_sample(
        one.to(points.dtype), grid, "bilinear", padding_mode="border", align_corners=False
    )
    values = values.reshape(-1, count, edge, edge).transpose(0, 1)
    return (values * inside[:, None]).to(one.dtype)


def _precise(maps: Tensor) -> torch.dtype:
    """The type to compute in: positions need 24 bits at least."""
    return torch.promote_types(maps.dtype, torch.float32)
