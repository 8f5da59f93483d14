"""Patch embedding for any sensor: kernels computed from what the channels are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ringmoe.models.channel_features import FEATURES, channel_features, describe_channel
from ringmoe.models.products import without_autocast
from ringmoe.models.stem import Stem
from ringmoe.sensors import Channel

HIDDEN = 64


class SpectralStem(Stem):
    """A small network from a channel's description to its kernel.

        features (wavelength, bandwidth, polarisation, component, sampling distance)
          -> linear -> GELU -> length 1 -> linear -> kernel (width, patch, patch)

    So a channel that training never saw gets a kernel like those of its neighbours, and no weight
    belongs to an instrument. The idea of weights generated from wavelengths is DOFA's (Xiong et
    al., arXiv 2403.15356), which generates them by a transformer over all bands; here each channel
    stands for itself, so that its kernel does not depend on which others are there.

    Args:
        modality: Whose vocabulary gives names a meaning, and the scale its reference.
        width: Channels of a token.
        patch_size: Side of a patch in pixels.
    """

    def __init__(self, modality: str, width: int, patch_size: int) -> None:
        super().__init__(modality, patch_size)
        self.w1 = nn.Parameter(torch.empty(HIDDEN, FEATURES))
        self.b1 = nn.Parameter(torch.empty(HIDDEN))
        self.w2 = nn.Parameter(torch.empty(width * patch_size**2, HIDDEN))
        self.bias = nn.Parameter(torch.empty(width))
        self.norm = nn.LayerNorm(width)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights such that the kernels' entries have a standard deviation of 0.02.

        They are products of a row of `w2` and a vector of length 1. `w1` makes hidden values of
        order one out of the 3 to 8 numbers (or pairs) that are not 0 in a description.
        """
        nn.init.trunc_normal_(self.w1, std=0.4, generator=generator)
        nn.init.zeros_(self.b1)
        nn.init.trunc_normal_(self.w2, std=0.02, generator=generator)
        nn.init.trunc_normal_(self.bias, std=0.02, generator=generator)  # as in a named stem

    def resolve(self, channels: Sequence[str | Channel]) -> tuple[str | Channel, ...]:
        """The channels themselves.

        Raises:
            UnknownChannelError: Nothing says what a channel measures, or there is none.
            ConfigError: A wavelength or bandwidth cannot be in nanometres.
        """
        self._scale(len(channels))
        for channel in channels:
            describe_channel(channel, self.modality)
        return tuple(channels)

    def kernel(self, channels: Sequence[str | Channel], gsd: float | None = None) -> Tensor:
        """The kernel of these channels, `(width, C, patch, patch)`.

        Computed in float32 at least: bfloat16 would take neighbouring wavelengths for one.

        Raises:
            UnknownChannelError: As `resolve`.
            ConfigError: As `resolve`; or the sampling distance is not positive.
        """
        scale = self._scale(len(channels))
        descriptions = tuple(describe_channel(channel, self.modality) for channel in channels)
        dtype = torch.promote_types(self.w1.dtype, torch.float32)
        features = channel_features(descriptions, gsd, dtype, self.w1.device)
        with without_autocast(self.w1):
            hidden = F.gelu(F.linear(features, self.w1.to(dtype), self.b1.to(dtype)))
            hidden = F.layer_norm(hidden, (HIDDEN,)) * (scale / math.sqrt(HIDDEN))
            kernel = F.linear(self.w2.to(dtype), hidden)  # (width * patch * patch, C)
        kernel = kernel.to(self.w2.dtype).view(-1, self.patch_size, self.patch_size, len(channels))
        return kernel.permute(0, 3, 1, 2).contiguous()
