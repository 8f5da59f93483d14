"""A-ConvNet, the small convolutional network that MSTAR is known by, trained beside ours.

Chen, Wang, Xu and Jin 2016, "Target classification using the deep convolutional networks for SAR
images", IEEE TGRS 54 (8), doi:10.1109/TGRS.2016.2551720: five convolutions without padding, three
poolings, no dense layer; published at 99.13 % on the standard operating condition.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 88  # of a patch, cut at random from a chip in training and from its middle in the test


def a_convnet(classes: int) -> nn.Sequential:
    """`(B, 1, 88, 88)` to scores `(B, classes)`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.5), nn.Conv2d(64, 128, 5), nn.ReLU(),
        nn.Conv2d(128, classes, 3), nn.Flatten(),
    )  # fmt: skip


def train_a_convnet(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int,
    epochs: int,
    seed: int,
    batch_size: int = 100,
    rate: float = 1e-3,
) -> nn.Module:
    """By AdamW, whose rate falls as a half cosine.

    Args:
        images: `(N, H, W)` normalised.
        labels: `(N,)` int64.
        classes: How many.
        epochs: Times that each image is seen.
        seed: Of weights, order and patches.
        batch_size: Images of a step.
        rate: First learning rate.
    """
    torch.manual_seed(seed)
    net = a_convnet(classes)
    solver = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.05)
    rng = np.random.default_rng(seed)
    steps = epochs * -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(solver, steps)
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = torch.from_numpy(_cut(images[chosen], rng))
            loss = F.cross_entropy(net(batch), torch.from_numpy(labels[chosen]))
            solver.zero_grad()
            loss.backward()
            solver.step()
            schedule.step()
    return net.eval()


@torch.inference_mode()
def predict(net: nn.Module, images: np.ndarray) -> Tensor:
    """The class of each image's middle, `(N,)`."""
    parts = np.array_split(images, max(1, len(images) // 250))
    return torch.cat([net(torch.from_numpy(_cut(part, None))).argmax(1) for part in parts])


def _cut(images: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    free = np.array(images.shape[1:]) - SIZE
    corners = (
        np.tile(free // 2, (len(images), 1))
        if rng is None
        else rng.integers(0, free + 1, (len(images), 2))
    )
    return np.stack(
        [image[r : r + SIZE, c : c + SIZE] for image, (r, c) in zip(images, corners, strict=True)]
    )[:, None].astype(np.float32)
