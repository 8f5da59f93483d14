"""What the engine asks of a task: nothing but sums, counts and a loss made of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

Terms = dict[str, Tensor]


class Objective(nn.Module):
    """A model with its loss, written so that a batch may be spread over ranks and micro-batches.

    Every loss here is a function of *additive statistics*: sums over images, pixels or tokens
    (absolute errors, routing probabilities), and counts of what was summed over. Sums of parts
    add up to the sum of the whole, so the engine adds them over ranks before the loss is formed
    and hands each rank its part of the gradient back. Two processes then compute what one would,
    whatever the parts hold: unequal shares of modalities, images without data, no image at all.

    Parameters and state are those of `nn.Module`; what `state_dict` gives is what a checkpoint
    keeps.
    """

    @abstractmethod
    def prepare(self, data: Any) -> tuple[Any, Terms]:
        """What can be known before the model runs.

        Args:
            data: One micro-batch as the data source gives it, on whatever device.

        Returns:
            The input of `forward`, on the objective's device, and counts: scalars or vectors,
            no gradient, the same keys and shapes for every data. `images` must be among them.
        """

    @abstractmethod
    def forward(self, inputs: Any) -> Terms:
        """Run the model.

        Args:
            inputs: The first thing that `prepare` gave.

        Returns:
            Sums over this micro-batch, with gradient where they have one; the same keys and
            shapes for every input (zeros where there is nothing to sum).
        """

    @abstractmethod
    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Terms:
        """The loss as a function of global statistics.

        Args:
            sums: Of one micro-batch, over all ranks.
            counts: Of the whole step, over all micro-batches and ranks. A term that divides a
                sum by its count is therefore exact under accumulation.

        Returns:
            Scalars to log. `loss` is what is minimised; the terms of the micro-batches of a step
            are added up, so each must be its micro-batch's share of the whole.
        """

    @abstractmethod
    def provenance(self, data: Any) -> Any:
        """Where a micro-batch comes from, as JSON can hold it: saved if its loss is not finite."""

    def rate(self, name: str) -> float:
        """Learning rate of the parameter of that name, over that of the schedule."""
        return 1.0
