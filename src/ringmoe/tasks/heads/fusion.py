"""Several modalities of one place to one pyramid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ringmoe.errors import ConfigError


class Fusion(nn.Module):
    """Mean over the modalities that are there, of a 1x1 projection of each one's maps.

    A mean and not a sum, so that maps keep their size when a modality is absent. The projections
    begin as the identity: before training, fused maps are the mean of the backbone's.

    Args:
        widths: Channels of the maps, fine to coarse.
        modalities: Those that may be given.
    """

    def __init__(self, widths: Sequence[int], modalities: Sequence[str]) -> None:
        super().__init__()
        self.projections = nn.ModuleDict(
            {name: nn.ModuleList(_identity(width) for width in widths) for name in modalities}
        )

    def forward(
        self,
        pyramids: Mapping[str, Sequence[Tensor]],
        present: Mapping[str, Tensor] | None = None,
    ) -> list[Tensor]:
        """Fuse.

        Args:
            pyramids: One pyramid a modality, of the same shapes; at least one.
            present: `(B,)` bool of modalities that not all images of the batch have: an image gets
                the mean over those that it has, of all where it has none.

        Returns:
            One pyramid.

        Raises:
            ConfigError: There is none, or one of a modality that is not known here.
        """
        known = list(self.projections)
        if not pyramids or not set(pyramids) <= set(known):
            raise ConfigError(
                f"fusion: expected one or more of {', '.join(known)}, "
                f"got {', '.join(pyramids) or 'none'}"
            )
        projected = [
            [layer(level) for layer, level in zip(self._layers(name), pyramids[name], strict=True)]
            for name in known
            if name in pyramids
        ]
        if present:
            shares = _shares([name for name in known if name in pyramids], present)
            return [
                sum(share * level for share, level in zip(shares, levels, strict=True))
                for levels in zip(*projected, strict=True)
            ]
        return [sum(levels[1:], levels[0]) / len(levels) for levels in zip(*projected, strict=True)]

    def _layers(self, name: str) -> nn.ModuleList:
        layers = self.projections[name]
        assert isinstance(layers, nn.ModuleList)
        return layers


def _shares(names: Sequence[str], present: Mapping[str, Tensor]) -> Tensor:
    """`(M, B, 1, 1, 1)`: what each modality counts for in each image's mean; sums to 1 over M."""
    like = next(iter(present.values()))
    there = torch.stack([present.get(name, torch.ones_like(like)) for name in names])
    there = there | ~there.any(0)
    return (there / there.sum(0))[..., None, None, None]


def _identity(width: int) -> nn.Conv2d:
    layer = nn.Conv2d(width, width, 1)
    nn.init.dirac_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
