"""The learning rate as a function of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math

REFERENCE_BATCH = 256  # images of the global batch that a configured learning rate is for


def peak_learning_rate(base: float, batch_size: int) -> float:
    """The linear scaling rule (Goyal et al. 2017, arXiv 1706.02677).

    Args:
        base: Learning rate for a global batch of 256 images.
        batch_size: Images of a step over all ranks and micro-batches.
    """
    return base * batch_size / REFERENCE_BATCH


def learning_rate(step: int, *, peak: float, warmup_steps: int, steps: int) -> float:
    """Linear warm-up to `peak`, then a half cosine to zero.

    Args:
        step: The step about to be taken, 0 to `steps` - 1.
        peak: Reached at step `warmup_steps` - 1.
        warmup_steps: Step s of them takes `peak * (s + 1) / warmup_steps`.
        steps: Steps of the whole run.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * 0.5 * (1.0 + math.cos(math.pi * done))
