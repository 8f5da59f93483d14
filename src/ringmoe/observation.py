"""`Observation`: the one thing that passes from data to model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ringmoe.errors import ShapeError
from ringmoe.sensors import Channel, modality_named

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Observation:
    """A batch of images of one modality with the same named channels.

    Only shapes and names are checked here: values are checked where data enter (ingest,
    predict), because a look at them would make a GPU wait.

    Attributes:
        images: What enters the stem, `(B, C, H, W)` float32: normalised by the sensor
            (`Sensor.normalise`), complex data split into I and Q channels.
        modality: One of `ringmoe.sensors.MODALITIES`.
        channels: One entry per channel of `images`, in order: a name of the modality's
            vocabulary or a `Channel`.
        valid: `(B, 1, H, W)` bool, false where there are no data (nodata, padding); None if all
            pixels hold data.
        gsd: Ground sampling distance in metres, if known.

    Raises:
        ShapeError: The axes of `images` or `valid` do not agree with each other or `channels`.
        ConfigError: `modality` is not one of the four.
    """

    images: Tensor
    modality: str
    channels: tuple[str | Channel, ...]
    valid: Tensor | None = None
    gsd: float | None = None

    def __post_init__(self) -> None:
        modality_named(self.modality)
        if self.images.ndim != 4:
            raise ShapeError(
                f"Observation.images must be (B, C, H, W), got {tuple(self.images.shape)}"
            )
        batch, count, height, width = self.images.shape
        if count != len(self.channels):
            raise ShapeError(
                f"Observation has {count} image channels but names {len(self.channels)} "
                f"({', '.join(self.channel_names)}): name every channel once, in order"
            )
        if self.valid is not None and tuple(self.valid.shape) != (batch, 1, height, width):
            raise ShapeError(
                f"Observation.valid must be {(batch, 1, height, width)}, "
                f"got {tuple(self.valid.shape)}"
            )

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names in the modality's vocabulary, one per channel."""
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
