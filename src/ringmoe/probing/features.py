"""Features of a frozen backbone, pooled per image or dense per pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ringmoe.observation import Observation


def pooled_features(model: nn.Module, observations: Iterable[Observation]) -> Tensor:
    """Mean and standard deviation over the positions of every map of the pyramid.

    All four stages, because after a short pre-training the last one alone hardly beats random
    weights. Cells without data do not count; cells partly without data count in part.

    Args:
        model: Takes a list of Observations, gives one pyramid of maps `(B, C_i, H_i, W_i)` each.
        observations: Batches of images, of any sizes.

    Returns:
        `(N, 2 * sum(C_i))` float32 on the CPU: for each stage the means, then the deviations.
    """
    with _frozen(model):
        return torch.cat([_pool(pyramid, o.valid) for o, pyramid in _encode(model, observations)])


def dense_features(model: nn.Module, observation: Observation) -> Tensor:
    """All maps of the pyramid, upsampled (bilinear) to the image's size and concatenated.

    Args:
        model: As in `pooled_features`.
        observation: One batch of images.

    Returns:
        `(B, sum(C_i), H, W)` float32.
    """
    with _frozen(model):
        ((_, pyramid),) = _encode(model, [observation])
        return torch.cat(
            [
                F.interpolate(level.float(), observation.size, mode="bilinear", align_corners=False)
                for level in pyramid
            ],
            dim=1,
        )


def _encode(
    model: nn.Module, observations: Iterable[Observation]
) -> Iterator[tuple[Observation, Sequence[Tensor]]]:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    for observation in observations:
        (pyramid,) = model([observation.to(device)])
        yield observation, pyramid


def moments(level: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and variance of a map over its positions, each weighted by its share of data.

    Args:
        level: `(B, C, h, w)`.
        valid: `(B, 1, H, W)` bool, false where the image has no data; None if it has everywhere.

    Returns:
        Each `(B, C)`; 0 for an image without any data.
    """
    if valid is None:
        return level.mean(dim=(2, 3)), level.var(dim=(2, 3), correction=0)
    share = F.adaptive_avg_pool2d(valid.to(level), (level.shape[2], level.shape[3]))
    share = share / share.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    mean = (level * share).sum(dim=(2, 3))
    variance = ((level - mean[:, :, None, None]).square() * share).sum(dim=(2, 3))
    return mean, variance


def _pool(pyramid: Sequence[Tensor], valid: Tensor | None) -> Tensor:
    pooled: list[Tensor] = []
    for level in pyramid:
        mean, variance = moments(level.float(), valid)
        pooled += [mean, variance.sqrt()]
    return torch.cat(pooled, dim=1).cpu()


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the model's own mode is given back."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():  # tensors of inference mode could not be trained on
            yield
    finally:
        model.train(training)
