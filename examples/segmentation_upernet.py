"""Land cover with the UPerNet of segmentation-models-pytorch on a RingMoE encoder.

It trains for three steps on two simulated images, and maps them:

    pip install segmentation-models-pytorch
    python examples/segmentation_upernet.py
"""

import numpy as np
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import Tensor, nn

import ringmoe
from ringmoe.models import View
from ringmoe.sensors import get_sensor, normalise
from ringmoe.simulation import LAND_COVER, observe_optical, simulate_landscape


# --8<-- [start:head]
class UPerNet(nn.Module):
    """A RingMoE encoder under the stock decoder and head."""

    def __init__(self, encoder: View, classes: int, width: int = 64) -> None:
        super().__init__()
        self.encoder = encoder
        # the decoder's list begins with maps at strides 1 and 2, which it does not look at
        self.decoder = UPerNetDecoder([0, 0, *encoder.out_channels], decoder_channels=width)
        self.head = SegmentationHead(width, classes, kernel_size=1, upsampling=4)

    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to class scores `(B, classes, H, W)`."""
        return self.head(self.decoder([images, images, *self.encoder(images)]))


# --8<-- [end:head]


def main() -> Tensor:
    """Train, print the losses, and return the maps of classes."""
    sensor = get_sensor("simulated-optical")
    landscapes = [simulate_landscape(seed, size=96) for seed in (1, 2)]
    values = np.stack([observe_optical(scene, np.random.default_rng(0)) for scene in landscapes])
    images = torch.from_numpy(normalise(values, sensor.channels))
    classes = torch.from_numpy(np.stack([scene.land_cover for scene in landscapes])).long()

    torch.manual_seed(0)  # the head's weights
    model = ringmoe.create_model("nano", modalities=["optical"], seed=0)
    net = UPerNet(model.view("optical", sensor.channels), len(LAND_COVER))
    optimiser = torch.optim.AdamW(net.parameters(), 1e-4)
    for _ in range(3):
        loss = F.cross_entropy(net(images), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"loss {loss.item():.4f}")

    with torch.no_grad():
        mapped = net.eval()(images).argmax(dim=1)
    print("classes of pixels:", tuple(mapped.shape))
    return mapped


if __name__ == "__main__":
    main()
