"""Ships and vehicles with torchvision's Faster R-CNN on a RingMoE encoder.

It trains for three steps on a simulated image, and detects in it:

    python examples/detection_faster_rcnn.py
"""

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

import ringmoe
from ringmoe.models import View
from ringmoe.sensors import get_sensor, normalise
from ringmoe.simulation import OBJECT_CLASSES, object_labels, observe_optical, simulate_landscape

SIZE = 128  # pixels


# --8<-- [start:head]
class PyramidBackbone(nn.Module):
    """What Faster R-CNN asks of a backbone: maps by name, all of `out_channels`."""

    def __init__(self, encoder: View, width: int = 64) -> None:
        super().__init__()
        self.encoder = encoder
        self.fpn = FeaturePyramidNetwork(encoder.out_channels, width)
        self.out_channels = width

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images `(B, C, H, W)` to maps at strides 4, 8, 16, 32."""
        return self.fpn({str(level): m for level, m in enumerate(self.encoder(images))})


def faster_rcnn(encoder: View, classes: int) -> FasterRCNN:
    """A detector of images that are normalised already; class 0 is background."""
    bands = len(encoder.channels)
    return FasterRCNN(
        PyramidBackbone(encoder),
        num_classes=1 + classes,
        min_size=SIZE,
        max_size=SIZE,
        image_mean=[0.0] * bands,
        image_std=[1.0] * bands,
        rpn_anchor_generator=AnchorGenerator(((4,), (8,), (16,), (32,)), ((0.5, 1.0, 2.0),) * 4),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=2),
    )


# --8<-- [end:head]


def main() -> dict[str, Tensor]:
    """Train, print the losses, and return the boxes of the image."""
    sensor = get_sensor("simulated-optical")
    scene = simulate_landscape(seed=7, size=SIZE, kind="harbour")
    values = observe_optical(scene, np.random.default_rng(0))
    image = torch.from_numpy(normalise(values, sensor.channels))
    objects = object_labels(scene)
    target = {
        "boxes": torch.tensor([thing["horizontal"] for thing in objects]),
        "labels": torch.tensor([1 + OBJECT_CLASSES.index(thing["class"]) for thing in objects]),
    }

    torch.manual_seed(0)  # the head's weights, and which of its proposals it learns from
    model = ringmoe.create_model("nano", modalities=["optical"], seed=0)
    net = faster_rcnn(model.view("optical", sensor.channels), len(OBJECT_CLASSES))
    optimiser = torch.optim.AdamW(net.parameters(), 1e-4)
    for _ in range(3):
        losses = net([image], [target])
        loss = sum(losses.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"loss {loss.item():.4f}")

    with torch.no_grad():
        (found,) = net.eval()([image])
    print("boxes:", tuple(found["boxes"].shape), "of", len(objects), "objects")
    return found


if __name__ == "__main__":
    main()
