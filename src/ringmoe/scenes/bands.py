"""Which band of a file is which channel of its sensor. By name wherever there are names."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringmoe.errors import DtypeError, ShapeError, UnknownChannelError
from ringmoe.scenes.source import Source
from ringmoe.sensors import Channel, Sensor

_LOG = logging.getLogger(__name__)
SKIPPED = "-"  # in place of a name: not to be read
UNKNOWN = "unknown"  # the channel of amplitudes whose polarisation nobody has noted
_I_OR_Q = re.compile(r"(?:(?P<first>[IQ])[ _-])?(?P<name>.+?)(?:[ _-](?P<last>[IQ]))?", re.I)


@dataclass(frozen=True)
class Assignment:
    """A channel and the band that holds it, or the two bands that hold its I and Q."""

    channel: Channel
    bands: tuple[int, ...]


def assign_bands(
    source: Source, sensor: Sensor, bands: Sequence[str] | None, channels: Sequence[str] | None
) -> tuple[Assignment, ...]:
    """Find a band for each channel.

    Args:
        source: The file.
        sensor: What its bands may be.
        bands: The name of each band of the file, in file order; "-" for one that is no channel.
            "VH_I" and "VH_Q" (or "i_VH", "q_VH") name the halves of a complex channel. None: the
            file's own names where some of them are the sensor's, or the sensor's order if the
            counts agree.
        channels: Which to give, in that order; None for all that the file has, in file order.

    Raises:
        ShapeError: The number of names is not that of the bands, or nothing names the bands.
        UnknownChannelError: A name is not the sensor's, is given twice, lacks its I or Q, or a
            channel that was asked for is not in the file.
        DtypeError: A band is real where complex is due, or complex where real is due.
    """
    found = _named_bands(source, sensor, bands)
    assigned = {channel: _checked(source, channel, parts) for channel, parts in found.items()}
    wanted = tuple(assigned) if channels is None else sensor.select(channels)
    if not wanted:
        raise ShapeError(f"{source.path}: no channel is left to read: name at least one")
    for channel in wanted:
        if channel not in assigned:
            have = ", ".join(c.name for c in assigned)
            raise UnknownChannelError(
                f"{source.path}: has no channel {channel.name}: it has {have}; ask for these, or "
                "say what each band is with bands=..."
            )
    return tuple(assigned[channel] for channel in wanted)


def due_counts(sensor: Sensor, bands: Sequence[str] | None) -> tuple[int, ...]:
    """How many bands a file may have, when its bands have no names."""
    if bands is not None:
        return (len(bands),)
    return len(sensor.channels), len(sensor.stem_channels())


_Parts = dict[str, int]  # "I", "Q" or "" (the whole value) -> band


def _named_bands(
    source: Source, sensor: Sensor, bands: Sequence[str] | None
) -> dict[Channel, _Parts]:
    if bands is not None:
        if isinstance(bands, str):
            raise ShapeError(f"bands={bands!r} must be a list of names, such as [{bands!r}]")
        if len(bands) != source.count:
            raise ShapeError(
                f"{source.path}: has {source.count} bands, but bands={list(bands)} names "
                f"{len(bands)}: name every band of the file in order, '{SKIPPED}' for one to skip"
            )
        return _collect(source, [None if n == SKIPPED else _meaning(sensor, n) for n in bands])
    own_names = _own_names(source, sensor)
    named = [_meaning(sensor, name, strict=False) if name else None for name in own_names]
    if any(named):
        skipped = [n for n, meant in zip(source.names, named, strict=True) if not meant]
        if skipped:
            _LOG.info("%s: bands %s are no channels of %s", source.path, skipped, sensor.name)
        return _collect(source, named)
    return _collect(source, _by_order(source, sensor))


def _own_names(source: Source, sensor: Sensor) -> Sequence[str | None]:
    """Band names of the file, or its colours: these tell what an optical picture shows."""
    colours = source.colours
    if (
        sensor.modality == "optical"
        and not any(source.names)
        and sorted(colours) == ["blue", "green", "red"]
    ):
        return colours
    return source.names


def _meaning(sensor: Sensor, name: str, strict: bool = True) -> tuple[Channel, str] | None:
    """The channel that a band name means, with "I", "Q" or "" for all of it."""
    channel = _channel(sensor, name)
    if channel is not None:
        return channel, ""
    match = _I_OR_Q.fullmatch(name) if sensor.is_complex else None
    if match is not None and (part := match["first"] or match["last"]):
        channel = _channel(sensor, match["name"])
        if channel is not None:
            return channel, part.upper()
    if strict:
        sensor.channel(name)  # raises, and says what there is
    return None


def _channel(sensor: Sensor, name: str) -> Channel | None:
    try:
        return sensor.channel(name)
    except UnknownChannelError:
        return None


def _by_order(source: Source, sensor: Sensor) -> list[tuple[Channel, str] | None]:
    """The sensor's channels in its own order, if there are as many bands."""
    if source.count == len(sensor.channels):
        return [(channel, "") for channel in sensor.channels]
    if sensor.is_complex and source.count == 2 * len(sensor.channels):
        _LOG.info(
            "%s: %d unnamed bands taken as I and Q of %s in %s's order",
            source.path,
            source.count,
            ", ".join(c.name for c in sensor.channels),
            sensor.name,
        )
        return [(channel, part) for channel in sensor.channels for part in "IQ"]
    names = [c.name for c in (sensor.stem_channels() if _is_real(source) else sensor.channels)]
    unknown = [name for name in names if name == UNKNOWN]  # of several alike one is enough
    example = ((unknown or names) + [SKIPPED] * source.count)[: source.count]
    raise ShapeError(
        f"{source.path}: has {source.count} bands without names that {sensor.name} knows "
        f"({', '.join(names)}): name another sensor, or say what each band is, such as bands "
        f"{' '.join(example)} ('{SKIPPED}' for one to skip)"
    )


