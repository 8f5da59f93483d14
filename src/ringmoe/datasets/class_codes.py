"""Which code or colour in a mask means which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ringmoe.datasets.tiles import IGNORED, relabel
from ringmoe.errors import ConfigError, DatasetError


@dataclass(frozen=True)
class ClassCodes:
    """Which number or colour in a mask means which class.

    Attributes:
        names: Class names in the order of their indices.
        codes: The code of each class; a colour as `0xRRGGBB`.
        ignored: Codes without a class.
        in_colour: Whether codes are colours.

    Raises:
        ConfigError: No class, two of one name or code, or codes and colours mixed.
    """

    names: tuple[str, ...]
    codes: tuple[int, ...]
    ignored: frozenset[int] = frozenset()
    in_colour: bool = False

    def __post_init__(self) -> None:
        for what, given in (("name", self.names), ("code", self.codes)):
            if not given or len(set(given)) < len(given):
                raise ConfigError(
                    f"classes: expected one {what} a class, each once, got {list(given)}"
                )

    @classmethod
    def parse(
        cls, classes: Sequence[str] | Mapping[str, int | str], ignore: Sequence[int | str] = ()
    ) -> ClassCodes:
        """From a configuration: names of the codes 0, 1, ..., or name to code or "#rrggbb"."""
        if not classes:
            raise ConfigError(
                "classes: expected the names of a mask's classes, e.g. {land: 0, water: 1}, got "
                "none"
            )
        if not isinstance(classes, Mapping):
            classes = {name: code for code, name in enumerate(classes)}
        codes = list(classes.values())
        if len({_is_colour(code) for code in (*codes, *ignore)}) > 1:
            raise ConfigError(
                f"classes, ignore: expected numbers or colours, got both: {[*codes, *ignore]}"
            )
        return cls(
            names=tuple(map(str, classes)),
            codes=tuple(map(_number, codes)),
            ignored=frozenset(map(_number, ignore)),
            in_colour=_is_colour(codes[0]),
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
        labels = relabel(codes, self.codes)
        nameless = labels == IGNORED
        if nameless.any():
            found = set(np.unique(codes[nameless & known]).tolist())
            unknown = sorted(found - self.ignored)
            if unknown:
                raise DatasetError(
                    f"{where}: holds {self._show(*unknown[:5])}, which "
                    f"{'is' if len(unknown) == 1 else 'are'} no class: expected "
                    f"{self._show(*self.codes)} ({', '.join(self.names)}); name it in classes, or "
                    "in ignore"
                )
        return labels

    def _show(self, *codes: float) -> str:
        return ", ".join(f'"#{int(c):06x}"' if self.in_colour else f"{c:g}" for c in codes)


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
