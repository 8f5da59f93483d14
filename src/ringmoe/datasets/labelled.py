"""Labelled data as every task takes them: images of one place with a class, a mask or heights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from ringmoe.boxes import Objects
from ringmoe.errors import ShapeError
from ringmoe.sensors import Channel, Sensor

LabelKind = Literal["class", "mask", "height", "boxes", "rotated-boxes"]


@dataclass(frozen=True)
class Source:
    """What one image of every example is.

    Attributes:
        sensor: Where it comes from.
        channels: Which of the sensor's channels it has, in order.
        encoding: How the numbers in its files became units; None for the sensor's first.
        nodata: The number that meant "no data"; None where the files say.
    """

    sensor: Sensor
    channels: tuple[Channel, ...]
    encoding: str | None = None
    nodata: float | None = None

    @property
    def modality(self) -> str:
        """One of `ringmoe.sensors.MODALITIES`."""
        return self.sensor.modality

    @property
    def stem_channels(self) -> tuple[Channel, ...]:
        """What enters the stem: I and Q of complex channels, otherwise the channels themselves."""
        return self.sensor.stem_channels(self.channels)


@dataclass(frozen=True, eq=False)
class Image:
    """Calibrated pixels.

    Attributes:
        values: `(C, H, W)` float32 or complex64 in the channels' unit.
        valid: `(H, W)` bool, false where there are no data.

    Raises:
        ShapeError: The two do not agree.
    """

    values: np.ndarray
    valid: np.ndarray

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[1:] != self.valid.shape:
            raise ShapeError(
                f"Image: values {self.values.shape} and valid {self.valid.shape} do not agree: "
                "(C, H, W) and (H, W) are due"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.valid.shape[0], self.valid.shape[1]


@dataclass(frozen=True, eq=False)
class Example:
    """One place with its label.

    Attributes:
        name: Unique in its data set; says where it comes from.
        images: By the names of `LabelledData.sources`, all of one height and width.
        label: A class index; `(H, W)` int64 class indices, `IGNORED` (-1) where there is none; or
            `(H, W)` float32 heights in metres, NaN where unknown; or objects, horizontal (kind
            "boxes") or rotated ("rotated-boxes").

    Raises:
        ShapeError: Images and label do not lie on one grid.
    """

    name: str
    images: Mapping[str, Image]
    label: int | np.ndarray | Objects

    def __post_init__(self) -> None:
        sizes = {name: image.size for name, image in self.images.items()}
        if isinstance(self.label, np.ndarray):
            sizes["label"] = self.label.shape
        if len(set(sizes.values())) > 1:
            found = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ShapeError(f"{self.name}: expected one height and width for all, got {found}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return next(iter(self.images.values())).size


@runtime_checkable
class LabelledData(Protocol):
    """Examples with labels, wherever they come from."""

    @property
    def kind(self) -> LabelKind:
        """What a label is."""

    @property
    def sources(self) -> Mapping[str, Source]:
        """What each image of an example is, by name.

        One image is "image"; two dates are "before" and "after"; images of several sensors have
        the names of their modalities.
        """

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their indices; () for heights."""

    @property
    def names(self) -> Sequence[str]:
        """Of the examples, in order, each once."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def fingerprint(
    data: LabelledData, split: Mapping[str, np.ndarray] | None = None, *, sizes: bool = True
) -> str:
    """What a resumed run compares: the same data give the same 16 hexadecimal digits.

    Of kind, classes, sensors, channels and names, and of the files' sizes in bytes, the classes and
    the objects where the data know them (attributes `sizes`, `class_of` and `objects`). Pixels are
    not read.

    Args:
        data: The data.
        split: Indices of each part; goes into the digits too.
        sizes: Whether the files' sizes do: a file that was mended is another one.
    """
    facts: dict[str, Any] = {
        "kind": data.kind,
        "classes": list(data.classes),
        "sources": {
            name: [source.sensor.name, *(channel.name for channel in source.channels)]
            for name, source in data.sources.items()
        },
        "names": list(data.names),
        "sizes": [int(size) for size in getattr(data, "sizes", ())] if sizes else [],
    }
    class_of = getattr(data, "class_of", None)
    if class_of is not None:
        facts["labels"] = class_of.tolist()
    if split is not None:
        facts["split"] = {part: np.asarray(indices).tolist() for part, indices in split.items()}
    objects = getattr(data, "objects", None)
    if objects is not None:
        facts["objects"] = [_digest(one) for one in objects]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _digest(objects: Objects) -> str:
    parts = (objects.boxes, objects.classes, objects.ignored, objects.ids)
    joined = b"".join(part.tobytes() for part in parts if part is not None)
    return hashlib.sha256(joined).hexdigest()
