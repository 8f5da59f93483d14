"""Files that GDAL reads, through rasterio: GeoTIFF, COG, ENVI, PNG, JPEG and their like."""

from __future__ import annotations

import atexit
import os
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import getenv, hasenv
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from ringmoe.errors import SceneReadError
from ringmoe.scenes.bands import SKIPPED
from ringmoe.scenes.georeference import Georeference
from ringmoe.scenes.source import Source
from ringmoe.scenes.window import Window

# The cache would grow to 5 % of the machine's memory, and that is per process; a truncated JPEG
# must be an error, not a grey area; a server may stutter. Environment variables go before, and so
# does a `rasterio.Env` around the reading.
_SETTINGS = {
    "GDAL_CACHEMAX": 64 * 2**20,  # bytes: rasterio hands it to GDALSetCacheMax
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
}
_REMOTE_SETTINGS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}  # do not ask for side-car files
# What GDAL calls a part of a file that holds several: `NETCDF:"file.nc":temperature`.
_SUBDATASET = re.compile(
    r"(netcdf|hdf[45]\w*|gtiff_\w+|nitf_\w+|sentinel[12]_\w+|\w+_calib|zarr|gpkg):.", re.IGNORECASE
)
_ENDS = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}  # what stands in the last bytes
_FILES_KEPT_OPEN = 8  # a thread; opening anew for each window would drop the decoded blocks


