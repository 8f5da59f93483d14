"""An anchor-free detector of rotated boxes: every cell of a pyramid says what is centred on it.

After FCOS (Tian et al. 2019, arXiv:1904.01355), with these differences:

- A score is trained to be the overlap (IoU) of the cell's own box with the truth, and 0 in the
  background, by the quality focal loss (Li et al. 2020, arXiv:2006.04388): one number that ranks
  boxes by how well they lie, in place of a class and a centerness.
- An angle is a vector of twice the angle, so that it has no end at which it jumps, and boxes are
  compared as Gaussians (`ringmoe.boxes.gaussian_distance`), which know no order of edges. A
  Gaussian of a square has no direction: a small periodic loss of four times the angle gives it one.
- Which cells learn an object follows from its label alone: the 3 x 3 around its centre, on the
  finest level on which it measures at most `cells` cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ringmoe.boxes import ObjectBatch, Objects, gaussian_distance, paired_iou
from ringmoe.tasks.heads.blocks import ConvBlock, in_full
from ringmoe.tasks.heads.detections import (
    BoxLoss,
    Detections,
    Selection,
    check_finite,
    inside,
)
from ringmoe.tasks.heads.fpn import STRIDES, DetectionPyramid
from ringmoe.training import Terms

CELLS_OF_AN_OBJECT = 9
FIRST_SCORE = 0.01  # most cells are background: begin there (focal loss, Lin et al. 2017)
FIRST_EDGE = 4.0  # in cells
LARGEST = 4.0  # logarithm: edges of e^-4 to e^4 times the first
ANGLE_WEIGHT = 0.1
_CODES = 6  # centre x and y, long and short edge, cosine and sine of twice the angle


class OrientedFCOS(nn.Module):
    """The pyramid network, and on each of its maps one tower for scores and one for boxes.

    Args:
        widths: Channels of the backbone's maps, fine to coarse.
        classes: How many.
        channels: Of everything inside.
        depth: Convolutions of a tower.
        cells: How large an object may be on a level: the root of its area, in cells.
        box_loss: A kind of `ringmoe.boxes.gaussian_distance`.
        selection: Which boxes are given.
    """

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        *,
        channels: int,
        depth: int,
        cells: float,
        box_loss: BoxLoss,
        selection: Selection,
    ) -> None:
        super().__init__()
        self.cells, self.box_loss, self.selection = cells, box_loss, selection
        self.pyramid = DetectionPyramid(widths, channels)
        self.towers = nn.ModuleList(
            nn.Sequential(*(ConvBlock(channels, channels, 3) for _ in range(depth)))
            for _ in range(2)
        )
        self.score = nn.Conv2d(channels, classes, 3, padding=1)
        self.box = nn.Conv2d(channels, _CODES, 3, padding=1)
        with torch.no_grad():
            for layer in (self.score, self.box):
                layer.weight.normal_(std=0.01)
            assert self.score.bias is not None and self.box.bias is not None
            self.score.bias.fill_(-math.log(1 / FIRST_SCORE - 1))
            self.box.bias.copy_(torch.tensor([0.0, 0, 0, 0, 1, 0]))

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> FCOSDetections:
        """Scores and boxes of every cell of the only pyramid."""
        (pyramid,) = pyramids
        maps = self.pyramid(pyramid)
        score_tower, box_tower = self.towers
        scores = [in_full(self.score(score_tower(level))) for level in maps]
        codes = [in_full(self.box(box_tower(level))) for level in maps]
        return FCOSDetections(
            scores=torch.cat([level.flatten(2) for level in scores], 2).transpose(1, 2),
            codes=torch.cat([level.flatten(2) for level in codes], 2).transpose(1, 2),
            shapes=tuple((level.shape[2], level.shape[3]) for level in maps),
            cells=self.cells,
            box_loss=self.box_loss,
            selection=self.selection,
        )


@dataclass(frozen=True, eq=False)
class FCOSDetections(Detections):
    """What every cell says, level after level, row after row: L cells an image.

    Attributes:
        scores: `(B, L, K)` logits.
        codes: `(B, L, 6)`, see `decode`.
        shapes: Rows and columns of each level.
        cells: See `OrientedFCOS`.
        box_loss: See `OrientedFCOS`.
        selection: Which boxes are given.
    """

    scores: Tensor
    codes: Tensor
    shapes: tuple[tuple[int, int], ...]
    cells: float
    box_loss: BoxLoss
    selection: Selection

    def losses(self, labels: ObjectBatch) -> Terms:
        """Sums over images, divided by the 9 cells of an object: divide them by the objects.

        Returns:
            `score`: quality focal loss of all cells but those in ignored objects; `box`: Gaussian
            distance; `angle`: of squares too.
        """
        grid = grid_of(self.shapes, self.codes)
        place, which = assign(labels, self.shapes, self.cells)
        predicted = decode(self.codes.flatten(0, 1)[place], grid[place % len(grid)])
        truth = labels.boxes[which].to(predicted.dtype)
        quality = paired_iou(predicted.detach(), truth).to(predicted.dtype)
        scores = self.scores.flatten(0, 1)
        learnt = ~in_ignored(labels, grid).flatten()
        learnt[place] = True
        target = torch.zeros_like(scores).flatten()
        index = place * scores.shape[1] + labels.classes[which]
        target = target.scatter_reduce(0, index, quality, "amax").view_as(scores)
        sums = {
            "score": (quality_focal(scores, target) * learnt[:, None]).sum(),
            "box": gaussian_distance(predicted, truth, self.box_loss).sum(),
            "angle": ANGLE_WEIGHT * (1 - (4 * (predicted[:, 4] - truth[:, 4])).cos()).sum() / 2,
        }
        return {name: value / CELLS_OF_AN_OBJECT for name, value in sums.items()}

    @torch.no_grad()
    def objects(self) -> list[Objects]:
        """Boxes of all levels together."""
        check_finite(self.codes, self.scores)
        boxes = decode(self.codes, grid_of(self.shapes, self.codes))
        return [
            self.selection.of(*of_image)
            for of_image in zip(boxes, self.scores.sigmoid(), strict=True)
        ]


def grid_of(shapes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    """Of every cell the centre in pixels and the stride: `(L, 3)`."""
    levels = []
    for (rows, columns), stride in zip(shapes, STRIDES, strict=True):
        y = (torch.arange(rows, device=like.device, dtype=like.dtype) + 0.5) * stride
        x = (torch.arange(columns, device=like.device, dtype=like.dtype) + 0.5) * stride
        here = torch.stack([x.repeat(rows), y.repeat_interleave(columns)], 1)
        levels.append(F.pad(here, (0, 1), value=float(stride)))
    return torch.cat(levels)


def decode(codes: Tensor, grid: Tensor) -> Tensor:
    """Boxes of what cells say.

    Args:
        codes: `(..., 6)`: from the cell's centre to the box's, in cells; logarithms of the long and
            short edge over 4 cells; a vector that points along twice the angle.
        grid: `(..., 3)`: the cells' centres and strides, in pixels.

    Returns:
        `(..., 5)` cxcywhr, not necessarily canonical.
    """
    stride = grid[..., 2:]
    centre = grid[..., :2] + codes[..., :2] * stride
    edges = FIRST_EDGE * stride * codes[..., 2:4].clamp(-LARGEST, LARGEST).exp()
    angle = torch.atan2(codes[..., 5:], codes[..., 4:5]) / 2
    return torch.cat([centre, edges, angle], -1)


def assign(
    labels: ObjectBatch, shapes: Sequence[tuple[int, int]], cells: float
) -> tuple[Tensor, Tensor]:
    """Which cells learn which object.

    The 3 x 3 around the centre, on the level of the object's size; the nearest cell of the image
    where a centre lies outside. A cell that two objects claim goes to the one whose centre is
    nearer.

    Args:
        labels: With boxes `(M, 5)`; ignored ones get no cell.
        shapes: Rows and columns of each level.
        cells: See `OrientedFCOS`.

    Returns:
        `(P,)` cells, counted through all images, L an image, and `(P,)` objects of `labels`.
    """
    device = labels.boxes.device
    which = (~labels.ignored).nonzero().squeeze(1)
    boxes = labels.boxes[which].double()
    first = torch.tensor([0, *(r * c for r, c in shapes)], device=device).cumsum(0)
    size = boxes[:, 2:4].prod(1).clamp(min=1e-6).sqrt()
    level = (size / (cells * STRIDES[0])).log2().ceil().long().clamp(0, len(shapes) - 1)
    extent = torch.tensor(shapes, device=device).flip(1)[level]  # columns, rows
    centre = boxes[:, :2] / torch.tensor(STRIDES, device=device)[level, None]
    steps = torch.arange(-1, 2, device=device)
    around = torch.cartesian_prod(steps, steps)
    near = centre.floor().long().clamp(min=torch.zeros_like(extent), max=extent - 1)
    cell = near[:, None] + around  # (M, 9, 2): column, row
    within = ((cell >= 0) & (cell < extent[:, None])).all(-1)
    distance = (cell + 0.5 - centre[:, None]).square().sum(-1)[within]
    place = labels.images[which] * first[-1] + first[level]
    place = (place[:, None] + cell[..., 1] * extent[:, None, 0] + cell[..., 0])[within]
    nearest = distance.new_full((len(labels) * int(first[-1]),), math.inf)
    nearest = nearest.scatter_reduce(0, place, distance, "amin")
    won = distance == nearest[place]
    return place[won], which[:, None].expand(within.shape)[within][won]


def in_ignored(labels: ObjectBatch, grid: Tensor) -> Tensor:
    """Which cells have their centre in an ignored object: `(B, L)` bool."""
    covered = inside(grid[:, :2], labels.boxes[labels.ignored].to(grid.dtype))
    counts = grid.new_zeros(len(labels), len(grid))
    return counts.index_add(0, labels.images[labels.ignored], covered.to(grid.dtype)) > 0


def quality_focal(scores: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with a quality in [0, 1], times the squared error (Li et al. 2020, beta 2)."""
    entropy = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
    return (target - scores.sigmoid()).square() * entropy
