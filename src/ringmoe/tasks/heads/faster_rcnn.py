"""torchvision's Faster R-CNN as a head: its region proposals and its second stage.

Ren et al. 2015 (arXiv:1506.01497), on a feature pyramid (Lin et al. 2017). Other than there, losses
are means over each image's own boxes, so that an image's part does not depend on the others of its
batch; what torchvision draws follows from the image's name and visit; and ignored objects are
neither learnt nor background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign

from ringmoe.boxes import ObjectBatch, Objects
from ringmoe.models.products import without_autocast
from ringmoe.tasks.heads.blocks import in_full
from ringmoe.tasks.heads.detections import (
    CANDIDATES,
    DOUBT,
    Detections,
    Selection,
    check_finite,
    covered,
    seeded,
)
from ringmoe.tasks.heads.fpn import ANCHORS, RESOLUTION, STRIDES, DetectionPyramid, make_anchors
from ringmoe.training import Terms

PROPOSALS = {"training": 1000, "testing": 500}  # of an image, after suppression
OVERLAP = 0.7  # of two proposals that overlap by more, only the better
ANCHORS_DRAWN, PROPOSALS_DRAWN = 256, 128  # of an image, to learn from
IGNORED = -1
LOSSES = ("objectness", "proposal_box", "class", "box")


class FasterRCNN(nn.Module):
    """The pyramid network, region proposals and the second stage.

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
        self.pyramid = DetectionPyramid(widths, channels)
        levels = [str(level) for level in range(len(STRIDES))]
        self.rpn = _Proposals(
            make_anchors(anchor_sizes),
            RPNHead(channels, ANCHORS),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=ANCHORS_DRAWN,
            positive_fraction=0.5,
            pre_nms_top_n=CANDIDATES,
            post_nms_top_n=PROPOSALS,
            nms_thresh=OVERLAP,
            score_thresh=DOUBT,
        )
        hidden = 4 * channels
        self.second = _SecondStage(
            MultiScaleRoIAlign(levels, RESOLUTION, sampling_ratio=2),
            TwoMLPHead(channels * RESOLUTION**2, hidden),
            FastRCNNPredictor(hidden, classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=PROPOSALS_DRAWN,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=selection.score,
            nms_thresh=selection.overlap,
            detections_per_img=selection.most,
        )

    def forward(
        self,
        pyramids: Sequence[Sequence[Tensor]],
        size: tuple[int, int],
        valid: Tensor | None = None,
    ) -> FasterRCNNDetections:
        """The pyramid's maps: which boxes are looked at further depends on what is asked."""
        (pyramid,) = pyramids
        return FasterRCNNDetections(self, [in_full(x) for x in self.pyramid(pyramid)], size)


@dataclass(frozen=True, eq=False)
class FasterRCNNDetections(Detections):
    """Maps `(B, C, H / stride, W / stride)` of images of `size`, and the head they are for."""

    head: FasterRCNN
    maps: Sequence[Tensor]
    size: tuple[int, int]

    def losses(self, labels: ObjectBatch) -> Terms:
        """Sums over images of each image's means: divide them by the images."""
        self.head.rpn.train()  # tells torchvision what is asked
        self.head.second.train()
        total = [self.maps[0].new_zeros(()) for _ in LOSSES]
        with without_autocast(self.maps[0]):
            for number, about in enumerate(zip(labels.names, labels.draws, strict=True)):
                with seeded(*about, self.maps[0].device):
                    own = self._losses_of(number, labels)
                total = [a + b for a, b in zip(total, own, strict=True)]
        return dict(zip(LOSSES, total, strict=True))

    def _losses_of(self, number: int, labels: ObjectBatch) -> tuple[Tensor, ...]:
        images, maps = self._inputs(slice(number, number + 1))
        target = _target(number, labels)
        proposals, first = self.head.rpn(images, maps, [target])
        second = self.head.second.losses(maps, proposals, images.image_sizes, [target])
        return first["loss_objectness"], first["loss_rpn_box_reg"], *second

    @torch.no_grad()
    def objects(self) -> list[Objects]:
        """What torchvision selects by scores, thresholds and class-wise suppression."""
        self.head.rpn.eval()
        self.head.second.eval()
        with without_autocast(self.maps[0]):
            images, maps = self._inputs(slice(None))
            proposals, _ = self.head.rpn(images, maps)
            found, _ = self.head.second(maps, proposals, images.image_sizes)
        return [_objects(image) for image in found]

    def _inputs(self, which: slice) -> tuple[ImageList, dict[str, Tensor]]:
        maps = {str(level): x[which] for level, x in enumerate(self.maps)}
        count = len(maps["0"])
        pixels = self.maps[0].new_empty(count, 0, *self.size)  # only their size is looked at
        return ImageList(pixels, [self.size] * count), maps


class _Proposals(RegionProposalNetwork):
    """torchvision's, of targets in which the label -1 is an ignored object."""

    def assign_targets_to_anchors(self, anchors: Any, targets: Any) -> tuple[Any, Any]:
        real = [{"boxes": t["boxes"][t["labels"] != IGNORED]} for t in targets]
        labels, matched = super().assign_targets_to_anchors(anchors, real)
        for own, boxes, target in zip(labels, anchors, targets, strict=True):
            ignored = target["boxes"][target["labels"] == IGNORED]
            own[(own == 0) & covered(boxes, ignored)] = IGNORED
        return labels, matched

    def filter_proposals(
        self, proposals: Tensor, objectness: Tensor, image_shapes: Any, num_anchors: Any
    ) -> tuple[Any, Any]:
        if not self.training:
            check_finite(proposals, objectness)
        return super().filter_proposals(proposals, objectness, image_shapes, num_anchors)

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: Any, regression_targets: Any
    ) -> tuple[Tensor, Tensor]:
        if not any((own != IGNORED).any() for own in labels):  # a mean over nothing is NaN
            return objectness.sum() * 0, pred_bbox_deltas.sum() * 0
        return super().compute_loss(objectness, pred_bbox_deltas, labels, regression_targets)


