"""What a method of pruning is, and the methods by name.

A method says which shape its result has and what becomes of one layer, so that a checkpoint can
be pruned layer by layer (`ringmoe.pruning.prune`). Taking the wanted modalities' experts is not a
method's work: it gets a shape and layers that have no others.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from ringmoe.errors import ConfigError
from ringmoe.models import ModelConfig
from ringmoe.pruning.layer import Layer

if TYPE_CHECKING:
    from ringmoe.pruning.layer_statistics import LayerStatistics
    from ringmoe.pruning.statistics import Statistics


class Method(Protocol):
    """A way to a smaller model. Implementations are frozen dataclasses: fields are its options.

    Attributes:
        name: As on the command line.
        needs_statistics: Whether it cannot do without routing statistics.
    """

    name: ClassVar[str]
    needs_statistics: ClassVar[bool]

    def config(self, config: ModelConfig, statistics: Statistics | None) -> ModelConfig:
        """The shape of the result.

        Args:
            config: The shape to start from; it has the wanted modalities alone.
            statistics: Of the wanted modalities; None where none are needed.

        Raises:
            ConfigError: There is no such result; the message says what is possible.
        """

    def layer(self, layer: Layer, statistics: LayerStatistics | None) -> Layer:
        """One layer of the result, from the same layer of a model with the wanted modalities."""


class Selection:
    """Base of methods that change no weight: `config` alone says which experts stay.

    Experts are then copied by their bytes, and never decoded.
    """

    def layer(self, layer: Layer, statistics: LayerStatistics | None) -> Layer:
        """The same: it holds only what `config` keeps."""
        return layer


class Integration:
    """Base of methods that leave one FFN a block, which serves one modality."""

    name: ClassVar[str]

    def config(self, config: ModelConfig, statistics: Statistics | None = None) -> ModelConfig:
        """The dense shape.

        Raises:
            ConfigError: There are several modalities.
        """
        if len(config.modalities) > 1:
            raise ConfigError(
                f"method {self.name!r} makes a model of one modality: choose one of "
                f"{', '.join(config.modalities)}"
            )
        return config.replace(
            specialized_experts=0, collaborative_experts=0, shared_expert=True, kept_experts=None
        )


METHODS: dict[str, type[Method]] = {}  # filled as the methods' modules are imported

M = TypeVar("M", bound=type)


def register(method: M) -> M:
    """Class decorator: make a method known by its name."""
    METHODS[method.name] = method  # type: ignore[attr-defined]
    return method


def method_named(name: str, **options: Any) -> Method:
    """A method by its name.

    Args:
        name: One of `METHODS`.
        **options: Its fields; those that are None count as not given.

    Raises:
        ConfigError: There is no such method, it has no such option, or a value is not allowed.
    """
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(METHODS)}"
        raise ConfigError(f"unknown pruning method {name!r}: {advice}")
    known = [field.name for field in dataclasses.fields(METHODS[name])]  # type: ignore[arg-type]
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ConfigError(f"method {name!r} has no option {option!r}: {takes}")
    return METHODS[name](**given)
