"""`Observation`: the one thing that passes from data to model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ringmoe.errors import DtypeError, ShapeError, UnknownChannelError
from ringmoe.sensors import Channel, modality_named

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Observation:
    """A batch of images of one modality with the same named channels.

    Only shapes, types and names are checked here: values are checked where data enter (ingest,
    predict), because a look at them would make a GPU wait.

    Attributes:
        images: What enters the stem, `(B, C, H, W)` floating: normalised by the sensor
            (`ringmoe.sensors.normalise`), complex data split into I and Q channels.
        modality: One of `ringmoe.sensors.MODALITIES`.
        channels: One entry per channel of `images`, in order: a name of the modality's
            vocabulary or a `Channel`. One whose key is not in the vocabulary must say what it
            measures, by wavelength or polarisation; only spectral stems can serve it.
        valid: `(B, 1, H, W)` bool, false where there are no data (nodata, padding); None if all
            pixels hold data.
        gsd: Ground sampling distance in metres, if known.

    Raises:
        ConfigError: `modality` is not one of the four.
        DtypeError: `images` are not floating, or `valid` is not bool.
        ShapeError: The axes of `images` or `valid` do not agree with each other or `channels`.
        UnknownChannelError: A channel is neither in the modality's vocabulary nor described, or
            is named twice.
    """

    images: Tensor
    modality: str
    channels: tuple[str | Channel, ...]
    valid: Tensor | None = None
    gsd: float | None = None

    def __post_init__(self) -> None:
        vocabulary = modality_named(self.modality).vocabulary
        self._check_images()
        self._check_names(vocabulary)
        self._check_valid()

    def _check_images(self) -> None:
        if self.images.ndim != 4:
            raise ShapeError(
                f"Observation.images must be (B, C, H, W), got {tuple(self.images.shape)}"
            )
        if not self.images.is_floating_point():
            raise DtypeError(
                f"Observation.images must be floating, got {self.images.dtype}: normalise first "
                "(ringmoe.sensors.normalise, which splits complex data into I and Q)"
            )

    def _check_names(self, vocabulary: tuple[str, ...]) -> None:
        names = self.channel_names
        if self.images.shape[1] != len(names):
            raise ShapeError(
                f"Observation has {self.images.shape[1]} image channels but names {len(names)} "
                f"({', '.join(names)}): name every channel once, in order"
            )
        unknown = [
            name
            for name, channel in zip(names, self.channels, strict=True)
            if name not in vocabulary and (isinstance(channel, str) or not channel.is_described)
        ]
        if unknown:
            raise UnknownChannelError(
                f"modality {self.modality} has no channel {', '.join(unknown)}: expected names of "
                f"{', '.join(vocabulary)} (Channel.key; Sensor.stem_channels() gives I and Q)"
            )
        if len(set(names)) < len(names):
            raise UnknownChannelError(
                f"Observation names a channel twice ({', '.join(names)}): name each once"
            )

    def _check_valid(self) -> None:
        if self.valid is None:
            return
        batch, _, height, width = self.images.shape
        if tuple(self.valid.shape) != (batch, 1, height, width):
            raise ShapeError(
                f"Observation.valid must be {(batch, 1, height, width)}, "
                f"got {tuple(self.valid.shape)}"
            )
        import torch  # here, because to describe sensors nobody needs torch

        if self.valid.dtype != torch.bool:
            raise DtypeError(
                f"Observation.valid must be bool, got {self.valid.dtype}: compare first (mask > 0)"
            )

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names in the modality's vocabulary, or keys of other channels, one per channel."""
        return tuple(c if isinstance(c, str) else c.key for c in self.channels)

    @property
    def batch_size(self) -> int:
        """Number of images."""
        return self.images.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[2], self.images.shape[3]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Observation:
        """The same observation on a device, its images in a floating dtype."""
        valid = None if self.valid is None else self.valid.to(device, non_blocking=True)
        images = self.images.to(device=device, dtype=dtype, non_blocking=True)
        return replace(self, images=images, valid=valid)
