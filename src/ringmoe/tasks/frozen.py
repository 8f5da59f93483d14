"""What a backbone's frozen features know of labelled images: nothing of it is trained."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ringmoe.datasets import DataConfig, LabelledData, LabelledLoader, open_data, split_data
from ringmoe.errors import ConfigError
from ringmoe.models import PRESETS, RingMoE, create_model, load_model
from ringmoe.probing import few_shot, linear_probe, nearest_neighbours, pooled_features

Method = Literal["linear", "neighbours", "few-shot"]


def probe(
    checkpoint: str,
    data: DataConfig,
    method: Method = "linear",
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    size: int = 96,
    resize: bool = False,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> dict[str, Any]:
    """Score a backbone's features, pooled over each image, on classes of images.

    "linear" and "neighbours" learn from the training and validation parts and are scored on the
    test part; "few-shot" draws its episodes from the test part, or from all images without one.

    Args:
        checkpoint: A backbone's folder or hub id, a task's model, or a preset's name for random
            weights.
        data: Images with a class each.
        method: "linear": logistic regression; "neighbours": k nearest, by cosine; "few-shot":
            episodes of `ways` classes with `shots` labelled images each.
        ways: Classes of an episode.
        shots: Labelled images of each class.
        queries: Images of each class that are told apart.
        size: Height and width that images are cut or padded to, a multiple of 32.
        resize: Resample to `size` in place of cutting; never SAR.
        batch_size: Images at once.
        device: Where to compute.
        seed: Of random weights and of the episodes.

    Returns:
        `method`, `images` scored, `accuracy` 0 to 1; and what the method adds: `class_accuracy`
        and `choice`, or `interval` (half of the 95 % confidence interval) and `episodes`.

    Raises:
        ConfigError: There is no test part to score on, or a setting is not allowed.
        DatasetError: The images are not as described.
        CheckpointError: The checkpoint cannot be read.
    """
    examples = open_data(data, "class")
    parts = split_data(examples, data)
    modalities = [source.modality for source in examples.sources.values()]
    if checkpoint in PRESETS:
        model: RingMoE = create_model(checkpoint, modalities=modalities, seed=seed)
    else:
        model = load_model(checkpoint, modalities)
    model = model.to(device).eval()

    def features(indices: np.ndarray) -> tuple[Tensor, Tensor]:
        return _features(model, examples, indices, size, resize, batch_size)

    if method == "few-shot":
        scored = parts["test"] if len(parts["test"]) else np.arange(len(examples))
        generator = torch.Generator().manual_seed(seed)
        found = few_shot(
            *features(scored), ways=ways, shots=shots, queries=queries, generator=generator
        )
        return {"method": method, "images": len(scored), **asdict(found)}
    if not len(parts["test"]):
        raise ConfigError(
            "data.test: expected images to score on, got none: give it a share, "
            "e.g. --data.test 0.3"
        )
    known = np.concatenate([parts["train"], parts["validation"]])
    held = torch.arange(len(known)) >= len(parts["train"]) if len(parts["validation"]) else None
    score = linear_probe if method == "linear" else nearest_neighbours
    result = score(*features(known), *features(parts["test"]), validation=held)
    return {"method": method, "images": len(parts["test"]), **result.figures()}


def _features(
    model: RingMoE,
    examples: LabelledData,
    indices: np.ndarray,
    size: int,
    resize: bool,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """`(N, F)` features of an image, all sensors' side by side, and `(N,)` classes."""
    loader = LabelledLoader(
        examples,
        indices,
        batch_size=batch_size,
        crop_size=size,
        augment=False,
        shuffle=False,
        how="resize" if resize else "cut",
    )
    rows, labels = [], []
    for batch in loader.epoch():
        views = [pooled_features(model, [image]) for image in batch.observations.values()]
        rows.append(torch.cat(views, dim=1))
        assert isinstance(batch.labels, torch.Tensor)
        labels.append(batch.labels)
    return torch.cat(rows), torch.cat(labels)
