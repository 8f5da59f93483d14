"""TorchGeo's data sets as labelled data: known by the shape of their samples, nothing imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ringmoe.datasets.class_codes import ClassCodes
from ringmoe.datasets.config import DATES, ImageFormat
from ringmoe.datasets.labelled import Example, Image, LabelKind, Source
from ringmoe.errors import ConfigError, DatasetError, ShapeError
from ringmoe.sensors import Channel, Sensor, calibrate, check_values, get_sensor

# Where the codes of TorchGeo's masks are not the places in its `classes`, or it has none
# (torchgeo/datasets/loveda.py, levircd.py of 0.8): classes, and codes without one.
_KNOWN: dict[str, tuple[dict[str, int], tuple[int, ...]]] = {
    "LoveDA": (
        {
            "background": 1,
            "building": 2,
            "road": 3,
            "water": 4,
            "barren": 5,
            "forest": 6,
            "agriculture": 7,
        },
        (0,),
    ),
    "LEVIRCD": ({"no change": 0, "change": 1}, ()),
    "LEVIRCDPlus": ({"no change": 0, "change": 1}, ()),
}


class Samples(Protocol):
    """What is asked of a data set: samples with `image` (or `image1`, `image2`) and a label."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True, eq=False)
class TorchGeoData:
    """A TorchGeo data set, as `LabelledData`. Made by `from_torchgeo`.

    Attributes:
        dataset: TorchGeo's.
        kind: What a label is.
        form: How its numbers become units.
        planes: Which channels of its images are taken.
        sources: What each image is.
        classes: Class names; () for heights.
        codes: What the codes of masks mean.
        names: Files of the examples below the data set's root, or their numbers.
    """

    dataset: Samples
    kind: LabelKind
    form: ImageFormat
    planes: tuple[int, ...]
    sources: dict[str, Source]
    classes: tuple[str, ...]
    codes: ClassCodes | None
    names: tuple[str, ...]
    _checked: set[int] = field(default_factory=set, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        """Read an example.

        Raises:
            DatasetError: It has no label, or one that is no class.
            ShapeError: It has other channels than the first, or its label another size.
            ValueRangeError: Values cannot be in the sensor's unit.
        """
        sample, name = self.dataset[index], self.names[index]
        images = {}
        for key, values in _images(sample, name).items():
            if values.shape[0] <= max(self.planes):
                raise ShapeError(f"{name}: has {values.shape[0]} channels, the first had more")
            images[key] = self._image(values[list(self.planes)], name, index)
        self._checked.add(index)
        return Example(name, images, self._label(sample, name))

    def _image(self, digital: np.ndarray, name: str, index: int) -> Image:
        valid = ~np.isnan(digital).any(0)
        values = calibrate(np.where(valid, digital, 0), self.form.calibration)
        values[:, ~valid] = 0
        if index not in self._checked:
            channels = next(iter(self.sources.values())).channels
            check_values(values, channels, valid, name)
        return Image(values, valid)

    def _label(self, sample: Mapping[str, Any], name: str) -> int | np.ndarray:
        found = _label(sample, name)
        if self.kind == "class":
            label = int(found)
            if not 0 <= label < len(self.classes):
                raise DatasetError(
                    f"{name}: label {label}, expected 0 to {len(self.classes) - 1}: "
                    "name all classes"
                )
            return label
        if self.codes is None:
            return found.astype(np.float32)
        return self.codes.to_indices(found, np.ones(found.shape, bool), name)


def from_torchgeo(
    dataset: Samples,
    sensor: str | Sensor,
    *,
    bands: Sequence[str] | None = None,
    encoding: str | None = None,
    classes: Sequence[str] | Mapping[str, int] = (),
    ignore: Sequence[int] = (),
) -> TorchGeoData:
    """Take a data set of TorchGeo's, or any other with such samples.

    A sample is a dict with `image` `(C, H, W)`, or two dates as `image1` and `image2` or as one
    `image` `(2, C, H, W)`; and with `label`, or with `mask`: integers are class codes, floating
    numbers heights in metres. Its numbers are taken as the files' own: give no transforms.

    Args:
        dataset: An instance, e.g. `torchgeo.datasets.RESISC45(root, split="train")`.
        sensor: What its images are, a name of the sensor catalogue or a `Sensor`.
        bands: What each channel of an image is, in order, "-" for one to skip; None: the sensor's
            own order.
        encoding: How numbers become units; None for the sensor's first.
        classes: Names in the order of their codes, or name to code; none: `dataset.classes`.
        ignore: Codes of a mask that are no class.

    Raises:
        ConfigError: There is no example, or the classes are not known.
        DatasetError: A sample has no image or no label.
        ShapeError: Not one name a channel.
    """
    if len(dataset) == 0:
        raise ConfigError(f"{type(dataset).__name__}: has no example; check its root and split")
    if isinstance(sensor, str):
        sensor = get_sensor(sensor)
    form = ImageFormat(sensor, None if bands is None else tuple(bands), encoding)
    first = dataset[0]
    name = f"{type(dataset).__name__}[0]"
    images, label = _images(first, name), _label(first, name)
    planes, channels = _channels(next(iter(images.values())).shape[0], form, name)
    kind: LabelKind = (
        "class" if label.ndim == 0 else "mask" if label.dtype.kind in "iub" else "height"
    )
    codes = None if kind == "height" else _codes(dataset, classes, ignore)
    return TorchGeoData(
        dataset=dataset,
        kind=kind,
        form=form,
        planes=planes,
        sources={key: Source(sensor, channels, encoding) for key in images},
        classes=() if codes is None else codes.names,
        codes=codes if kind == "mask" else None,
        names=tuple(_names(dataset)),
    )


def _images(sample: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
    if "image1" in sample and "image2" in sample:
        found = [np.asarray(sample["image1"]), np.asarray(sample["image2"])]
    elif "image" in sample:
        image = np.asarray(sample["image"])
        found = list(image) if image.ndim == 4 else [image]
    else:
        raise DatasetError(
            f"{name}: expected a sample with image, or image1 and image2, found {', '.join(sample)}"
        )
    if len(found) > 2 or any(image.ndim != 3 for image in found):
        raise ShapeError(
            f"{name}: expected one image (C, H, W) or two dates of it, found "
            f"{[image.shape for image in found]}"
        )
    return dict(zip(DATES if len(found) == 2 else ("image",), found, strict=True))


def _label(sample: Mapping[str, Any], name: str) -> np.ndarray:
    """`()` of a class or `(H, W)`; TorchGeo gives some masks as `(1, H, W)`."""
    key = next((key for key in ("label", "mask") if key in sample), None)
    if key is None:
        raise DatasetError(
            f"{name}: expected a sample with label or mask, found {', '.join(sample)}: the "
            "published test part of this data set may have none"
        )
    label = np.asarray(sample[key])
    label = label.reshape(label.shape[-2:]) if label.ndim == 3 and len(label) == 1 else label
    if label.ndim != (0 if key == "label" else 2):
        raise ShapeError(
            f"{name}: expected one class an image, or a mask (H, W), found {key} of shape "
            f"{label.shape}"
        )
    return label


def _channels(
    count: int, form: ImageFormat, name: str
) -> tuple[tuple[int, ...], tuple[Channel, ...]]:
    """Which planes of an image are taken, and what they are."""
    sensor = form.sensor
    bands = form.bands or tuple(channel.name for channel in sensor.channels)
    if len(bands) != count:
        raise ShapeError(
            f"{name}: has {count} channels, but {len(bands)} are named ({', '.join(bands)}): name "
            "each in bands, '-' for one to skip"
        )
    planes = tuple(index for index, band in enumerate(bands) if band != "-")
    return planes, sensor.select(bands[index] for index in planes)


def _codes(
    dataset: Samples, classes: Sequence[str] | Mapping[str, int], ignore: Sequence[int]
) -> ClassCodes:
    known, without = _KNOWN.get(type(dataset).__name__, (None, ()))
    found = classes or known or tuple(getattr(dataset, "classes", ()))
    if not found:
        raise ConfigError(
            f"{type(dataset).__name__}: does not name its classes: give classes=(...)"
        )
    return ClassCodes.parse(found, ignore if classes else (*without, *ignore))


def _names(dataset: Samples) -> Iterator[str]:
    """Files below the root where the data set lists them, each once; else numbers."""
    files = getattr(dataset, "files", None) or getattr(dataset, "samples", None) or ()
    paths = [_first_path(entry) for entry in files]
    if len(set(paths)) == len(dataset) and all(paths):
        root = Path(getattr(dataset, "root", "."))
        for path in map(Path, paths):
            yield (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
    else:
        yield from (f"{type(dataset).__name__}[{index}]" for index in range(len(dataset)))


def _first_path(entry: Any) -> str:
    """The image's file of an entry: a path, (path, class), or a dict with the image's path."""
    if isinstance(entry, Mapping):
        entry = entry.get("image", entry.get("image1", ""))
    elif isinstance(entry, tuple):
        entry = entry[0]
    return str(entry) if isinstance(entry, str | Path) else ""
