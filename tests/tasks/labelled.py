"""Small labelled images on disk whose task is easy, and a small backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tests.models.samples import randomise

from ringmoe.datasets import DataConfig
from ringmoe.models import ModelConfig, RingMoE, save_model
from ringmoe.tasks import FinetuneConfig

CONFIG = ModelConfig(
    image_size=32,
    embed_dim=8,
    depths=(1, 1, 1, 1),
    num_heads=(1, 1, 2, 2),
    window_size=4,
    modalities=("optical", "sar_amplitude"),
)


def make_backbone(seed: int = 0, **changes: object) -> RingMoE:
    """Every parameter drawn at random, so that each matters."""
    model = RingMoE(CONFIG.replace(**changes), torch.Generator().manual_seed(seed)).double()
    randomise(model, seed=seed + 3)
    return model.float().eval()


def write_backbone(folder: Path) -> Path:
    """A checkpoint of four stages, on disk."""
    return save_model(RingMoE(CONFIG, torch.Generator().manual_seed(0)), folder)


def write_images(folder: Path, count: int = 12, size: int = 32) -> DataConfig:
    """Red fields on green ones, and where they are: half of an image, on its left or right."""
    rng = np.random.default_rng(0)
    for number in range(count):
        picture = rng.integers(0, 40, (size, size, 3), np.uint8)
        mask = np.zeros((size, size), np.uint8)
        half = slice(0, size // 2) if number % 2 else slice(size // 2, size)
        mask[:, half] = 1
        picture[..., 0] += 180 * mask
        picture[..., 1] += 180 * (1 - mask)
        for part, values in (("images", picture), ("masks", mask)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / part / f"{number:02d}.png")
    return DataConfig(
        path=folder, sensor="rgb-dn8", classes=["green", "red"], validation=0.25, test=0.25
    )


def settings(start: Path, out: Path, **changes: object) -> FinetuneConfig:
    """A run of a few steps."""
    values: dict[str, object] = {
        "checkpoint": str(start),
        "out": out,
        "steps": 6,
        "batch_size": 4,
        "learning_rate": 0.32,  # for 256 images
        "warmup_steps": 2,
        "crop_size": 32,
        "evaluate_every": 2,
        "checkpoint_every": 2,
        "log_every": 1,
        "tensorboard": False,
        "device": "cpu",
        "options": {"channels": 8},
    }
    return FinetuneConfig(**(values | changes))  # type: ignore[arg-type]
