"""Label files as arrays on an image's grid: class indices, heights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from ringmoe.datasets.class_codes import ClassCodes
from ringmoe.datasets.tiles import IGNORED
from ringmoe.errors import DatasetError
from ringmoe.scenes import Scene, Window
from ringmoe.scenes.gdal import open_gdal
from ringmoe.scenes.georeference import Georeference
from ringmoe.scenes.numpy_stack import open_numpy
from ringmoe.scenes.source import Source, is_nodata

# Metres: the Dead Sea's shore and Mount Everest, with some room. No height on Earth lies outside.
_LOWEST, _HIGHEST = -500.0, 9000.0
_MARGIN = 2  # pixels of a height raster beside those that an image's window needs


def read_mask(path: str, codes: ClassCodes, scene: Scene, window: Window) -> np.ndarray:
    """The classes of an image's window, `(H, W)` int64.

    Raises:
        DatasetError: The mask has another size or CRS than the image, lies elsewhere, holds a code
            that is no class, or bands that are neither codes nor colours.
        SceneReadError: It is empty, truncated or of no known format.
    """
    label = open_label(path)
    check_same_grid(path, label, scene)
    planes, mask = label.read(range(label.count), window)
    known = np.ones(planes.shape[1:], bool) if mask is None else mask
    labels = _classes(path, label, planes, known, codes)
    labels[~known] = IGNORED
    return labels


def _classes(
    path: str, label: Source, planes: np.ndarray, known: np.ndarray, codes: ClassCodes
) -> np.ndarray:
    if codes.in_colour:
        if label.count != 3:
            raise DatasetError(
                f"{path}: expected three bands of colours as classes says, found {label.count}: "
                "give the codes as numbers, or expand the mask (gdal_translate -expand rgb)"
            )
        red, green, blue = planes.astype(np.int64)
        return codes.to_indices((red << 16) + (green << 8) + blue, known, path)
    if (planes != planes[:1]).any():
        raise DatasetError(
            f"{path}: expected one band of class codes, found {label.count} that differ: give the "
            'classes as colours, name to "#rrggbb"'
        )
    return codes.to_indices(planes[0], known & ~is_nodata(planes[0], label.nodata[0]), path)


def read_heights(
    path: str, scene: Scene, window: Window, unknown: Sequence[float] = ()
) -> np.ndarray:
    """Heights in metres on the grid of an image's window.

    A raster on the image's own grid is taken as it is; any other is resampled by its CRS: averaged
    where its pixels are finer than the image's, bilinear where they are coarser.

    Args:
        path: A raster of one band.
        scene: The image.
        window: Which pixels of the image.
        unknown: Numbers that mean "no height", beside the one that the file declares.

    Returns:
        `(H, W)` float32, NaN where no height is known.

    Raises:
        DatasetError: The raster has another size than the image and one of them no georeference,
            does not meet the image, or holds numbers that are no heights on Earth.
        SceneReadError: It is empty, truncated or of no known format.
    """
    label = open_label(path)
    own = label.georeference
    if (label.height, label.width) == (scene.height, scene.width) and (
        own.transform is None or scene.transform is None or _same_place(own, scene)
    ):
        _check_crs(path, own.crs, scene)
        return _heights(path, label, window, unknown)
    if None in (own.crs, own.transform, scene.crs, scene.transform):
        raise DatasetError(
            f"{path}: {label.height} x {label.width} pixels, but {scene.path} has {scene.height} x "
            f"{scene.width}, and they have no georeference to resample by: give one to both"
        )
    near = _window_around(path, label, scene, window)
    heights = np.full((window.height, window.width), np.nan, np.float32)
    source_place = own.cut(near).transform
    target_place = scene.source.georeference.cut(window).transform
    assert source_place is not None and target_place is not None
    reproject(
        _heights(path, label, near, unknown),
        heights,
        src_transform=source_place,
        src_crs=own.crs,
        src_nodata=np.nan,
        dst_transform=target_place,
        dst_crs=scene.crs,
        dst_nodata=np.nan,
        resampling=_resampling(near, window),
    )
    return heights


def open_label(path: str) -> Source:
    """A file of labels; indices into a colour table are taken as they are.

    Raises:
        SceneReadError: It is absent, empty, truncated or of no known format.
    """
    if ".npy" not in path:
        return open_gdal(path, indices=True)
    file, _, date = path.partition("#")
    return open_numpy(Path(file), int(date) if date else None, (1,))


def check_same_grid(path: str, other: Source | Scene, scene: Scene) -> None:
    """Raise `DatasetError` unless a file lies pixel by pixel on an image."""
    if (other.height, other.width) != (scene.height, scene.width):
        raise DatasetError(
            f"{path}: {other.height} x {other.width} pixels, but {scene.path} has {scene.height} x "
            f"{scene.width}: resample it to the image's grid"
        )
    place = other.source.georeference if isinstance(other, Scene) else other.georeference
    _check_crs(path, place.crs, scene)
    own = scene.source.georeference
    if not place.is_placed or not own.is_placed or _same_place(place, scene):
        return
    raise DatasetError(
        f"{path}: lies elsewhere than {scene.path}, of as many pixels: {place.words}, expected "
        f"{own.words}; resample it to the image's grid"
    )


def _check_crs(path: str, crs: CRS | None, scene: Scene) -> None:
    if crs is not None and scene.crs is not None and crs != scene.crs:
        raise DatasetError(
            f"{path}: its coordinate reference system is {crs.to_string()}, but "
            f"{scene.crs.to_string()} that of {scene.path}: reproject it to the image's grid"
        )


def _same_place(place: Georeference, scene: Scene) -> bool:
    """Whether a grid of as many pixels is the image's; a CRS that is not given is taken as its."""
    own = scene.source.georeference
    return replace(place, crs=own.crs).meets(own, scene.height, scene.width)