@dataclass(frozen=True)
class GdalFile(Source):
    """Bands of a file or URL that rasterio opens; an alpha band is no band but a mask.

    Attributes:
        name: What rasterio is given: the path, or a URL as it was typed.
        indexes: rasterio's numbers (from 1) of the bands.
        mask_index: The band to ask for the mask, or None if nothing masks the file as a whole.
    """

    name: str = ""
    indexes: tuple[int, ...] = ()
    mask_index: int | None = None

    def read(self, bands: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """See `Source.read`."""
        area = RasterioWindow(window.column, window.row, window.width, window.height)
        with _settings(self.name), _telling(self.name, f"{window} cannot be read"):
            dataset = _OPEN_FILES.get(self.name)
            values = self._values(dataset, bands, area)
            if self.mask_index is None:
                return values, None
            return values, dataset.read_masks(self.mask_index, window=area) > 0

    def _values(
        self, dataset: DatasetReader, bands: Sequence[int], area: RasterioWindow
    ) -> np.ndarray:
        """At once, or band by band where types differ (`gdalbuildvrt -separate`)."""
        indexes = [self.indexes[band] for band in bands]
        if len({self.dtypes[band] for band in bands}) == 1:
            return dataset.read(indexes, window=area)
        return np.stack([dataset.read(index, window=area) for index in indexes])


def open_gdal(name: str, *, indices: bool = False, bands: Sequence[str] | None = None) -> GdalFile:
    """Look at a file or URL.

    Args:
        name: The path or URL.
        indices: Take the indices into a colour table as they are: classes of a label map.
        bands: What each band is, if that is known. With a name for the alpha band too it is a band
            as the others: GDAL takes the fourth of four for alpha, where nothing says otherwise.

    Raises:
        SceneReadError: It is absent, empty, cut short, or of a format that GDAL does not know.
    """
    if not is_remote(name):
        check_file(Path(name))
    with _settings(name), _telling(name, "no reader knows this format"):
        dataset = _OPEN_FILES.get(name)
        if dataset.count == 0:
            raise SceneReadError(f"{name}: holds no image, but {_contents(dataset)}; name one")
        is_alpha = [meaning == ColorInterp.alpha for meaning in dataset.colorinterp]
        named = bands if bands is not None and len(bands) == dataset.count else None
        kept = [i for i in dataset.indexes if named or not is_alpha[i - 1]]
        if ColorInterp.palette in dataset.colorinterp and not indices:
            raise SceneReadError(
                f"{name}: holds indices into a colour table, not measured values; expand them "
                "first: gdal_translate -expand rgb IN OUT"
            )
        _check_whole(name, dataset)
        is_band = named and any(a and n != SKIPPED for a, n in zip(is_alpha, named, strict=True))
        masked = [
            index
            for index in kept
            if MaskFlags.per_dataset in (flags := dataset.mask_flag_enums[index - 1])
            and not (is_band and MaskFlags.alpha in flags)
        ]
        return GdalFile(
            path=Path(name),
            height=dataset.height,
            width=dataset.width,
            names=tuple(dataset.descriptions[i - 1] for i in kept),
            dtypes=tuple(_dtype(dataset.dtypes[i - 1]) for i in kept),
            nodata=tuple(dataset.nodatavals[i - 1] for i in kept),
            georeference=_georeference(dataset),
            colours=tuple(dataset.colorinterp[i - 1].name for i in kept),
            scaling=tuple((dataset.scales[i - 1], dataset.offsets[i - 1]) for i in kept),
            name=name,
            indexes=tuple(kept),
            mask_index=masked[0] if masked else None,
        )


def is_remote(name: str) -> bool:
    """Whether a name is a URL, one of GDAL's virtual files or a part of one, no path on disk."""
    return "://" in name or name.startswith("/vsi") or _SUBDATASET.match(name) is not None


def check_file(path: Path) -> None:
    """Raise `SceneReadError` if there is no such file or nothing in it."""
    if not path.exists():
        raise SceneReadError(f"{path}: there is no such file; check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise SceneReadError(f"{path}: is empty (0 bytes); copy or download it again")


class _OpenFiles(threading.local):
    """The files last used by this thread, open: GDAL's handles must not be shared."""

    def __init__(self) -> None:
        self._datasets: OrderedDict[tuple, DatasetReader] = OrderedDict()

    def get(self, name: str) -> DatasetReader:
        key: tuple = (name, os.getpid())  # a forked child shares the parent's file position
        if not is_remote(name):
            status = os.stat(name)
            key += (status.st_ino, status.st_mtime_ns, status.st_size)  # replaced meanwhile?
        if key not in self._datasets:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                self._datasets[key] = rasterio.open(name)
            if len(self._datasets) > _FILES_KEPT_OPEN:
                self._datasets.popitem(last=False)[1].close()
        self._datasets.move_to_end(key)
        return self._datasets[key]

    def close(self) -> None:
        while self._datasets:
            self._datasets.popitem()[1].close()


_OPEN_FILES = _OpenFiles()
atexit.register(_OPEN_FILES.close)  # rasterio 1.5 prints an error if Python's own end closes them


@contextmanager
def _settings(name: str) -> Iterator[None]:
    settings = _SETTINGS | (_REMOTE_SETTINGS if is_remote(name) else {})
    given = os.environ.keys() | (getenv().keys() if hasenv() else ())
    with rasterio.Env(**{k: v for k, v in settings.items() if k not in given}):
        yield


@contextmanager
def _telling(name: str, what: str) -> Iterator[None]:
    """Turn GDAL's errors into a `SceneReadError` that names the file.

    GDAL keeps its last error until a file is opened, and rasterio would raise it again for the next
    file that is asked for its colours: so none stays open.
    """
    try:
        yield
    except SceneReadError:
        raise
    except UnicodeError as error:
        named = isinstance(error, UnicodeEncodeError)
        advice = "name: rename it" if named else "header: write that anew as UTF-8 (iconv)"
        raise SceneReadError(f"{name}: not UTF-8 in its {advice} ({error})") from error
    except (RasterioError, CPLE_BaseError, OSError) as error:
        _OPEN_FILES.close()
        reason = " ".join(str(error.__cause__ or error).split())
        raise SceneReadError(
            f"{name}: {what}; the file may be truncated or damaged, copy or download it again "
            f"({reason})"
        ) from error


def _dtype(name: str) -> np.dtype:
    """NumPy's type; GDAL's complex integers (Sentinel-1 SLC) are read as complex64."""
    return np.dtype("complex64" if name.startswith("complex_int") else name)


def _georeference(dataset: DatasetReader) -> Georeference:
    points, points_crs = dataset.gcps
    if points:
        return Georeference(points_crs, None, tuple(points))
    if dataset.crs is None and dataset.transform.is_identity:
        return Georeference()
    return Georeference(dataset.crs, dataset.transform)


def _contents(dataset: DatasetReader) -> str:
    return f"{len(dataset.subdatasets)} others, such as {dataset.subdatasets[:1]}"


def _check_whole(name: str, dataset: DatasetReader) -> None:
    """Raise if the file is cut short in a way that GDAL does not see: it would invent pixels."""
    if is_remote(name):
        return
    if dataset.driver == "ENVI":
        size = sum(_dtype(d).itemsize for d in dataset.dtypes) * dataset.height * dataset.width
        found = os.stat(name).st_size
        if found < size:
            raise SceneReadError(
                f"{name}: truncated: {found} bytes, the header promises {size}; copy it again"
            )
    if dataset.driver == "PNG":
        check_picture_end(name, "PNG")


def check_picture_end(name: str, form: str) -> None:
    """Raise if a PNG or JPEG lacks its last bytes; the file is not decoded.

    Raises:
        SceneReadError: It is cut short.
    """
    with open(name, "rb") as file:
        file.seek(max(0, os.stat(name).st_size - 4096))
        if _ENDS[form] not in file.read():
            raise SceneReadError(f"{name}: truncated: the {form} has no end; copy it again")