def _is_real(source: Source) -> bool:
    return all(dtype.kind != "c" for dtype in source.dtypes)


def _collect(
    source: Source, meanings: Sequence[tuple[Channel, str] | None]
) -> dict[Channel, _Parts]:
    found: dict[Channel, _Parts] = {}
    for band, meaning in enumerate(meanings):
        if meaning is None:
            continue
        channel, part = meaning
        parts = found.setdefault(channel, {})
        if part in parts or (parts and "" in (part, *parts)):
            raise UnknownChannelError(
                f"{source.path}: two bands are named {channel.name}: name each channel once, "
                f"'{SKIPPED}' for a band to skip"
            )
        parts[part] = band
    return found


def _checked(source: Source, channel: Channel, parts: _Parts) -> Assignment:
    """Order I before Q, and refuse real for complex and complex for real."""
    complex_bands = [source.dtypes[band].kind == "c" for band in parts.values()]
    if "" in parts:
        if channel.is_complex and not complex_bands[0]:
            raise DtypeError(
                f"{source.path}: {channel.name} must be complex, found {_found(source, parts)}: if "
                f"the file holds I and Q, name them {channel.name}_I and {channel.name}_Q; if it "
                "holds amplitude or intensity, use a SAR amplitude sensor"
            )
        if complex_bands[0] and not channel.is_complex:
            raise DtypeError(
                f"{source.path}: {channel.name} must be real, found {_found(source, parts)}: use "
                "a complex sensor (an SLC one)"
            )
        return Assignment(channel, (parts[""],))
    if set(parts) != {"I", "Q"}:
        missing = "Q" if "I" in parts else "I"
        raise UnknownChannelError(
            f"{source.path}: no band is named {channel.name}_{missing}: a complex channel needs "
            "both I and Q"
        )
    if any(complex_bands):
        raise DtypeError(
            f"{source.path}: I and Q of {channel.name} must be real, found "
            f"{_found(source, parts)}: name the complex band {channel.name}"
        )
    return Assignment(channel, (parts["I"], parts["Q"]))


def _found(source: Source, parts: _Parts) -> np.dtype:
    return source.dtypes[next(iter(parts.values()))]
