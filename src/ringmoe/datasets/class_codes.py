"""Which code or colour in a mask means which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ringmoe.datasets.tiles import IGNORED
from ringmoe.errors import ConfigError, DatasetError

Codes = int | str | list[int | str]
"""What stands for a class in files: a number, a colour or a name, or several of them."""


@dataclass(frozen=True)
class ClassCodes:
    """Which number or colour in a mask means which class.

    Attributes:
        names: Class names in the order of their indices.
        codes: The codes of each class, one or more; a colour as `0xRRGGBB`.
        ignored: Codes without a class.
        in_colour: Whether codes are colours.

    Raises:
        ConfigError: No class, two of one name or code, or codes and colours mixed.
    """

    names: tuple[str, ...]
    codes: tuple[tuple[int, ...], ...]
    ignored: frozenset[int] = frozenset()
    in_colour: bool = False

    def __post_init__(self) -> None:
        flat = [code for codes in self.codes for code in codes]
        for what, given in (("name", self.names), ("code", flat)):
            check_each_once(what, given, complete=all(self.codes) and bool(given))

    @classmethod
    def parse(
        cls, classes: Sequence[str] | Mapping[str, Codes], ignore: Sequence[int | str] = ()
    ) -> ClassCodes:
        """From a configuration: names of the codes 0, 1, ..., or name to code(s) or "#rrggbb"."""
        if not classes:
            raise ConfigError(
                "classes: expected the names of a mask's classes, e.g. {land: 0, water: 1}, got "
                "none"
            )
        if not isinstance(classes, Mapping):
            classes = {name: code for code, name in enumerate(classes)}
        codes = [listed(value) for value in classes.values()]
        flat = [code for group in codes for code in group]
        if len({_is_colour(code) for code in (*flat, *ignore)}) > 1:
            raise ConfigError(
                f"classes, ignore: expected numbers or colours, got both: {[*flat, *ignore]}"
            )
        both = [str(code) for code in flat if _number(code) in {_number(other) for other in ignore}]
        if both:
            raise ConfigError(
                f"classes, ignore: {', '.join(both)} is a class and ignored: expected either"
            )
        return cls(
            names=tuple(map(str, classes)),
            codes=tuple(tuple(map(_number, group)) for group in codes),
            ignored=frozenset(map(_number, ignore)),
            in_colour=any(map(_is_colour, flat)),
        )

    def to_indices(self, codes: np.ndarray, known: np.ndarray, where: str) -> np.ndarray:
        """Codes to class indices.

        Args:
            codes: `(H, W)` of numbers, colours as `0xRRGGBB`.
            known: `(H, W)` bool, false where the file says that there is no label.
            where: The file, for messages.

        Returns:
            `(H, W)` int64, `IGNORED` where there is no class.

        Raises:
            DatasetError: A code is neither a class's nor ignored.
        """
        labels = np.full(codes.shape, IGNORED, np.int64)
        for index, group in enumerate(self.codes):
            labels[np.isin(codes, group)] = index
        nameless = labels == IGNORED
        if nameless.any():
            found = set(np.unique(codes[nameless & known]).tolist())
            unknown = sorted(found - self.ignored)
            if unknown:
                raise DatasetError(
                    f"{where}: holds {self._show(*unknown[:5])}, which "
                    f"{'is' if len(unknown) == 1 else 'are'} no class: expected "
                    f"{self._show(*(code for group in self.codes for code in group))} "
                    f"({', '.join(self.names)}); name it in classes, or in ignore"
                )
        return labels

    def _show(self, *codes: float) -> str:
        return ", ".join(f'"#{int(c):06x}"' if self.in_colour else f"{c:g}" for c in codes)


def check_each_once(what: str, given: Sequence[object], complete: bool = True) -> None:
    """Raise ConfigError where two classes share a name or code, or one has none."""
    if not complete or len(set(given)) < len(given):
        raise ConfigError(
            f"classes: expected a {what} for each class, each once, got {list(given)}"
        )


def listed(codes: Codes) -> list[int | str]:
    """One code or several as a list."""
    return codes if isinstance(codes, list) else [codes]


def number_first(label: str) -> tuple[bool, int, str]:
    """Sorts labels: numbers by their value, then words."""
    return (not label.isdigit(), int(label) if label.isdigit() else 0, label)


def _is_colour(code: int | str) -> bool:
    return isinstance(code, str) and code.startswith("#")


def _number(code: int | str) -> int:
    text = str(code)
    try:
        if _is_colour(code) and len(text) != 7:
            raise ValueError(text)
        return int(text[1:], 16) if _is_colour(code) else int(text)
    except ValueError:
        raise ConfigError(
            f'classes, ignore: expected whole numbers or colours "#rrggbb", got {code!r}'
        ) from None
