"""What a smaller model may cost, as people write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

from ringmoe.errors import ConfigError

Kind = Literal["bytes", "parameters", "latency"]

_UNITS: dict[str, tuple[Kind, float]] = {
    "kb": ("bytes", 1e3),
    "mb": ("bytes", 1e6),
    "gb": ("bytes", 1e9),
    "kib": ("bytes", 2**10),
    "mib": ("bytes", 2**20),
    "gib": ("bytes", 2**30),
    "k": ("parameters", 1e3),
    "m": ("parameters", 1e6),
    "b": ("parameters", 1e9),
    "ms": ("latency", 1e-3),
    "s": ("latency", 1.0),
}
_TEXT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """The most that a model may cost.

    Attributes:
        kind: "bytes" of weights on disk, "parameters", or "latency" of one image.
        limit: How many bytes, parameters or seconds.
    """

    kind: Kind
    limit: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """A budget from text, in which the unit says what is meant; small letters will do.

        Args:
            text: "400MB" or "1.5 GiB" for bytes on disk, "300M" or "1.1B" (billion) for
                parameters, "50ms" for the latency of an image.

        Raises:
            ConfigError: It is none of these, or not positive.
        """
        found = _TEXT.fullmatch(text)
        unit = _UNITS.get(found[2].lower()) if found else None
        if found is None or unit is None or not float(found[1]):
            raise ConfigError(
                f"budget {text!r} is none: write 400MB (weights on disk; KB, MB, GB, KiB, MiB, "
                "GiB), 300M or 1.1B (parameters; K, M, B) or 50ms (time for an image; ms, s)"
            )
        return cls(unit[0], float(found[1]) * unit[1])

    def words(self, cost: float) -> str:
        """A cost of this kind for people, such as "36.04M parameters"."""
        if self.kind == "latency":
            return f"{1e3 * cost:.4g} ms"
        sizes = {"G": 1e9, "M": 1e6, "k": 1e3, "": 1.0}
        prefix = next((name for name, size in sizes.items() if cost >= size), "")
        number = f"{cost / sizes[prefix]:.4g}"
        if self.kind == "bytes":
            return f"{number} {prefix}B"
        return f"{number}{ {'G': 'B', 'k': 'K'}.get(prefix, prefix) } parameters"
