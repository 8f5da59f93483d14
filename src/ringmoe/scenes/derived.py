"""What is computed from the matrices of a T3, C3 or C2 folder: total power and single looks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ringmoe.scenes.polsarpro import ORDERS
from ringmoe.scenes.single_look import BLOCK, draw_single_looks, hermitian
from ringmoe.scenes.source import Source, Stack, is_nodata
from ringmoe.scenes.window import Window

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Derived(Source):
    """A source computed from matrices.

    Attributes:
        kind: "T3", "C3" or "C2".
        planes: The elements, the diagonal first.
        seed: Of the draws.
    """

    kind: str = ""
    planes: Stack | None = None
    seed: int = 0

    def _read_planes(self, count: int, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """The first planes, and where all hold data: power is positive wherever a radar looked."""
        assert self.planes is not None
        values, mask = self.planes.read(range(count), window)
        valid = np.ones(values.shape[1:], bool) if mask is None else mask
        for plane, nodata in zip(values, self.planes.nodata, strict=False):
            valid = valid & ~is_nodata(plane, nodata)
        return values, valid & (values[: ORDERS[self.kind]].sum(0) > 0)


class TotalPower(_Derived):
    """One band, "span": the trace of the matrix, the power of all polarisations together."""

    def read(self, bands: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """See `Source.read`; linear power, float32."""
        diagonal, valid = self._read_planes(ORDERS[self.kind], window)
        return diagonal.sum(0, dtype=np.float32)[None].repeat(len(bands), 0), valid


class SingleLook(_Derived):
    """One complex band a polarisation: draws (see `single_look`), the same for every window."""

    def read(self, bands: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """See `Source.read`; whole blocks are drawn, then cut to the window."""
        rows, columns = _aligned(window.rows, self.height), _aligned(window.columns, self.width)
        around = Window(
            rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start
        )
        order = ORDERS[self.kind]
        planes, valid = self._read_planes(order * order, around)
        looks = np.empty((self.count, *valid.shape), np.complex64)
        regularised = 0
        for place, (r, c) in _blocks(around):
            looks[:, r, c], bad = draw_single_looks(
                hermitian(planes[:, r, c], order), valid[r, c], self.kind, self.seed, place
            )
            regularised += bad
        if regularised:
            _LOG.info(
                "%s: %d of %d matrices are not positive semi-definite: negative eigenvalues were "
                "set to 0 before drawing single looks",
                self.path,
                regularised,
                valid.sum(),
            )
        down, right = window.row - around.row, window.column - around.column
        inside = (slice(down, down + window.height), slice(right, right + window.width))
        return looks[list(bands)][:, *inside], valid[inside]


def derive_total_power(planes: Stack, kind: str) -> TotalPower:
    """The span of matrices as a source of one band."""
    return TotalPower(
        planes.path,
        planes.height,
        planes.width,
        names=("span",),
        dtypes=(np.dtype("float32"),),
        nodata=(None,),
        georeference=planes.georeference,
        kind=kind,
        planes=planes,
    )


def derive_single_look(
    planes: Stack, kind: str, polarisations: Sequence[str], seed: int
) -> SingleLook:
    """Draws from matrices as a source with one complex band for each polarisation."""
    return SingleLook(
        planes.path,
        planes.height,
        planes.width,
        names=tuple(polarisations),
        dtypes=(np.dtype("complex64"),) * len(polarisations),
        nodata=(None,) * len(polarisations),
        georeference=planes.georeference,
        kind=kind,
        planes=planes,
        seed=seed,
    )


def _aligned(pixels: slice, size: int) -> slice:
    """The pixels of all blocks that `pixels` touches, within a scene of that size."""
    return slice(pixels.start // BLOCK * BLOCK, min(-(-pixels.stop // BLOCK) * BLOCK, size))


def _blocks(around: Window) -> Iterator[tuple[tuple[int, int], tuple[slice, slice]]]:
    """Each block of an aligned window: its place in the scene, its pixels in the window."""
    for row in range(0, around.height, BLOCK):
        for column in range(0, around.width, BLOCK):
            place = (around.row + row) // BLOCK, (around.column + column) // BLOCK
            yield place, (slice(row, row + BLOCK), slice(column, column + BLOCK))
