"""What is reconstructed: the quantities that the sensors measure.

A target is a named choice per modality (`TARGETS`, the default first). All are scaled to a spread
of order one, so that the modalities' losses weigh alike. In the formulas x is a stem channel's
normalised value and s its scale (`Channel.std`).

| modality | name | value |
|---|---|---|
| sar_complex | log-power | log(P / P0 + 1e-3), natural logarithm |
| | power | P / P0 |
| | plain | I and Q of each polarisation, x |
| sar_amplitude | log-amplitude | log of amplitude, standardised: x |
| | log-amplitude+gradients | the same, and its gradients (by ratio) |
| | plain | amplitude over its sensor's geometric mean, exp(s x) |
| multispectral | reflectance | reflectance, standardised by band: x |
| | reflectance+angle | the same, and the angle between true and predicted spectrum |
| | plain | reflectance again: for it the pixel is the physical quantity |
| optical | reflectance, plain | reflectance or digital number, standardised by band: x |
| | reflectance+gradients | the same, and its gradients |
| | patch-normalised | x less its mean, over its standard deviation, in each mask unit |

P = sum over I and Q of the polarisations that are there of (s x)^2 is the total power (span),
which no change of polarisation basis alters; P0 = sum of s^2 is its expectation at the sensor's
scale. The floor of 1e-3 (-30 dB under P0, about the noise of the instruments) bounds the
logarithm where there is no echo. Gradients are orientation and strength in cells of 8 x 8 px
(`gradient_cells`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ringmoe.errors import ConfigError, UnknownChannelError
from ringmoe.pretraining.gradients import GRADIENT_CHANNELS, gradient_cells
from ringmoe.sensors import Channel, modality_named

LOG_POWER_FLOOR = 1e-3  # of P / P0
ANGLE_WEIGHT = 1.0  # of a radian, against one standard deviation of reflectance


@dataclass(frozen=True)
class Pixels:
    """What targets are computed from.

    Attributes:
        images: `(B, C, H, W)` as it enters the stem.
        scale: `(C,)` the channels' standard deviations, in their unit.
        channels: One per channel of `images`.
        valid: `(B, 1, H, W)` bool.
        unit: Edge of a mask unit in pixels.
    """

    images: Tensor
    scale: Tensor
    channels: Sequence[str | Channel]
    valid: Tensor
    unit: int


Values = Callable[[Pixels], Tensor]
PixelError = Callable[[Tensor, Tensor, Pixels], Tensor]


def absolute_error(prediction: Tensor, target: Tensor, pixels: Pixels) -> Tensor:
    """L1: `(B, C, H, W)` twice to `(B, H, W)`, the mean over channels."""
    return (prediction - target).abs().mean(1)


def error_and_angle(prediction: Tensor, target: Tensor, pixels: Pixels) -> Tensor:
    """L1 plus the spectral angle in radians: what is left of a spectrum when it is brightened.

    The angle is that of the spectral angle mapper (Kruse et al. 1993), between reflectances. It is
    computed from both its sine and its cosine, because arccos has no gradient at zero.
    """
    mean, std = _means(pixels, target)
    a, b = prediction * std + mean, target * std + mean
    dot = (a * b).sum(1)
    lengths = a.square().sum(1) * b.square().sum(1)  # squared |a| |b|
    sine = torch.sqrt((lengths - dot.square()).clamp(min=0) + 1e-8 * lengths + 1e-16)
    return absolute_error(prediction, target, pixels) + ANGLE_WEIGHT * torch.atan2(sine, dot)


def _means(pixels: Pixels, like: Tensor) -> tuple[Tensor, Tensor]:
    described = [c for c in pixels.channels if isinstance(c, Channel)]
    if len(described) < len(pixels.channels):
        raise ConfigError(
            "targets: reflectance+angle needs the channels' means; give the Observation its "
            "sensor's Channel objects instead of names"
        )
    mean = like.new_tensor([c.mean for c in described])
    std = like.new_tensor([c.std for c in described])
    return mean[:, None, None], std[:, None, None]


def stem_values(pixels: Pixels) -> Tensor:
    """What enters the stem, as it is: `(B, C, H, W)`."""
    return pixels.images


def total_power(pixels: Pixels) -> Tensor:
    """The span |HH|^2 + |HV|^2 + |VH|^2 + |VV|^2 of the polarisations there, in their unit.

    Returns:
        `(B, 1, H, W)`, not negative.
    """
    scaled = pixels.images * pixels.scale[:, None, None]
    return scaled.square().sum(1, keepdim=True)


def relative_power(pixels: Pixels) -> Tensor:
    """Total power over its expectation at the sensor's scale: `(B, 1, H, W)`."""
    return total_power(pixels) / pixels.scale.square().sum()


def log_power(pixels: Pixels) -> Tensor:
    """log(P / P0 + floor): `(B, 1, H, W)`; speckle adds to it, a bright point does not rule it."""
    return torch.log(relative_power(pixels) + LOG_POWER_FLOOR)


