"""Whether an option's value is of the type that a task declares."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


def fits(value: Any, type_: Any) -> bool:
    """Whether a plain value is of a type.

    A whole number is a number too; true and false are neither.

    Args:
        value: As a file or a command line gives it, lists as tuples.
        type_: int, float, str, bool, None; Literal, unions and tuples of them.
    """
    origin, inner = get_origin(type_), get_args(type_)
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        of = [inner[0]] * len(value) if inner[-1] is ... else list(inner)
        return len(of) == len(value) and all(map(fits, value, of))
    if type_ is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if type_ is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if type_ in (None, NoneType) else isinstance(value, type_)


def words_of(type_: Any) -> str:
    """The type as a message says it."""
    origin, inner = get_origin(type_), get_args(type_)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in (Union, UnionType):
        return " or ".join(words_of(one) for one in inner)
    if origin is tuple:
        return f"a list, each {words_of(inner[0])}"
    return "none" if type_ in (None, NoneType) else _WORDS[type_]
