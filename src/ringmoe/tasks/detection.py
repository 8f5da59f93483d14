"""Detection: objects as horizontal boxes with a class each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from ringmoe.boxes import ObjectBatch, Objects
from ringmoe.tasks.heads.detections import Detections, Selection
from ringmoe.tasks.task import Task, expect, register, share
from ringmoe.training import Terms

if TYPE_CHECKING:
    from ringmoe.tasks.object_metrics import OutputMetrics


@dataclass(frozen=True, kw_only=True)
class ObjectTask(Task):
    """What tasks whose labels are objects share.

    Attributes:
        channels: Of the head.
        score_threshold: Detections that are less sure are not given.
        nms_threshold: Of two detections of one class that overlap by more (IoU), only the better
            is given.
        most: At most so many detections an image.
        rotated: Whether boxes are cxcywhr, else xyxy.
    """

    best: ClassVar[str] = "map50"
    rotated: ClassVar[bool]

    channels: int = 64
    score_threshold: float = 0.05
    nms_threshold: float = 0.3
    most: int = 300

    def __post_init__(self) -> None:
        expect(self, "classes", len(self.classes) > 0, "one or more")
        expect(self, "classes", len(set(self.classes)) == len(self.classes), "all different")
        expect(self, "channels", self.channels > 0, "positive")
        expect(self, "score_threshold", 0 <= self.score_threshold < 1, "at least 0, below 1")
        expect(self, "nms_threshold", 0 < self.nms_threshold <= 1, "over 0, at most 1")
        expect(self, "most", self.most > 0, "positive")

    @property
    def selection(self) -> Selection:
        """Which of the head's boxes are given."""
        return Selection(self.score_threshold, self.nms_threshold, self.most)

    @property
    @abstractmethod
    def unit(self) -> str:
        """What the head's losses are means over: "images" or "objects"."""

    def counts(self, labels: ObjectBatch) -> Terms:
        """Images, and objects that are to be learnt."""
        objects = (~labels.ignored).sum().double()
        return {"images": objects.new_tensor(float(len(labels))), "objects": objects}

    def sums(self, output: Detections, labels: ObjectBatch) -> Terms:
        """What the head's losses add up to."""
        return output.losses(labels)

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """The sum of the head's losses, each over the images or the objects of the step."""
        parts = {name: share(value, counts[self.unit]) for name, value in sums.items()}
        total = torch.stack(list(parts.values())).sum()
        return {"loss": total, **{name: part.detach() for name, part in parts.items()}}

    def metrics(self) -> OutputMetrics:
        """Average precision: `map50`, `map` and others, `ap50_<class>` of each class."""
        from ringmoe.tasks.object_metrics import OutputMetrics

        return OutputMetrics(self.classes, self.rotated)

    def decode(self, output: Detections) -> list[Objects]:
        """The objects of each image, by falling score."""
        return output.objects()


@register
@dataclass(frozen=True, kw_only=True)
class Detection(ObjectTask):
    """torchvision's Faster R-CNN on the backbone's four maps.

    Attributes:
        anchor_sizes: Edges in pixels of the smallest square anchors at strides 4, 8, 16, 32; there
            are such of twice and four times the size too, each with half and double the height to
            the width besides.
    """

    name: ClassVar[str] = "detection"
    label_kind = "boxes"
    rotated: ClassVar[bool] = False

    nms_threshold: float = 0.5
    anchor_sizes: tuple[float, ...] = (8.0, 16.0, 32.0, 64.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_anchors(self, self.anchor_sizes)

    @property
    def unit(self) -> str:
        """Losses are means over the boxes that are drawn in an image, then over images."""
        return "images"

    def head(self, widths: Sequence[int]) -> nn.Module:
        """A `FasterRCNN`."""
        from ringmoe.tasks.heads.faster_rcnn import FasterRCNN

        return FasterRCNN(
            widths,
            len(self.classes),
            channels=self.channels,
            anchor_sizes=self.anchor_sizes,
            selection=self.selection,
        )


def check_anchors(task: Task, sizes: Sequence[float]) -> None:
    """Refuse sizes that are not one a level.

    Raises:
        ConfigError: They are not four, or not positive.
    """
    fits = len(sizes) == 4 and all(size > 0 for size in sizes)
    expect(task, "anchor_sizes", fits, "four positive numbers of pixels")
