"""`TaskModel`: a backbone with a task's head over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ringmoe.datasets import Source
from ringmoe.errors import ConfigError, UnknownChannelError
from ringmoe.models import RingMoE
from ringmoe.observation import Observation
from ringmoe.sensors import Sensor, get_sensor
from ringmoe.tasks.adaptation import attach_bypasses
from ringmoe.tasks.heads import Fusion
from ringmoe.tasks.heads.detections import Detections
from ringmoe.tasks.task import Task


@dataclass(frozen=True)
class TaskSource:
    """What one image that enters a task's model is, in words that a file can keep.

    Attributes:
        sensor: A name of the sensor catalogue.
        channels: The sensor's names of the channels, in order.
        encoding: How the numbers in the files that it learned from became units; None for the
            sensor's first.
        nodata: The number that meant "no data" in them; None where they said.
    """

    sensor: str
    channels: tuple[str, ...]
    encoding: str | None = None
    nodata: float | None = None

    @classmethod
    def of(cls, source: Source) -> TaskSource:
        """That of labelled data."""
        channels = tuple(channel.name for channel in source.channels)
        return cls(source.sensor.name, channels, source.encoding, source.nodata)

    @property
    def instrument(self) -> Sensor:
        """The sensor itself."""
        return get_sensor(self.sensor)

    @property
    def modality(self) -> str:
        """One of `ringmoe.sensors.MODALITIES`."""
        return self.instrument.modality

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the stem channels, as `Observation.channel_names` has them."""
        sensor = self.instrument
        return tuple(c.key for c in sensor.stem_channels(sensor.select(self.channels)))


class TaskModel(nn.Module):
    """Observations by name to what the task's head gives.

    One image is called "image". Two dates are "before" and "after". Images of several sensors are
    called by their modalities; their pyramids are fused before the head.

    Where a model may lack an image, one without any data counts as absent, each of the batch by
    itself.

    Args:
        backbone: Serves the modalities of all sources.
        task: What for; its head is made with random weights.
        sources: What enters, by name.
        may_lack: Whether one of several modalities may be absent: only where trained so.
        bypass: Width of convolutional bypasses around the backbone's attention; 0 for none.

    Raises:
        ConfigError: The sources are not those that the task takes.
        UnknownSensorError: The catalogue has no such sensor.
        UnknownChannelError: A sensor has no such channel.
    """

    def __init__(
        self,
        backbone: RingMoE,
        task: Task,
        sources: Mapping[str, TaskSource],
        may_lack: bool = False,
        bypass: int = 0,
    ) -> None:
        super().__init__()
        _check_sources(task, sources)
        self.backbone = backbone
        self.task = task
        self.sources = dict(sources)
        widths = backbone.config.widths
        fused = task.dates == 1 and len(sources) > 1
        self.may_lack = may_lack and fused
        self.fusion = Fusion(widths, tuple(sources)) if fused else None
        self.head = task.head(widths)
        self.bypass = bypass
        self.bypasses = attach_bypasses(backbone, bypass) if bypass else None

    def forward(self, observations: Mapping[str, Observation]) -> Tensor | Detections:
        """Scores `(B, K)` or `(B, K, H, W)`, or metres `(B, 1, H, W)`, or what detectors give.

        Args:
            observations: By the names of the sources, all of one batch and image size.

        Raises:
            ConfigError: An image is absent that must be there, or has a name of no source.
            UnknownChannelError: An image has other channels than its source.
        """
        self._check(observations)
        present = [name for name in self.sources if name in observations]
        images = [observations[name] for name in present]
        pyramids = self.backbone(images)
        valid = [image.valid for image in images]
        if self.fusion is not None:
            pyramid = self.fusion(
                dict(zip(present, pyramids, strict=True)),
                _with_data(observations) if self.may_lack else None,
            )
            return self.head([pyramid], images[0].size, _either(valid))
        return self.head(pyramids, images[0].size, _both(valid))

    def _check(self, observations: Mapping[str, Observation]) -> None:
        names = ", ".join(self.sources)
        unknown = [name for name in observations if name not in self.sources]
        absent = [name for name in self.sources if name not in observations]
        if unknown or not observations:
            raise ConfigError(f"expected images {names}, got {', '.join(unknown) or 'none'}")
        if absent and not self.may_lack:
            raise ConfigError(
                f"the image {', '.join(absent)} is missing, and this model was not trained to do "
                f"without it: give all of {names}, or train with missing over 0"
            )
        for name, observation in observations.items():
            keys = self.sources[name].keys
            if observation.channel_names != keys:
                raise UnknownChannelError(
                    f"image {name}: expected channels {', '.join(keys)}, got "
                    f"{', '.join(observation.channel_names)}"
                )


def _check_sources(task: Task, sources: Mapping[str, TaskSource]) -> None:
    names = tuple(sources)
    for source in sources.values():
        _ = source.keys  # an unknown sensor or channel is told here
    if task.dates == 2:
        kinds = {(source.sensor, source.channels) for source in sources.values()}
        expected = names == ("before", "after") and len(kinds) == 1
        wanted = "images before and after of one sensor and its channels"
    elif len(names) == 1:
        return
    else:
        expected = all(name == source.modality for name, source in sources.items())
        wanted = "one image, or one for each of several modalities, called by the modality"
    if not expected:
        found = ", ".join(f"{name} ({source.sensor})" for name, source in sources.items())
        raise ConfigError(f"task {task.name}: expected {wanted}, got {found or 'none'}")


def _with_data(observations: Mapping[str, Observation]) -> dict[str, Tensor]:
    """`(B,)` bool of the observations that say where they hold data: whether an image has any."""
    return {
        name: observation.valid.flatten(1).any(1)
        for name, observation in observations.items()
        if observation.valid is not None
    }


def _both(valid: list[Tensor | None]) -> Tensor | None:
    """Where all hold data; None where all hold data everywhere."""
    known = [mask for mask in valid if mask is not None]
    return torch.stack(known).all(0) if known else None


def _either(valid: list[Tensor | None]) -> Tensor | None:
    """Where any holds data; None where one holds data everywhere."""
    known = [mask for mask in valid if mask is not None]
    return torch.stack(known).any(0) if len(known) == len(valid) else None
