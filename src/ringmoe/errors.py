"""What can go wrong, one class a cause.

Every message is one line: what was expected, what was found, in which file, and what to do.
The command line prints that line alone and exits with code 2; `--debug` adds the traceback.
"""


class RingmoeError(Exception):
    """Base of every error this package raises on purpose."""


class RingmoeWarning(UserWarning):
    """Base of every warning this package gives."""


class UnknownSensorError(RingmoeError, KeyError):
    """The catalogue has no sensor of that name."""

    __str__ = Exception.__str__  # KeyError would print the message's repr


class UnknownChannelError(RingmoeError, KeyError):
    """A sensor, a scene or a model lacks the channel that was asked for."""

    __str__ = Exception.__str__


class ValueRangeError(RingmoeError, ValueError):
    """Values cannot be in the declared unit (reflectance of 8000, a negative amplitude, NaN)."""


class DtypeError(RingmoeError, TypeError):
    """Complex where real is due, real where complex is due, or a type the format does not hold."""


class ShapeError(RingmoeError, ValueError):
    """An array has the wrong number of axes, channels, rows or columns."""


class SceneReadError(RingmoeError, OSError):
    """A product cannot be read: absent, empty, truncated, or of a format no reader knows."""


class GeoreferenceError(RingmoeError, ValueError):
    """A scene has no georeference where one is needed, or two that do not agree."""


class WriteError(RingmoeError, OSError):
    """A file could not be written whole (disk full, no permission); the old one is untouched."""


class DatasetError(RingmoeError, OSError):
    """A labelled data set lacks a folder, a file or a label, or two of them do not agree."""


class ArchiveError(RingmoeError, OSError):
    """An archive folder is absent, empty, or made by an incompatible version."""


class ShardError(ArchiveError):
    """A shard is shorter than its index says, or a tile's checksum is wrong."""


class ConfigError(RingmoeError, ValueError):
    """A configuration has an unknown key or a value that is not allowed."""


class CheckpointError(RingmoeError, ValueError):
    """A checkpoint lacks a tensor, has one of another shape, or is no checkpoint."""


class StatisticsError(RingmoeError, ValueError):
    """Routing statistics are absent, damaged, of another checkpoint, or lack a modality."""


class NonFiniteLossError(RingmoeError, ArithmeticError):
    """The training loss became NaN or infinite; the batch's provenance was saved beside the run."""


class MissingDependencyError(RingmoeError, ImportError):
    """An optional dependency is needed; the message names the extra to install."""


class ExportError(RingmoeError, RuntimeError):
    """An exported file does not compute what its model computes; the message says how far off."""
