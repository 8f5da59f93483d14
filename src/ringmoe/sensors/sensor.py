"""A sensor: its channels, and how its files are calibrated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ringmoe.errors import ConfigError, UnknownChannelError
from ringmoe.sensors.channel import Calibration, Channel
from ringmoe.sensors.modality import modality_named


@dataclass(frozen=True)
class Sensor:
    """What one instrument (or one of its product levels) measures.

    Attributes:
        name: The name in configurations and on the command line, e.g. "sentinel2-l2a".
        title: The name for people.
        modality: One of `ringmoe.sensors.MODALITIES`.
        channels: In the order of the product's bands. Complex sensors have one complex channel
            per polarisation; I and Q appear only in what enters a stem (`stem_channels`).
        encodings: How the numbers in files become units, by name; the first is the default.
        gsd: Nominal ground sampling distance in metres; None where it varies.
        source: The document that describes bands and calibration.
        normalisation_source: Where the means and standard deviations come from.

    Raises:
        ConfigError: No such modality, no encoding, two channels of one name or key, or complex
            channels in a modality of real ones (or the reverse).
        UnknownChannelError: A channel's key is not in the modality's vocabulary.
    """

    name: str
    title: str
    modality: str
    channels: tuple[Channel, ...]
    encodings: Mapping[str, Calibration] = field(
        default_factory=lambda: {"unit": Calibration()}, hash=False
    )
    gsd: float | None = None
    source: str = ""
    normalisation_source: str = ""

    def __post_init__(self) -> None:
        vocabulary = modality_named(self.modality).vocabulary
        for channel in self.stem_channels():
            if channel.key not in vocabulary:
                raise UnknownChannelError(
                    f"sensor {self.name}: channel {channel.name} has the key {channel.key!r}, "
                    f"expected one that {self.modality} knows: {', '.join(vocabulary)}"
                )
        for what in ("name", "key"):
            if len({getattr(c, what) for c in self.channels}) < len(self.channels):
                raise ConfigError(f"sensor {self.name}: two channels have the same {what}")
        if any(c.is_complex != self.is_complex for c in self.channels):
            raise ConfigError(
                f"sensor {self.name}: all channels of modality {self.modality} are "
                f"{'complex' if self.is_complex else 'real'}; one is not"
            )
        if not self.encodings:
            raise ConfigError(f"sensor {self.name} has no encoding: give at least Calibration()")

    @property
    def is_complex(self) -> bool:
        """Whether values are complex numbers."""
        return self.modality == "sar_complex"

    def channel(self, name: str) -> Channel:
        """The channel that a user calls `name`: the product's band name or its common name.

        Raises:
            UnknownChannelError: The sensor has none; the message lists what it has.
        """
        for channel in self.channels:
            if channel.answers_to(name):
                return channel
        have = ", ".join(
            c.name if c.common_name in (None, c.name) else f"{c.name} ({c.common_name})"
            for c in self.channels
        )
        raise UnknownChannelError(f"sensor {self.name} has no channel {name!r}: it has {have}")

    def select(self, names: Iterable[str] | None = None) -> tuple[Channel, ...]:
        """The channels of those names, in that order; all of them for None.

        Raises:
            UnknownChannelError: One is not the sensor's, or is named twice.
        """
        if names is None:
            return self.channels
        names = tuple(names)
        chosen = tuple(self.channel(name) for name in names)
        if len(set(chosen)) < len(chosen):
            raise UnknownChannelError(
                f"sensor {self.name}: {', '.join(names)} names a channel twice; name each once"
            )
        return chosen

    def encoding(self, name: str | None = None) -> Calibration:
        """The calibration of that name; the first for None.

        Raises:
            ConfigError: There is none; the message lists what there is.
        """
        if name is None:
            return next(iter(self.encodings.values()))
        try:
            return self.encodings[name]
        except KeyError:
            raise ConfigError(
                f"sensor {self.name} has no encoding {name!r}: "
                f"choose one of {', '.join(self.encodings)}"
            ) from None

    def stem_channels(self, channels: Sequence[Channel] | None = None) -> tuple[Channel, ...]:
        """What enters the stem: I and Q for each complex channel, the channels themselves else."""
        return tuple(
            part for c in (self.channels if channels is None else channels) for part in c.split()
        )
