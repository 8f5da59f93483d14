"""Examples that stay in memory once they were read, as far as there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np

from ringmoe.boxes import Objects
from ringmoe.datasets.labelled import Example, LabelKind, LabelledData, Source

MEGABYTE = 1_000_000


class CachedExamples:
    """Labelled data of which each example is read once, as far as they fit in memory.

    What was read first stays: training visits all examples before it comes to one again, so that of
    many the last ones read would be put out before they serve. Arrays that stay are read-only.

    Args:
        data: Where examples are read.
        megabytes: Of examples that stay; 0 for none.
    """

    def __init__(self, data: LabelledData, megabytes: float) -> None:
        self._data, self._room = data, megabytes * MEGABYTE
        self._examples: dict[int, Example] = {}
        self._lock = Lock()  # loaders read in threads

    @property
    def kind(self) -> LabelKind:
        """What a label is."""
        return self._data.kind

    @property
    def sources(self) -> Mapping[str, Source]:
        """What each image of an example is, by name."""
        return self._data.sources

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self._data.classes

    @property
    def names(self) -> Sequence[str]:
        """Of the examples."""
        return self._data.names

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Example:
        """An example, from memory or as the data read it, with the errors that they raise."""
        if (known := self._examples.get(index)) is not None:
            return known
        example = self._data[index]
        arrays = _arrays(example)
        size = sum(array.nbytes for array in arrays)
        with self._lock:
            if index not in self._examples and size <= self._room:
                for array in arrays:
                    array.setflags(write=False)
                self._room -= size
                self._examples[index] = example
        return example


def _arrays(example: Example) -> list[np.ndarray]:
    """Those that take memory; objects are in memory anyway."""
    images = [part for image in example.images.values() for part in (image.values, image.valid)]
    is_small = isinstance(example.label, int | Objects)
    return images if is_small else [*images, np.asarray(example.label)]