def _apply(transform: Affine, x: float, y: float) -> tuple[float, float]:
    """A point through a transform; the operator for it differs between versions of affine."""
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def _heights(path: str, label: Source, window: Window, unknown: Sequence[float]) -> np.ndarray:
    planes, mask = label.read([0], window)
    heights = planes[0].astype(np.float32)
    missing = is_nodata(planes[0], label.nodata[0])
    for number in unknown:
        missing |= is_nodata(planes[0], number)
    heights[missing if mask is None else missing | ~mask] = np.nan
    if label.count != 1:
        raise DatasetError(f"{path}: expected one band of heights, found {label.count}")
    if np.isinf(heights).any() or (heights < _LOWEST).any() or (heights > _HIGHEST).any():
        raise DatasetError(
            f"{path}: holds {np.nanmin(heights):g} to {np.nanmax(heights):g}, expected metres: if "
            "one number means that no height is known, name it in ignore"
        )
    return heights


def _window_around(path: str, label: Source, scene: Scene, window: Window) -> Window:
    """The pixels of a label raster that an image's window needs, with some to spare."""
    own, place = label.georeference, scene.source.georeference.cut(window).transform
    assert own.transform is not None and place is not None
    corners = [_apply(place, c, r) for c in (0, window.width) for r in (0, window.height)]
    xs, ys = zip(*corners, strict=True)
    left, bottom, right, top = transform_bounds(
        scene.crs, own.crs, min(xs), min(ys), max(xs), max(ys)
    )
    back = ~own.transform
    pixels = [_apply(back, x, y) for x in (left, right) for y in (bottom, top)]
    columns, rows = (sorted(axis) for axis in zip(*pixels, strict=True))
    first_row = max(0, int(rows[0]) - _MARGIN)
    first_column = max(0, int(columns[0]) - _MARGIN)
    last_row = min(label.height, int(np.ceil(rows[-1])) + _MARGIN)
    last_column = min(label.width, int(np.ceil(columns[-1])) + _MARGIN)
    if last_row <= first_row or last_column <= first_column:
        raise DatasetError(f"{path}: lies elsewhere than {scene.path}: name the right file")
    return Window(first_row, first_column, last_row - first_row, last_column - first_column)


def _resampling(near: Window, window: Window) -> Resampling:
    """Averaged where the label's pixels are finer than the image's."""
    spare = 2 * _MARGIN
    finer = (near.height - spare) * (near.width - spare) > window.height * window.width
    return Resampling.average if finer else Resampling.bilinear
