"""What a verb's function asks of the command line, read from its signature and docstring.

    def ingest(sources: list[Path], *, sensor: str, out: Path, tile_size: int = 192) -> None:

is `ringmoe ingest SOURCE [SOURCE ...] --sensor SENSOR --out PATH [--tile-size N]`, where
the docstring's first paragraphs are the help of the verb and its "Args" that of each argument:

- parameters before the `*` are positional, those after it are flags;
- a list, Sequence or `tuple[X, ...]` takes several values: `--bands red green blue`;
- a bool is a switch: `--resume`, `--no-resume`; a dict takes `--targets.optical pixels`;
- a dataclass parameter gives one flag for each field, its help from the class's "Attributes"; one
  that is not called `config` is a section of its own: `--data.path`, in a file `data: {path: ...}`;
- `--config FILE.yaml` sets any of them by their Python names; flags after it win.

Annotations are looked up when the command runs: import their types outside `if TYPE_CHECKING`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import docstring_parser

_REQUIRED = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Argument:
    """One value that the command line takes.

    Attributes:
        name: The Python name, which is the key in a configuration file.
        annotation: The type, evaluated.
        default: What holds if it is not given.
        help: From the docstring.
        positional: Given by place instead of by flag.
    """

    name: str
    annotation: Any
    default: Any
    help: str
    positional: bool = False

    @property
    def required(self) -> bool:
        """Whether the command cannot run without it."""
        return self.default is _REQUIRED

    @property
    def item_type(self) -> Any | None:
        """X of `list[X]`, `Sequence[X]` and `tuple[X, ...]`, optional or not; None for the rest."""
        return _item_type(self.annotation)

    @property
    def flag(self) -> str:
        """How people give it: `--tile-size`, `--data.tile_size`, or the bare name if by place."""
        if self.positional:
            return self.name
        name, dot, key = self.name.partition(".")
        return "--" + name.replace("_", "-") + dot + key

    @property
    def metavar(self) -> str:
        """What stands for its value in a usage line."""
        kind = self.item_type or _alternatives(self.annotation)[0]
        if get_origin(kind) is Literal:
            return "{" + ",".join(map(str, get_args(kind))) + "}"
        if self.positional:
            return self.name.upper().removesuffix("S" if self.item_type else "")
        known = {int: "N", float: "X", bool: "true|false", Path: "PATH"}
        return known.get(kind, self.name.split(".")[-1].upper())

    @property
    def expected(self) -> str:
        """Its type as people say it."""
        return _in_words(self.annotation)

    def convert(self, value: Any) -> Any:
        """A parsed list as the tuple that the annotation declares; other values as they are."""
        wants_tuple = get_origin(_alternatives(self.annotation)[0]) is tuple
        return tuple(value) if wants_tuple and isinstance(value, list) else value


@dataclasses.dataclass(frozen=True)
class Signature:
    """A verb's function with the arguments that each of its parameters takes."""

    function: Callable[..., object]
    groups: Mapping[str, tuple[Argument, ...]]
    dataclasses: Mapping[str, type]

    @classmethod
    def of(cls, function: Callable[..., object]) -> Signature:
        """Read a function: its parameters, their types, defaults and documentation."""
        hints, helps = get_type_hints(function), _helps(function)
        groups: dict[str, tuple[Argument, ...]] = {}
        nested: dict[str, type] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            kind = hints[name]
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                groups[name], nested[name] = _fields(kind, _section(name)), kind
            else:
                positional = parameter.kind is not parameter.KEYWORD_ONLY
                help = helps.get(name, "")
                groups[name] = (Argument(name, kind, parameter.default, help, positional),)
        return cls(function, groups, nested)

    @property
    def arguments(self) -> dict[str, Argument]:
        """All arguments by name, those of dataclasses beside the others."""
        return {a.name: a for group in self.groups.values() for a in group}

    def call(self, values: Mapping[str, Any]) -> None:
        """Call the function with one value for each argument."""
        keywords: dict[str, Any] = {}
        for name, group in self.groups.items():
            given = {a.name: a.convert(values[a.name]) for a in group}
            if name in self.dataclasses:
                own = {key.removeprefix(_section(name)): value for key, value in given.items()}
                keywords[name] = self.dataclasses[name](**own)
            else:
                keywords[name] = given[name]
        self.function(**keywords)


def _section(parameter: str) -> str:
    """What stands before the names of a dataclass parameter's fields."""
    return "" if parameter == "config" else f"{parameter}."


def _fields(kind: type, section: str) -> tuple[Argument, ...]:
    hints, helps = get_type_hints(kind), _helps(kind)
    return tuple(
        Argument(
            section + field.name, hints[field.name], _default(field), helps.get(field.name, "")
        )
        for field in dataclasses.fields(kind)
        if field.init
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return _REQUIRED if field.default is dataclasses.MISSING else field.default


def _helps(documented: Any) -> dict[str, str]:
    """Name -> description, from "Args" or "Attributes", those of base classes included."""
    return {
        entry.arg_name: " ".join((entry.description or "").split())
        for part in reversed(getattr(documented, "__mro__", (documented,)))
        for entry in docstring_parser.parse(part.__doc__ or "").params
    }


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union without None; the annotation itself if it is none."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    return [member for member in members if member is not NoneType]


def _item_type(annotation: Any) -> Any | None:
    first, *others = _alternatives(annotation)
    origin, inner = get_origin(first), get_args(first)
    if others or origin not in (list, tuple, Sequence):
        return None
    return inner[0] if origin is not tuple or inner[1:] == (...,) else None


def _in_words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if (item := _item_type(annotation)) is not None:
        return f"a list, each item {_in_words(item)}"
    if origin in (Union, UnionType):
        words = [_in_words(member) for member in _alternatives(annotation)]
        return " or ".join([*words, "null"] if NoneType in inner else words)
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin in (dict, Mapping):
        return f"`key: value` pairs, each value {_in_words(inner[1])}"
    names: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
    }
    names |= {Any: "anything", object: "anything", Path: "a path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))
