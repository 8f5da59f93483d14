"""Parts of a published data set as one, with the split that it was published with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from ringmoe.boxes import Objects
from ringmoe.datasets.config import PARTS
from ringmoe.datasets.labelled import Example, LabelKind, LabelledData, Source
from ringmoe.datasets.split_file import Split
from ringmoe.datasets.splits import label_of
from ringmoe.errors import ConfigError


@dataclass(frozen=True, eq=False)
class JoinedData:
    """Several data of one kind as one: `LabelledData`; names have their part before them.

    Attributes:
        parts: By their names.
    """

    parts: Mapping[str, LabelledData]

    @property
    def kind(self) -> LabelKind:
        """What a label is."""
        return self._first.kind

    @property
    def sources(self) -> Mapping[str, Source]:
        """What each image is."""
        return self._first.sources

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""
        return self._first.classes

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the examples: `PART/NAME`."""
        return tuple(f"{part}/{name}" for part, data in self.parts.items() for name in data.names)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each example's files, where all parts know them."""
        return self._of_all("sizes") or ()

    @property
    def objects(self) -> tuple[Objects, ...] | None:
        """Of each example's whole image, where all parts know them."""
        return self._of_all("objects")

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def __getitem__(self, index: int) -> Example:
        part, inside = self._place(index)
        example = self.parts[part][inside]
        return Example(f"{part}/{example.name}", example.images, example.label)

    def label(self, index: int) -> int | np.ndarray | Objects:
        """The label alone, without its images where the part can do without reading them."""
        part, inside = self._place(index)
        return label_of(self.parts[part], inside)

    def _of_all(self, fact: str) -> tuple[Any, ...] | None:
        known: list[Any] = [getattr(data, fact, None) for data in self.parts.values()]
        return None if any(own is None for own in known) else tuple(chain(*known))

    @property
    def _first(self) -> LabelledData:
        return next(iter(self.parts.values()))

    def _place(self, index: int) -> tuple[str, int]:
        inside = range(len(self))[index]
        for part, data in self.parts.items():
            if inside < len(data):
                return part, inside
            inside -= len(data)
        raise IndexError(index)


def join_parts(parts: Mapping[str, LabelledData]) -> tuple[JoinedData, Split]:
    """Data that come in parts, as `finetune` takes them.

        data, split = join_parts(published("DIOR-R", "DIOR"))
        finetune("oriented-detection", config, data, split=split)

    Args:
        parts: "train", and perhaps "validation" and "test".

    Returns:
        All of them as one, and the indices of each part.

    Raises:
        ConfigError: Another name, no training part, or parts of other classes, kinds or sensors.
    """
    if "train" not in parts or not set(parts) <= set(PARTS):
        raise ConfigError(f"parts: expected train, and of {', '.join(PARTS)}, got {list(parts)}")
    first = parts["train"]
    for name, data in parts.items():
        facts = ("kind", "classes", "sources")
        other = [fact for fact in facts if getattr(data, fact) != getattr(first, fact)]
        if other:
            raise ConfigError(f"parts: {name} has other {', '.join(other)} than train: open alike")
    ends = np.cumsum([len(data) for data in parts.values()])
    split = {
        name: np.arange(end - len(data), end)
        for (name, data), end in zip(parts.items(), ends, strict=True)
    }
    empty = np.empty(0, np.int64)
    return JoinedData(dict(parts)), {part: split.get(part, empty) for part in PARTS}
