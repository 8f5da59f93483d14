"""KA, knowledge averaging: weights and biases averaged over each branch (arXiv 2504.03166).

    mean over specialized + mean over collaborative + shared

Like the sum (`ringmoe.pruning.summation`) it is a start for distillation, and not the function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.layer_statistics import LayerStatistics
from ringmoe.pruning.method import Integration, register
from ringmoe.pruning.summation import weighted_sum


@register
@dataclass(frozen=True)
class Averaging(Integration):
    """One FFN a block: the branches' averages, added."""

    name: ClassVar[str] = "ka"
    needs_statistics: ClassVar[bool] = False

    def layer(self, layer: Layer, statistics: LayerStatistics | None = None) -> Layer:
        """The layer with the averaged expert."""
        return layer.dense(average_experts(layer))


def average_experts(layer: Layer) -> Experts:
    """A stack of one: mean of the specialized, plus mean of the collaborative, plus shared."""
    (modality,) = layer.modalities
    branches = (layer.specialized_of(modality), layer.collaborative)
    means = [(part, 1 / part.count) for part in branches if part is not None]
    return weighted_sum([*means, (layer.shared, 1.0)])