def relative_amplitude(pixels: Pixels) -> Tensor:
    """Amplitude over the sensor's geometric mean amplitude: `(B, C, H, W)`, positive."""
    return torch.exp(pixels.images * pixels.scale[:, None, None])


def patch_normalised(pixels: Pixels) -> Tensor:
    """Mean 0 and standard deviation 1 over the valid pixels of each mask unit and channel.

    MAE's target (He et al. 2022, arXiv 2111.06377, section 4).
    """
    unit, valid = pixels.unit, pixels.valid.to(pixels.images.dtype)
    share = F.avg_pool2d(valid, unit).clamp(min=1 / unit**2)

    def mean(values: Tensor) -> Tensor:
        pooled = F.avg_pool2d(values * valid, unit) / share
        return pooled.repeat_interleave(unit, dim=2).repeat_interleave(unit, dim=3)

    centred = pixels.images - mean(pixels.images)
    return centred / torch.sqrt(mean(centred.square()) + 1e-6)


def values_and_gradients(pixels: Pixels) -> Tensor:
    """What enters the stem and its gradients: `(B, C + 9, H, W)`."""
    return torch.cat([pixels.images, gradient_cells(pixels.images, pixels.valid)], dim=1)


def error_of_three(prediction: Tensor, target: Tensor, pixels: Pixels) -> Tensor:
    """L1 of the values, of the orientations and of the strength of gradients: their mean."""
    error = (prediction - target).abs()
    values, orientations, strength = error.split(
        [pixels.images.shape[1], len(GRADIENT_CHANNELS) - 1, 1], dim=1
    )
    return (values.mean(1) + orientations.mean(1) + strength[:, 0]) / 3


@dataclass(frozen=True)
class Target:
    """What one modality's decoder has to predict.

    Attributes:
        name: As in configurations.
        values: The target from the pixels: `(B, C, H, W)`.
        error: The loss of each pixel from prediction, target and pixels: `(B, H, W)`.
        per_channel: Stem channels that have an output of their own.
        derived: Outputs that come after those, whichever channels an observation has.
    """

    name: str
    values: Values
    error: PixelError = absolute_error
    per_channel: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """What the decoder has an output for."""
        return self.per_channel + self.derived

    def rows(self, names: Sequence[str]) -> list[int]:
        """The decoder outputs that an observation with these channels has a target for.

        Raises:
            UnknownChannelError: The decoder has no output for a channel: it has one for each name
                of the vocabulary, whatever else a spectral stem can read.
        """
        first = len(self.per_channel)
        derived = list(range(first, first + len(self.derived)))
        if not self.per_channel:
            return derived
        if unknown := [name for name in names if name not in self.per_channel]:
            raise UnknownChannelError(
                f"no {self.name} target for channel {', '.join(unknown)}: decoders reconstruct "
                f"{', '.join(self.per_channel)}; pre-train on these, or give the channel the key "
                "of the one nearest to it"
            )
        return [self.per_channel.index(name) for name in names] + derived


# modality -> name -> (values, error); the first name is the default.
_CHOICES: dict[str, dict[str, tuple[Values, PixelError]]] = {
    "optical": {
        "reflectance": (stem_values, absolute_error),
        "reflectance+gradients": (values_and_gradients, error_of_three),
        "patch-normalised": (patch_normalised, absolute_error),
        "plain": (stem_values, absolute_error),
    },
    "multispectral": {
        "reflectance+angle": (stem_values, error_and_angle),
        "reflectance": (stem_values, absolute_error),
        "plain": (stem_values, absolute_error),
    },
    "sar_complex": {
        "log-power": (log_power, absolute_error),
        "power": (relative_power, absolute_error),
        "plain": (stem_values, absolute_error),
    },
    "sar_amplitude": {
        "log-amplitude": (stem_values, absolute_error),
        "log-amplitude+gradients": (values_and_gradients, error_of_three),
        "plain": (relative_amplitude, absolute_error),
    },
}
# What a target has beside one output a channel; of power that is all it has.
_DERIVED: dict[Values, tuple[str, ...]] = {
    log_power: ("power",),
    relative_power: ("power",),
    values_and_gradients: GRADIENT_CHANNELS,
}

TARGETS: dict[str, tuple[str, ...]] = {
    modality: tuple(choices) for modality, choices in _CHOICES.items()
}


def make_target(modality: str, name: str | None = None) -> Target:
    """The target of that name; the modality's default for None.

    Raises:
        ConfigError: The modality has no such target; the message lists those it has.
    """
    vocabulary = modality_named(modality).vocabulary
    choices = _CHOICES[modality]
    if name is None:
        name = next(iter(choices))
    if name not in choices:
        raise ConfigError(
            f"targets: {modality} has no target {name!r}, expected {', '.join(choices)}"
        )
    values, error = choices[name]
    per_channel = () if values in (log_power, relative_power) else vocabulary
    return Target(name, values, error, per_channel, _DERIVED.get(values, ()))
