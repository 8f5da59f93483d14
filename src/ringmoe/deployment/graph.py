"""A model as other programs get it: plain tensors in, plain tensors out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ringmoe.errors import ConfigError
from ringmoe.models import RingMoE
from ringmoe.observation import Observation
from ringmoe.sensors import Channel, get_sensor, modality_named
from ringmoe.tasks import TaskModel


@dataclass(frozen=True)
class ImageInput:
    """One image that enters an exported model.

    Attributes:
        name: Of the input.
        modality: One of `ringmoe.sensors.MODALITIES`.
        channels: What enters the stem, in order: I and Q of complex channels.
        sensor: A name of the sensor catalogue, which says units and normalisation; "" if none.
        gsd: Ground sampling distance in metres, if known; spectral stems read it.
    """

    name: str
    modality: str
    channels: tuple[str | Channel, ...]
    sensor: str = ""
    gsd: float | None = None

    @property
    def described(self) -> tuple[Channel, ...]:
        """The channels with unit and normalisation; none without a sensor."""
        return tuple(channel for channel in self.channels if isinstance(channel, Channel))


def task_inputs(model: TaskModel) -> tuple[ImageInput, ...]:
    """The images of a task's model, in its order."""
    inputs = []
    for name, source in model.sources.items():
        sensor = source.instrument
        channels = sensor.stem_channels(sensor.select(source.channels))
        inputs.append(ImageInput(name, sensor.modality, channels, sensor.name, sensor.gsd))
    return tuple(inputs)


def backbone_input(
    modalities: Sequence[str],
    modality: str | None = None,
    sensor: str | None = None,
    channels: Sequence[str] | None = None,
    gsd: float | None = None,
) -> ImageInput:
    """The image of a backbone without a task.

    Args:
        modalities: Those of the model.
        modality: Which of them; None for the sensor's, or the model's only one.
        sensor: A name of the sensor catalogue; None for channels of no particular instrument.
        channels: Which channels, in order: the sensor's names, or the modality's without a
            sensor; None for all.
        gsd: Ground sampling distance in metres; None for the sensor's.

    Raises:
        ConfigError: The modality does not follow, or is not the model's or not the sensor's; or
            `gsd` is not positive.
        UnknownSensorError: The catalogue has no such sensor.
        UnknownChannelError: The sensor has no such channel.
    """
    if gsd is not None and not 0 < gsd < math.inf:
        raise ConfigError(f"gsd must be a positive number of metres, got {gsd:g}")
    found = get_sensor(sensor) if sensor else None
    if modality is None:
        if found is None and len(modalities) > 1:
            raise ConfigError(
                f"the backbone serves {', '.join(modalities)}: choose one with --modality, or a "
                "--sensor"
            )
        modality = found.modality if found else modalities[0]
    if modality not in modalities:
        raise ConfigError(f"the backbone has no {modality}: it serves {', '.join(modalities)}")
    if found is None:
        names = channels or modality_named(modality).vocabulary
        return ImageInput("image", modality, tuple(names), gsd=gsd)
    if found.modality != modality:
        raise ConfigError(f"sensor {found.name} is of modality {found.modality}, not {modality}")
    chosen = found.stem_channels(found.select(channels))
    return ImageInput("image", modality, chosen, found.name, found.gsd if gsd is None else gsd)


class Normalisation(nn.Module):
    """`ringmoe.sensors.normalise` as part of a graph: values in units to what enters a stem.

    NaN says that there are no data, and becomes 0, the mean, as on maps.

    Args:
        channels: Of the planes.
    """

    mean: Tensor
    std: Tensor
    is_log: Tensor
    floor: Tensor

    def __init__(self, channels: Sequence[Channel]) -> None:
        super().__init__()
        facts = [(c.mean, c.std, c.log_floor is not None, c.log_floor or 1.0) for c in channels]
        mean, std, is_log, floor = torch.tensor(facts).t()[..., None, None]
        self.any_log = bool(is_log.any())
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())
        self.register_buffer("is_log", is_log.bool())
        self.register_buffer("floor", floor.clone())

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same shape."""
        no_data = x.isnan()  # asked first: runtimes differ in what clamping makes of NaN
        if self.any_log:
            x = torch.where(self.is_log, (x.clamp_min(0) + self.floor).log(), x)
        return torch.where(no_data, 0.0, (x - self.mean) / self.std)


class Graph(nn.Module):
    """The model with one tensor for each image, and the tensors that it gives.

    Args:
        model: A task's, or a backbone.
        inputs: Its images; one for a backbone.
        normalises: Whether values in units enter; otherwise normalised ones.

    Raises:
        ConfigError: Values in units shall enter, and no sensor says how to normalise them.
    """

    def __init__(
        self, model: TaskModel | RingMoE, inputs: Sequence[ImageInput], normalises: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.normalises = normalises
        if normalises and not all(image.sensor for image in inputs):
            raise ConfigError("normalisation inside needs to know the sensor: give --sensor")
        self.normalise = nn.ModuleList(
            Normalisation(image.described) if normalises else nn.Identity() for image in inputs
        )

    @property
    def backbone(self) -> RingMoE:
        """The backbone."""
        return self.model.backbone if isinstance(self.model, TaskModel) else self.model

    @property
    def outputs(self) -> tuple[dict[str, Any], ...]:
        """Name and meaning of each tensor that comes out."""
        if isinstance(self.model, TaskModel):
            if self.model.task.label_kind == "height":
                return ({"name": "height", "meaning": "height above ground", "unit": "m"},)
            meaning = "scores of the classes (logits): softmax over axis 1 gives probabilities"
            return ({"name": "scores", "meaning": meaning},)
        return tuple(
            {"name": f"map{stride}", "meaning": f"features at stride {stride}"}
            for stride in self.model.config.strides
        )

    def forward(self, *images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """One `(B, C, H, W)` for each input, in order; scores, heights or four maps."""
        parts = zip(self.normalise, images, strict=True)
        return self.apply_model([normalise(x) for normalise, x in parts])

    def apply_model(self, images: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """The same of normalised images."""
        observations = {
            image.name: Observation(x, image.modality, image.channels, gsd=image.gsd)
            for image, x in zip(self.inputs, images, strict=True)
        }
        if isinstance(self.model, TaskModel):
            return self.model(observations)
        return self.model(list(observations.values()))[0]
