"""`Source`: bands of numbers in a file, before anyone says what they mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ringmoe.scenes.georeference import Georeference
from ringmoe.scenes.window import Window


@dataclass(frozen=True)
class Source(ABC):
    """What every reader gives: the shape of the bands at once, their numbers by window.

    Nothing is held open and no pixel is kept, so that a source can be copied to other threads and
    processes, and thousands of them can wait in a list.

    Attributes:
        path: The file or folder.
        height: Rows.
        width: Columns.
        names: What the file calls its bands; None for a band that it does not name.
        dtypes: The type of each band's numbers.
        nodata: The number that stands for "no data" in each band, if one is declared.
        georeference: Where the pixels lie.
        colours: What the file says each band shows on a screen, e.g. ("red", "green", "blue").
        scaling: Scale and offset that the file declares for each band, (1, 0) for none.
    """

    path: Path
    height: int
    width: int
    names: tuple[str | None, ...]
    dtypes: tuple[np.dtype, ...]
    nodata: tuple[float | None, ...]
    georeference: Georeference = field(default_factory=Georeference)
    colours: tuple[str, ...] = ()
    scaling: tuple[tuple[float, float], ...] = ()

    @property
    def count(self) -> int:
        """How many bands there are."""
        return len(self.names)

    @property
    def grid_words(self) -> str:
        """Its size and place, for messages."""
        place = self.georeference
        return f"{self.height} x {self.width} pixels, {place.crs or 'no CRS'}, {place.words}"

    @abstractmethod
    def read(self, bands: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """The numbers of some bands in a window that lies inside.

        Args:
            bands: Their indices, from 0, in the order wanted.
            window: Which pixels.

        Returns:
            `(len(bands), H, W)` as in the file, and `(H, W)` bool, false where the file's own mask
            (alpha, mask band, mask plane) says that there are no data; None where it has none.

        Raises:
            SceneReadError: The file is truncated, damaged or gone.
        """


@dataclass(frozen=True)
class Stack(Source):
    """Several sources of one shape as one: the bands of the first, then of the second, ...

    Attributes:
        parts: The sources, of equal height and width.
        validity: A source whose one band is zero where there are no data.
    """

    parts: tuple[Source, ...] = ()
    validity: Source | None = None

    def read(self, bands: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """See `Source.read`; numbers take the type that holds those of all parts."""
        where = [(part, band) for part in self.parts for band in range(part.count)]
        planes, masks = [], []
        for band in bands:
            part, own_band = where[band]
            plane, mask = part.read([own_band], window)
            planes.append(plane)
            masks += [] if mask is None else [mask]
        if self.validity is not None:
            masks.append(self.validity.read([0], window)[0][0] != 0)
        valid = np.logical_and.reduce(masks) if masks else None
        return np.concatenate(planes), valid


def is_nodata(plane: np.ndarray, nodata: float | None) -> np.ndarray:
    """Where numbers are NaN or the declared "no data" number; the shape of `plane`, bool.

    A complex number is "no data" if its real part is, and its imaginary part is that number too or
    0 (GDAL's convention): with 0 declared, only 0 + 0j.
    """
    missing = np.isnan(plane) if plane.dtype.kind in "fc" else np.zeros(plane.shape, bool)
    if nodata is None or np.isnan(nodata):
        return missing
    if plane.dtype.kind == "c":
        imaginary = _equals(plane.imag, nodata) | (plane.imag == 0)
        return missing | (_equals(plane.real, nodata) & imaginary)
    return missing | _equals(plane, nodata)


def _equals(plane: np.ndarray, nodata: float) -> np.ndarray:
    """Compare in the plane's precision: -3.4e38 in double is not quite that of its floats."""
    if plane.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return plane == np.array(nodata).astype(plane.dtype)
    return plane == nodata
