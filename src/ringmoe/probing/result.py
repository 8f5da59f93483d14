"""What a probe gives, and which part of the training data its setting is chosen on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ringmoe.errors import DatasetError


@dataclass(frozen=True)
class Choice:
    """The setting that is best on the validation part of the training data.

    Attributes:
        setting: The L2 weight or the k.
        accuracy: Share of the validation part predicted right, 0 to 1.
        class_accuracy: The mean of that share over the classes that the part has.
    """

    setting: float
    accuracy: float
    class_accuracy: float


@dataclass(frozen=True)
class ProbeResult:
    """The score of one probe on its test part.

    Attributes:
        accuracy: Share of the test part predicted right, 0 to 1.
        class_accuracy: The mean of that share over the classes that the test part has.
        choice: The setting, and its score on the validation part.
        predicted: `(M,)` int64, the class of each test sample.
    """

    accuracy: float
    class_accuracy: float
    choice: Choice
    predicted: Tensor = field(compare=False, repr=False)

    def figures(self) -> dict[str, Any]:
        """All but the predictions, ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "class_accuracy": self.class_accuracy,
            "choice": asdict(self.choice),
        }


def score(predicted: Tensor, truth: Tensor) -> tuple[float, float]:
    """Accuracy and mean accuracy over the classes of `truth`, both `(N,)` int64."""
    hit = (predicted == truth).double()
    per_class = [hit[truth == label].mean() for label in truth.unique()]
    return hit.mean().item(), torch.stack(per_class).mean().item()


def last_fifth(labels: Tensor) -> Tensor:
    """The last fifth of each class in the given order, `(N,)` bool: where settings are chosen.

    Neighbours in a data set's order are often views of one place: a part taken from between the
    others looks easier than new places are, and chooses too little regularisation. Of classes of
    two to four it is the last one.

    Raises:
        DatasetError: No class has two.
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = torch.nonzero(labels == label).flatten()
        last = max(len(members) // 5, min(len(members) - 1, 1))
        chosen[members[len(members) - last :]] = True
    if not chosen.any():
        raise DatasetError(
            "no class has two training images, so that settings cannot be chosen on one: add "
            "images, or a validation part"
        )
    return chosen


def standardise(reference: Tensor, *others: Tensor) -> list[Tensor]:
    """Each feature to mean 0 and deviation 1 over `reference` `(N, F)`; the others by the same.

    A feature that is constant over `reference` becomes 0 there.
    """
    mean = reference.mean(dim=0)
    deviation = reference.std(dim=0, correction=0)
    scale = torch.where(deviation > 1e-12 * mean.abs().clamp_min(1e-12), deviation, 1.0)
    return [(x - mean) / scale for x in (reference, *others)]
