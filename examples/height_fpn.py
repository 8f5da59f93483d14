"""Heights above ground with torchvision's FPN on a RingMoE encoder of SAR amplitude.

It trains for three steps on two simulated images, and maps them:

    python examples/height_fpn.py
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

import ringmoe
from ringmoe.models import View
from ringmoe.sensors import get_sensor, normalise
from ringmoe.simulation import observe_sar_amplitude, simulate_landscape


# --8<-- [start:head]
class HeightFPN(nn.Module):
    """Heights from the finest of the fused maps."""

    def __init__(self, encoder: View, width: int = 64) -> None:
        super().__init__()
        self.encoder = encoder
        self.fpn = FeaturePyramidNetwork(encoder.out_channels, width)
        self.head = nn.Sequential(nn.GroupNorm(8, width), nn.Conv2d(width, 1, kernel_size=1))

    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to heights `(B, 1, H, W)` in units of 10 m."""
        maps = self.fpn({str(level): m for level, m in enumerate(self.encoder(images))})
        return F.interpolate(self.head(maps["0"]), scale_factor=4, mode="bilinear")


# --8<-- [end:head]


def main() -> Tensor:
    """Train, print the losses, and return the heights in metres."""
    sensor = get_sensor("simulated-sar-amplitude")
    scenes = [simulate_landscape(seed, size=96, kind="industrial") for seed in (1, 2)]
    values = np.stack([observe_sar_amplitude(scene, np.random.default_rng(0)) for scene in scenes])
    images = torch.from_numpy(normalise(values, sensor.channels))
    metres = torch.from_numpy(np.stack([scene.height_above_ground for scene in scenes]))

    torch.manual_seed(0)  # the head's weights
    model = ringmoe.create_model("nano", modalities=["sar_amplitude"], seed=0)
    net = HeightFPN(model.view("sar_amplitude", sensor.channels))
    optimiser = torch.optim.AdamW(net.parameters(), 2e-5)
    for _ in range(3):
        loss = F.mse_loss(net(images)[:, 0], metres.float() / 10)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"loss {loss.item():.4f}")

    with torch.no_grad():
        heights = 10 * net.eval()(images)
    print("heights of pixels:", tuple(heights.shape))
    return heights


if __name__ == "__main__":
    main()
