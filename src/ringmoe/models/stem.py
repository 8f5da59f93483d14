"""Patch embedding: pixels of described channels to tokens, one stem per modality.

Two kinds (`ModelConfig.stem`), which differ in where a channel's kernel comes from: `NamedStem`
has one for each name of a vocabulary, `ringmoe.models.spectral_stem.SpectralStem` computes it from
what the channel is.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ringmoe.errors import UnknownChannelError
from ringmoe.sensors import Channel, modality_named


class Stem(nn.Module):
    """Convolution over patches with a kernel for these channels, then a layer norm.

    The order of an image's channels does not matter. Kernels are those of an image with all `N`
    channels of the modality's vocabulary; where there are `n`, they are multiplied by
    `sqrt(N / n)`: for independent normalised channels (zero mean, unit variance) the output's
    variance about the bias is then the same for any number of them, up to how the energy of the
    weights is shared among them.

    Args:
        modality: Whose vocabulary (`ringmoe.sensors.MODALITIES`).
        patch_size: Side of a patch in pixels.
    """

    bias: nn.Parameter
    norm: nn.LayerNorm

    def __init__(self, modality: str, patch_size: int) -> None:
        super().__init__()
        self.modality = modality
        self.vocabulary = modality_named(modality).vocabulary
        self.patch_size = patch_size

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights (the norm is set by the backbone)."""

    @abstractmethod
    def resolve(self, channels: Sequence[str | Channel]) -> tuple[str | Channel, ...]:
        """The channels as far as this stem tells them apart.

        Raises:
            UnknownChannelError: One that it cannot serve, or none at all.
        """

    @abstractmethod
    def kernel(self, channels: Sequence[str | Channel], gsd: float | None = None) -> Tensor:
        """The kernel for these channels, `(width, C, patch, patch)`, rescaled by the rule above."""

    def forward(
        self, images: Tensor, channels: Sequence[str | Channel], gsd: float | None = None
    ) -> Tensor:
        """Tokens of images.

        Args:
            images: `(B, C, H, W)`, normalised; H and W multiples of the patch.
            channels: What each of the C channels is.
            gsd: Ground sampling distance in metres, if known.

        Returns:
            `(B, H / patch, W / patch, width)`.

        Raises:
            UnknownChannelError: The stem cannot serve a channel.
        """
        kernel = self.kernel(channels, gsd)
        images = images.to(kernel.dtype)
        tokens = F.conv2d(images, kernel, self.bias, stride=self.patch_size)
        return self.norm(tokens.permute(0, 2, 3, 1))

    def _scale(self, count: int) -> float:
        """What kernels of `count` channels are multiplied by."""
        if not count:
            raise UnknownChannelError(f"name at least one {self.modality} channel")
        return math.sqrt(len(self.vocabulary) / count)


class NamedStem(Stem):
    """Weights per channel of the vocabulary, found by name; the sampling distance plays no part.

    Args:
        modality: Whose vocabulary.
        width: Channels of a token.
        patch_size: Side of a patch in pixels.
    """

    def __init__(self, modality: str, width: int, patch_size: int) -> None:
        super().__init__(modality, patch_size)
        self.weight = nn.Parameter(torch.empty(width, len(self.vocabulary), patch_size, patch_size))
        self.bias = nn.Parameter(torch.empty(width))
        self.norm = nn.LayerNorm(width)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw kernel and bias from a truncated normal of standard deviation 0.02.

        With a bias of zero, patches without data (all 0) would be tokens of exactly 0, at which
        cosine attention and the norms after it have gradients of 1e9.
        """
        nn.init.trunc_normal_(self.weight, std=0.02, generator=generator)
        nn.init.trunc_normal_(self.bias, std=0.02, generator=generator)

    def indices(self, channels: Sequence[str | Channel]) -> list[int]:
        """Where each channel lies in the vocabulary, by its name or key.

        Raises:
            UnknownChannelError: A channel is not in the vocabulary, or is named twice.
        """
        names = [c if isinstance(c, str) else c.key for c in channels]
        unknown = [repr(name) for name in names if name not in self.vocabulary]
        if unknown:
            raise UnknownChannelError(
                f"the {self.modality} stem has no channel {', '.join(unknown)}: "
                f"it knows {', '.join(self.vocabulary)}"
            )
        if len(set(names)) < len(names):
            raise UnknownChannelError(
                f"a {self.modality} channel is named twice in {', '.join(names)}: "
                "name each channel once"
            )
        return [self.vocabulary.index(name) for name in names]

    def resolve(self, channels: Sequence[str | Channel]) -> tuple[str | Channel, ...]:
        """Names of the vocabulary.

        Raises:
            UnknownChannelError: A channel is not in the vocabulary, is named twice, or there is
                none.
        """
        self._scale(len(channels))
        return tuple(self.vocabulary[index] for index in self.indices(channels))

    def kernel(self, channels: Sequence[str | Channel], gsd: float | None = None) -> Tensor:
        """The channels' slices of the weights, rescaled: `(width, C, patch, patch)`."""
        scale = self._scale(len(channels))
        chosen = self.indices(channels)
        if chosen == list(range(len(self.vocabulary))):
            return self.weight
        slices = self.weight.unbind(1)  # no index tensor: nothing is copied to a GPU
        return torch.stack([slices[index] for index in chosen], dim=1) * scale
