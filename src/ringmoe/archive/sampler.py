"""Which tiles make up the global batch of a step: a pure function of the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ringmoe.archive.quota import QUOTA_STEPS, quota_table, turns
from ringmoe.errors import ConfigError
from ringmoe.sampling.order import TileOrder

StreamShares = Literal["sqrt", "proportional"]


@dataclass(frozen=True)
class Draw:
    """The images that one stream gives to one step.

    Attributes:
        stream: Its name.
        positions: Where the images stand in the stream's endless order, `(N,)` int64.
        tiles: The tiles that stand there.
    """

    stream: str
    positions: np.ndarray
    tiles: np.ndarray


class Sampler:
    """Deals the places of each step's batch to modalities, and each modality's to one stream.

    Both are exact quotas per 1000 steps (`quota_table`), so the number of images that a stream has
    given before a step is a sum over a table, and any step can be asked for alone. Where every
    modality has images in every step, its streams share the steps; else they share its images.

    Args:
        orders: The streams of each modality.
        batch_size: Images in a step, over all modalities.
        shares: Relative share of each modality; None gives every modality the same.
        stream_shares: How often each stream of a modality is drawn: by the square root of its
            number of tiles, or in proportion to it.

    Raises:
        ConfigError: `shares` does not name exactly the modalities, or a share is not positive.
    """

    def __init__(
        self,
        orders: Mapping[str, Mapping[str, TileOrder]],
        batch_size: int,
        shares: Mapping[str, float] | None = None,
        stream_shares: StreamShares = "sqrt",
    ) -> None:
        shares = dict.fromkeys(orders, 1.0) if shares is None else shares
        if set(shares) != set(orders) or not all(share > 0 for share in shares.values()):
            raise ConfigError(
                f"shares must give a positive number for each of {', '.join(orders)}, "
                f"got {dict(shares)}"
            )
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        self._orders = {name: order for group in orders.values() for name, order in group.items()}
        images = quota_table([shares[modality] for modality in orders], batch_size)
        self._counts: dict[str, np.ndarray] = {}
        for column, streams in zip(images.T, orders.values(), strict=True):
            lengths = np.array([len(order) for order in streams.values()], np.float64)
            weights = list(np.sqrt(lengths) if stream_shares == "sqrt" else lengths)
            # Two periodic tables would keep step: with images in every second step, and the second
            # of two streams due in the others, that stream would never be drawn.
            chosen = quota_table(weights, per_step=1) if images.all() else turns(weights, column)
            for stream, is_drawn in zip(streams, chosen.T, strict=True):
                self._counts[stream] = column * is_drawn
        self._before = {
            name: np.concatenate([[0], np.cumsum(counts)]) for name, counts in self._counts.items()
        }

    def draws(self, step: int) -> list[Draw]:
        """The global batch of a step, one entry per modality that has images in it."""
        rounds, row = divmod(step, QUOTA_STEPS)
        drawn = []
        for stream, counts in self._counts.items():
            if counts[row]:
                before = self._before[stream]
                first = rounds * int(before[-1]) + int(before[row])
                positions = first + np.arange(counts[row])
                drawn.append(Draw(stream, positions, self._orders[stream](positions)))
        return drawn
