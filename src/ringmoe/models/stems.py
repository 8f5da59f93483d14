"""A model's stems together: images of any modalities to tokens, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ringmoe.errors import ConfigError, ShapeError
from ringmoe.models.blocks import TokenLayout
from ringmoe.models.config import ModelConfig
from ringmoe.models.spectral_stem import SpectralStem
from ringmoe.models.stem import NamedStem, Stem
from ringmoe.observation import Observation


class Stems(nn.ModuleDict):
    """One stem for each modality, under its name.

    Args:
        config: The model's shape.
    """

    def __init__(self, config: ModelConfig) -> None:
        stem = NamedStem if config.stem == "named" else SpectralStem
        super().__init__(
            {name: stem(name, config.embed_dim, config.patch_size) for name in config.modalities}
        )
        self.modalities, self.stride = config.modalities, config.stride

    def of(self, modality: str) -> Stem:
        """The stem of a modality.

        Raises:
            ConfigError: The model has none for it.
        """
        if modality not in self:
            raise ConfigError(
                f"the model has no stem for {modality}: it has {', '.join(self.modalities)}"
            )
        return self[modality]  # type: ignore[return-value]

    def forward(
        self,
        observations: Sequence[Observation],
        masks: Sequence[Tensor | None] | None = None,
        mask_token: Tensor | None = None,
    ) -> tuple[Tensor, TokenLayout]:
        """Observations to tokens `(T, C)` and where they lie; see `RingMoE.encode`."""
        if not observations:
            raise ShapeError("the model got no observations: pass at least one")
        masks = [None] * len(observations) if masks is None else masks
        if len(masks) != len(observations):
            raise ShapeError(
                f"give one mask (or None) per observation: got {len(masks)} for {len(observations)}"
            )
        tokens, grids = [], []
        for observation, mask in zip(observations, masks, strict=True):
            self._check_size(observation)
            stem = self.of(observation.modality)
            out = stem(observation.images, observation.channels, observation.gsd)
            if mask is not None:
                out = _hide(out, mask, mask_token)
            tokens.append(out.flatten(0, 2))
            grids.append((out.shape[0], out.shape[1], out.shape[2]))
        numbers = tuple(self.modalities.index(o.modality) for o in observations)
        x = tokens[0] if len(tokens) == 1 else torch.cat(tokens)
        return x, TokenLayout(numbers, tuple(grids))

    def _check_size(self, observation: Observation) -> None:
        height, width = observation.size
        stride = self.stride
        if height % stride or width % stride or not height or not width:
            needed = tuple(max(-(-side // stride), 1) * stride for side in (height, width))
            raise ShapeError(
                f"images of {height} x {width} pixels cannot enter the model: pad or crop to "
                f"multiples of {stride}, e.g. {needed[0]} x {needed[1]}, and mark padding in "
                "Observation.valid"
            )


def _hide(tokens: Tensor, mask: Tensor, mask_token: Tensor | None) -> Tensor:
    """Tokens `(B, H, W, C)` with the mask's token where the mask is true."""
    if mask_token is None:
        raise ConfigError("masks need a mask_token to put in the hidden places")
    if mask.shape != tokens.shape[:3]:
        raise ShapeError(
            f"a mask must be of the token grid {tuple(tokens.shape[:3])}, got {tuple(mask.shape)}"
        )
    return torch.where(mask[..., None], mask_token.to(tokens.dtype), tokens)
