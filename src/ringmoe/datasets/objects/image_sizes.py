"""Height and width of labelled images, from their headers."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ringmoe.datasets.config import DataConfig, ImageFormat
from ringmoe.datasets.objects.annotations import Found
from ringmoe.errors import RingmoeError
from ringmoe.scenes import open_scene
from ringmoe.scenes.gdal import check_picture_end


def image_sizes(found: Found, config: DataConfig) -> list[tuple[int, int] | None]:
    """Height and width of each row's first image, from its header; None where it cannot be used."""
    sizes: list[tuple[int, int] | None] = []
    colours: list[int] = []
    formats = config.formats(found.rows[0].images) if found.rows else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # no pixel is read
        for row in found.rows:
            name, path = next(iter(row.images.items()))
            try:
                size, count = _header(path, formats[name])
            except (RingmoeError, OSError) as error:
                size, count = None, 0
                found.report("image that cannot be opened", path, str(error))
            sizes.append(size)
            colours.append(count)
    usual = Counter(filter(None, colours)).most_common(1)
    for place, (row, count) in enumerate(zip(found.rows, colours, strict=True)):
        if count and count != usual[0][0]:
            sizes[place] = None
            path = next(iter(row.images.values()))
            reason = f"it has {count}, others have {usual[0][0]}, left out"
            found.report("image of another number of colours", path, reason)
    return sizes


def _header(path: str, form: ImageFormat) -> tuple[tuple[int, int], int]:
    """Height and width, and how many colours, 0 where that is open; without reading pixels.

    Pillow knows the usual formats' headers four times as fast as GDAL does.
    """
    try:
        if Path(path).suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"):
            with Image.open(path) as image:
                if image.format in ("PNG", "JPEG"):
                    check_picture_end(path, image.format)
                if image.mode != "P":  # GDAL says what is wrong with a colour table
                    colours = [band for band in image.getbands() if band != "A"]
                    return (image.height, image.width), len(colours)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        pass
    scene = open_scene(path, form.sensor, bands=form.bands, encoding=form.encoding)
    return (scene.height, scene.width), 0