class _SecondStage(RoIHeads):
    """torchvision's, of targets in which the label -1 is an ignored object."""

    def losses(
        self, maps: Any, proposals: Any, sizes: Any, targets: list[dict[str, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Of classes and of boxes, means over what is drawn."""
        drawn, _, labels, boxes = self.select_training_samples(proposals, targets)
        features = self.box_head(self.box_roi_pool(maps, drawn, sizes))
        scores, codes = self.box_predictor(features)
        if not len(scores):
            return scores.sum(), codes.sum()
        return fastrcnn_loss(scores, codes, labels, boxes)

    def postprocess_detections(
        self, class_logits: Tensor, box_regression: Tensor, proposals: Any, image_shapes: Any
    ) -> tuple[Any, Any, Any]:
        check_finite(class_logits, box_regression)
        return super().postprocess_detections(class_logits, box_regression, proposals, image_shapes)

    def assign_targets_to_proposals(
        self, proposals: Any, gt_boxes: Any, gt_labels: Any
    ) -> tuple[Any, Any]:
        real = [(labels != IGNORED).nonzero().squeeze(1) for labels in gt_labels]
        matched, labels = super().assign_targets_to_proposals(
            proposals,
            [boxes[index] for boxes, index in zip(gt_boxes, real, strict=True)],
            [own[index] for own, index in zip(gt_labels, real, strict=True)],
        )
        for image, index in enumerate(real):
            own, ignored = labels[image], gt_boxes[image][gt_labels[image] == IGNORED]
            own[(own == 0) & covered(proposals[image], ignored)] = IGNORED
            if len(index):
                matched[image] = index[matched[image]]
        return matched, labels


def _target(number: int, labels: ObjectBatch) -> dict[str, Tensor]:
    """As torchvision has them: background is class 0."""
    mine = labels.images == number
    kinds = torch.where(labels.ignored, IGNORED, labels.classes + 1)
    return {"boxes": labels.boxes[mine], "labels": kinds[mine]}


def _objects(found: dict[str, Tensor]) -> Objects:
    return Objects(
        boxes=found["boxes"].double().cpu().numpy(),
        classes=(found["labels"] - 1).cpu().numpy(),
        scores=found["scores"].double().cpu().numpy(),
    )
