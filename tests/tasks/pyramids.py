"""Pyramids as a backbone of 32 pixel stride gives them, and one small task of each kind."""

import torch

from ringmoe.tasks import Change, Classification, Height, Segmentation

WIDTHS = (8, 12, 16, 24)
SIZE = (64, 96)
CLASSES = ("water", "wood", "town")

TASKS = {
    "classification": Classification(classes=CLASSES),
    "classification-all": Classification(classes=CLASSES, pooling="all"),
    "segmentation": Segmentation(classes=CLASSES, channels=16, dice=0.5),
    "bit": Change(channels=16, method="bit", layers=2),
    "difference": Change(channels=16, dice=1.0),
    "bins": Height(channels=16, method="bins", bins=8, high=30.0),
    "regression": Height(channels=16, high=30.0),
}


def pyramid(batch: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Random maps `(batch, C_i, H / s_i, W / s_i)` at strides 4, 8, 16, 32."""
    generator = torch.Generator().manual_seed(seed)
    height, width = SIZE
    return [
        torch.randn(batch, channels, height // s, width // s, generator=generator, dtype=dtype)
        for channels, s in zip(WIDTHS, (4, 8, 16, 32), strict=True)
    ]


def pyramids(task, batch: int, dtype: torch.dtype = torch.float64) -> list[list[torch.Tensor]]:
    """One pyramid a date."""
    return [pyramid(batch, seed, dtype) for seed in range(task.dates)]


def head_of(task, dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    """A head of which every parameter is drawn at random, so that each matters."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(7)
    head = task.head(WIDTHS).to(dtype)
    with torch.no_grad():
        for parameter in head.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=dtype)
            parameter.add_(0.1 * noise)
    return head


def labels_of(task, batch: int, seed: int = 0) -> torch.Tensor:
    """Random labels, about a fifth of the pixels without one."""
    generator = torch.Generator().manual_seed(seed)
    if task.label_kind == "class":
        return torch.randint(0, len(task.classes), (batch,), generator=generator)
    unknown = torch.rand(batch, *SIZE, generator=generator) < 0.2
    if task.label_kind == "mask":
        labels = torch.randint(0, len(task.classes), (batch, *SIZE), generator=generator)
        return labels.masked_fill(unknown, -1)
    heights = 40 * torch.rand(batch, *SIZE, generator=generator, dtype=torch.float64) - 10
    return heights.clamp(min=0).masked_fill(unknown, torch.nan)  # a quarter is ground, at 0


def unlabelled_like(labels: torch.Tensor) -> torch.Tensor:
    """The same shape without a label."""
    return torch.full_like(labels, torch.nan if labels.is_floating_point() else -1)
