"""Patch embedding by named channels: pixels to tokens, one stem per modality."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ringmoe.errors import UnknownChannelError
from ringmoe.sensors import modality_named


class Stem(nn.Module):
    """Convolution over patches with weights per named channel, then a layer norm.

    Each channel of the modality's vocabulary has its own slice of the kernel, found by name, so
    that the order of an image's channels does not matter. Where `n` of the vocabulary's `N`
    channels are there, their weights are multiplied by `sqrt(N / n)`: for independent normalised
    channels (zero mean, unit variance) the output's variance about the bias is then the same as
    with all channels, up to how the energy of the weights is shared among them.

    Args:
        modality: Whose vocabulary (`ringmoe.sensors.MODALITIES`).
        width: Channels of a token.
        patch_size: Side of a patch in pixels.
    """

    def __init__(self, modality: str, width: int, patch_size: int) -> None:
        super().__init__()
        self.modality = modality
        self.vocabulary = modality_named(modality).vocabulary
        self.patch_size = patch_size
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

    def indices(self, channels: Sequence[str]) -> list[int]:
        """Where each channel lies in the vocabulary.

        Raises:
            UnknownChannelError: A channel is not in the vocabulary, or is named twice.
        """
        if not channels:
            raise UnknownChannelError(f"name at least one {self.modality} channel")
        unknown = [repr(name) for name in channels if name not in self.vocabulary]
        if unknown:
            raise UnknownChannelError(
                f"the {self.modality} stem has no channel {', '.join(unknown)}: "
                f"it knows {', '.join(self.vocabulary)}"
            )
        if len(set(channels)) < len(channels):
            raise UnknownChannelError(
                f"a {self.modality} channel is named twice in {', '.join(channels)}: "
                "name each channel once"
            )
        return [self.vocabulary.index(name) for name in channels]

    def kernel(self, channels: Sequence[str]) -> Tensor:
        """The kernel for these channels, `(width, C, patch, patch)`, rescaled by the rule above."""
        chosen = self.indices(channels)
        if chosen == list(range(len(self.vocabulary))):
            return self.weight
        slices = self.weight.unbind(1)  # no index tensor: nothing is copied to a GPU
        scale = math.sqrt(len(self.vocabulary) / len(chosen))
        return torch.stack([slices[index] for index in chosen], dim=1) * scale

    def forward(self, images: Tensor, channels: Sequence[str]) -> Tensor:
        """Tokens of images.

        Args:
            images: `(B, C, H, W)`, normalised; H and W multiples of the patch.
            channels: Name in the vocabulary of each of the C channels.

        Returns:
            `(B, H / patch, W / patch, width)`.

        Raises:
            UnknownChannelError: A channel is not in the vocabulary, or is named twice.
        """
        kernel = self.kernel(channels)
        images = images.to(kernel.dtype)
        tokens = F.conv2d(images, kernel, self.bias, stride=self.patch_size)
        return self.norm(tokens.permute(0, 2, 3, 1))
