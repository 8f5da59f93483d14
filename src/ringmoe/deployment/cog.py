"""From plain planes to a cloud-optimised GeoTIFF, in little memory, whole or not at all."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from ringmoe.deployment.colours import Colour
from ringmoe.deployment.journal import Planes
from ringmoe.errors import WriteError
from ringmoe.files import replacing
from ringmoe.scenes import Scene

_TYPES = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}
_SETTINGS = {"GDAL_CACHEMAX": 32 * 2**20, "GDAL_VRT_ENABLE_RAWRASTERBAND": True}
_BLOCK = 512
_SIDECARS = (".aux.xml", ".ovr", ".msk")


@dataclass(frozen=True)
class Legend:
    """What the values of a map mean.

    Attributes:
        bands: Description of each band.
        nodata: Stands for "no data".
        classes: Names of the classes that values count, from 0; none for measured values.
        colours: Red, green and blue of each class, 0 to 255.
        scale: What a stored value is multiplied by to get its meaning.
        unit: Of the values.
        tags: Further metadata of the file.
    """

    bands: Sequence[str]
    nodata: float
    classes: Sequence[str] = ()
    colours: Sequence[Colour] = ()
    scale: float = 1.0
    unit: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def write_cog(planes: Planes, out: Path, scene: Scene, legend: Legend) -> None:
    """Write planes as a tiled, compressed GeoTIFF with overviews, where a scene lies.

    Overviews take the nearest of classes and the average of values. Names of classes are in the
    file's tags (`class_names`, a JSON list), and in an `.aux.xml` beside it for GDAL and QGIS.

    Args:
        planes: uint8, uint16 or float32.
        out: The file; an old one stays until the new one is whole.
        scene: Whose CRS, and transform or ground control points, the map has.
        legend: What the values mean.

    Raises:
        WriteError: Disk full, no permission and the like; an old file stands untouched.
    """
    description = planes.path.with_suffix(".vrt")  # beside the planes: GDAL reads no others
    made = planes.path.with_suffix(".tif")
    description.write_bytes(ElementTree.tostring(_describe(planes, scene, legend)))
    options = {
        "compress": "deflate",
        "blocksize": _BLOCK,
        "bigtiff": "if_safer",
        "overview_resampling": "nearest" if legend.classes else "average",
        "predictor": "no" if legend.classes else "yes",
        "num_threads": "all_cpus",
    }
    try:
        with rasterio.Env(**_SETTINGS), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            rasterio.shutil.copy(description, made, driver="COG", **options)
            _check_whole(made, out)
    except RasterioError as error:
        raise WriteError(f"{out}: cannot be written ({error})") from error
    with replacing(out) as partial:
        os.rename(made, partial)
    for ending in _SIDECARS:  # of another program, or of the old file
        out.with_name(out.name + ending).unlink(missing_ok=True)
    names = made.with_name(made.name + ".aux.xml")
    if names.exists():
        shutil.move(names, out.with_name(out.name + ".aux.xml"))


def _describe(planes: Planes, scene: Scene, legend: Legend) -> ElementTree.Element:
    """The planes as GDAL's VRT: https://gdal.org/drivers/raster/vrt.html."""
    count, height, width = planes.shape
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    crs = scene.crs.to_wkt() if scene.crs else ""
    if scene.gcps:
        points = _add(root, "GCPList", Projection=crs)
        for i, p in enumerate(scene.gcps, 1):
            place = {"Pixel": p.col, "Line": p.row, "X": p.x, "Y": p.y, "Z": p.z or 0.0}
            texts = {key: repr(float(value)) for key, value in place.items()}
            _add(points, "GCP", Id=str(p.id or i), Info=p.info or "", **texts)
    elif scene.transform is not None:
        if crs:
            _add(root, "SRS", crs)
        a, b, c, d, e, f = scene.transform[:6]
        _add(root, "GeoTransform", ", ".join(repr(float(x)) for x in (c, a, b, f, d, e)))
    metadata = _add(root, "Metadata")
    for key, value in legend.tags.items():
        _add(metadata, "MDI", value, key=key)
    size = planes.dtype.itemsize
    for index in range(count):
        band = _add(
            root,
            "VRTRasterBand",
            dataType=_TYPES[planes.dtype.name],
            band=str(index + 1),
            subClass="VRTRawRasterBand",
        )
        _add(band, "Description", legend.bands[index])
        _add(band, "NoDataValue", repr(float(legend.nodata)))
        if legend.unit:
            _add(band, "UnitType", legend.unit)
        if legend.scale != 1:
            _add(band, "Scale", repr(legend.scale))
        if legend.classes:
            _add_classes(band, legend)
        _add(band, "SourceFilename", planes.path.name, relativetoVRT="1")
        _add(band, "ImageOffset", str(index * height * width * size))
        _add(band, "PixelOffset", str(size))
        _add(band, "LineOffset", str(width * size))
        _add(band, "ByteOrder", "LSB" if np.little_endian else "MSB")
    return root


def _add_classes(band: ElementTree.Element, legend: Legend) -> None:
    """Colours (of nodata: transparent) and names."""
    _add(band, "ColorInterp", "Palette")
    table = _add(band, "ColorTable")
    entries = {index: (*colour, 255) for index, colour in enumerate(legend.colours)}
    for index in range(int(legend.nodata) + 1):
        colour = entries.get(index, (0, 0, 0, 0))
        _add(table, "Entry", **{f"c{i}": str(c) for i, c in enumerate(colour, 1)})
    names = _add(band, "CategoryNames")
    for name in legend.classes:
        _add(names, "Category", name)


def _add(
    parent: ElementTree.Element, tag: str, text: str = "", **attributes: str
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _check_whole(made: Path, out: Path) -> None:
    """Raise if the file ends before its last block does: GDAL does not tell of every full disk."""
    with rasterio.open(made) as dataset:
        column, row = (dataset.width - 1) // _BLOCK, (dataset.height - 1) // _BLOCK
        for band in dataset.indexes:
            place, size = (
                int(dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band) or 0)
                for what in ("OFFSET", "SIZE")
            )
            if place + size > made.stat().st_size:
                raise WriteError(
                    f"{out}: the disk filled up; free some space and run the same command again"
                )
