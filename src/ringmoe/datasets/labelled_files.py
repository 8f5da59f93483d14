"""`LabelledFiles`: files of images and labels as examples, read when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ringmoe.boxes import Objects
from ringmoe.datasets.class_codes import ClassCodes
from ringmoe.datasets.config import ImageFormat
from ringmoe.datasets.labelled import Example, Image, LabelKind, Source
from ringmoe.datasets.labels import check_same_grid, read_heights, read_mask
from ringmoe.datasets.objects.annotations import Problem
from ringmoe.datasets.objects.geometry import within
from ringmoe.datasets.table import Row
from ringmoe.errors import DatasetError
from ringmoe.scenes import Scene, Window, open_scene
from ringmoe.sensors import check_values


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Files of images and labels, as `LabelledData`.

    Values are checked against the sensor's unit when an example is read for the first time.

    Attributes:
        kind: What a label is.
        rows: The files of each example.
        formats: How each image is read.
        sources: What each image is.
        classes: Class names in the order of their indices; () for heights.
        class_of: `(N,)` int64, the class of each example, for kind "class".
        codes: What a mask's codes mean, for kind "mask".
        unknown_heights: Numbers that mean "no height", for kind "height".
        objects: Of each example's whole image, for kinds "boxes" and "rotated-boxes".
        problems: What is wrong with labels of objects; the rest is used without it.
        sizes: Bytes of each example's files.
    """

    kind: LabelKind
    rows: tuple[Row, ...]
    formats: dict[str, ImageFormat]
    sources: dict[str, Source]
    classes: tuple[str, ...]
    class_of: np.ndarray | None = None
    codes: ClassCodes | None = None
    unknown_heights: tuple[float, ...] = ()
    objects: tuple[Objects, ...] | None = None
    problems: tuple[Problem, ...] = ()
    sizes: tuple[int, ...] = ()
    _checked: set[int] = field(default_factory=set, init=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the examples: the first image's path, and its window where it is not all of it."""
        return tuple(row.name for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        """Read an example.

        Raises:
            DatasetError: Its files do not agree in size, CRS or channels, or a label is no class.
            SceneReadError: A file is damaged.
            ValueRangeError: Values cannot be in the sensor's unit.
            ShapeError: The window reaches outside the image.
        """
        row = self.rows[index]
        scenes = {name: self._open(row, name) for name in self.formats}
        first = next(iter(scenes.values()))
        window = row.window or whole_image(first)
        images = {}
        for name, scene in scenes.items():
            if scene is not first:
                check_same_grid(row.images[name], scene, first)
            raster = scene.read(window)
            if index not in self._checked:
                check_values(raster.values, raster.channels, raster.valid, row.images[name])
            images[name] = Image(raster.values, raster.valid)
        self._checked.add(index)
        return Example(row.name, images, self._label(index, first, window))

    def label(self, index: int) -> int | np.ndarray | Objects:
        """The label alone: what `self[index].label` is, without reading its images."""
        row = self.rows[index]
        if self.class_of is not None:
            return int(self.class_of[index])
        if self.objects is not None:
            return self._objects(index)
        first = self._open(row, next(iter(self.formats)))
        return self._label(index, first, row.window or whole_image(first))

    def window(self, index: int) -> Window:
        """The pixels of the image that an example is."""
        row = self.rows[index]
        return row.window or whole_image(self._open(row, next(iter(self.formats))))

    def _label(self, index: int, scene: Scene, window: Window) -> int | np.ndarray | Objects:
        path = self.rows[index].label
        if self.class_of is not None:
            return int(self.class_of[index])
        if self.objects is not None:
            return self._objects(index)
        if self.codes is not None:
            return read_mask(path, self.codes, scene, window)
        return read_heights(path, scene, window, self.unknown_heights)

    def _objects(self, index: int) -> Objects:
        assert self.objects is not None
        whole, window = self.objects[index], self.rows[index].window
        if window is None:
            return whole
        return within(whole, window.column, window.row, window.width, window.height)[0]

    def _open(self, row: Row, name: str) -> Scene:
        scene = open_image(row.images[name], self.formats[name])
        if scene.channels != self.sources[name].channels:
            found, expected = (
                ", ".join(c.name for c in channels)
                for channels in (scene.channels, self.sources[name].channels)
            )
            raise DatasetError(
                f"{row.images[name]}: has the channels {found}, but {expected} in the other "
                "files: name its bands alike, or leave it out"
            )
        return scene


def whole_image(scene: Scene) -> Window:
    """All pixels of an image."""
    return Window(0, 0, scene.height, scene.width)


def open_image(path: str, form: ImageFormat) -> Scene:
    """One image file, still unread."""
    return open_scene(
        path, form.sensor, bands=form.bands, encoding=form.encoding, nodata=form.nodata
    )
