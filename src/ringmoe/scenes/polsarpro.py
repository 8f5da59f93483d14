"""PolSARpro-style folders: one file for each element of a matrix.

T3 is the coherency matrix (Pauli basis), C3 the covariance matrix (lexicographic basis), C2 that
of two polarisations, S2 the scattering matrix itself (PolSARpro v6, "Data formats"; Lee and
Pottier, Polarimetric Radar Imaging, CRC Press 2009, sections 3.1 to 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ringmoe.errors import SceneReadError, ShapeError
from ringmoe.scenes.gdal import check_file, open_gdal
from ringmoe.scenes.source import Source, Stack
from ringmoe.scenes.window import Window

SCATTERING = {"s11": "HH", "s12": "HV", "s21": "VH", "s22": "VV"}
ORDERS = {"T3": 3, "C3": 3, "C2": 2}  # rows of the matrix
_VALIDITY = "mask_valid_pixels.bin"


def kind_of(folder: Path) -> str:
    """What a folder holds: "T3", "C3", "C2" or "S2".

    Raises:
        SceneReadError: None of these.
    """
    for last_element, kind in (("T44", "T4"), ("C44", "C4")):
        if (folder / f"{last_element}.bin").exists():
            raise SceneReadError(
                f"{folder}: holds {kind} matrices (bistatic), which no reader knows: convert them "
                f"to {kind[0]}3 with PolSARpro"
            )
    for last_element, kind in (("T33", "T3"), ("C33", "C3"), ("C22", "C2")):
        if (folder / f"{last_element}.bin").exists():
            return kind
    if any((folder / f"{name}.bin").exists() for name in SCATTERING):
        return "S2"
    raise SceneReadError(
        f"{folder}: is a folder without PolSARpro planes (T33.bin, C33.bin, C22.bin, s11.bin): "
        "give the folder that holds them, a file, or a list of files with one band each"
    )


def open_folder(folder: Path, kind: str) -> Stack:
    """Its planes, by name: first the diagonal, then real and imaginary parts of the upper half.

    Raises:
        SceneReadError: A plane is missing or truncated, or nothing tells its size.
        ShapeError: The planes differ in size.
    """
    if kind == "S2":
        names = [name for name in SCATTERING if (folder / f"{name}.bin").exists()]
    else:
        names = element_names(kind)
    dtype = np.dtype("<c8" if kind == "S2" else "<f4")
    parts = tuple(_open_plane(folder / f"{name}.bin", dtype) for name in names)
    validity = folder / _VALIDITY
    checker = _open_plane(validity, np.dtype("<f4")) if validity.exists() else None
    first = parts[0]
    for part in (*parts, *([checker] if checker else [])):
        if (part.height, part.width) != (first.height, first.width):
            raise ShapeError(
                f"{part.path}: {part.height} x {part.width} pixels, but {first.path.name} has "
                f"{first.height} x {first.width}: the planes of a folder must agree"
            )
    return Stack(
        path=folder,
        height=first.height,
        width=first.width,
        names=tuple(SCATTERING.get(name, name) for name in names),
        dtypes=tuple(part.dtypes[0] for part in parts),
        nodata=tuple(part.nodata[0] for part in parts),
        georeference=first.georeference,  # later planes of some products carry a default one
        parts=parts,
        validity=checker,
    )


def element_names(kind: str) -> list[str]:
    """Names of a matrix's planes: T11, T22, T33, T12_real, T12_imag, T13_real, ..."""
    letter, order = kind[0], ORDERS[kind]
    diagonal = [f"{letter}{i}{i}" for i in range(1, order + 1)]
    above = [(i, j) for i in range(1, order + 1) for j in range(i + 1, order + 1)]
    return diagonal + [f"{letter}{i}{j}_{part}" for i, j in above for part in ("real", "imag")]


@dataclass(frozen=True)
class _RawPlane(Source):
    """A plane without an ENVI header: little-endian numbers, row by row."""

    def read(self, bands: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """See `Source.read`."""
        check_file(self.path)
        plane = np.memmap(self.path, self.dtypes[0], "r", shape=(self.height, self.width))
        return np.array(plane[window.rows, window.columns])[None].repeat(len(bands), 0), None


def _open_plane(path: Path, dtype: np.dtype) -> Source:
    check_file(path)
    if path.with_suffix(".bin.hdr").exists() or path.with_suffix(".hdr").exists():
        return open_gdal(str(path))
    height, width = _configured_size(path.parent / "config.txt")
    if path.stat().st_size != height * width * dtype.itemsize:
        raise SceneReadError(
            f"{path}: {path.stat().st_size} bytes, expected {height * width * dtype.itemsize} for "
            f"the {height} x {width} {dtype} of config.txt: truncated, or another format"
        )
    return _RawPlane(path, height, width, (path.stem,), (dtype,), (None,))


def _configured_size(config: Path) -> tuple[int, int]:
    """Nrow and Ncol of a PolSARpro config.txt (each value on the line after its name)."""
    try:
        lines = [line.strip() for line in config.read_text().splitlines()]
        return int(lines[lines.index("Nrow") + 1]), int(lines[lines.index("Ncol") + 1])
    except (OSError, ValueError, IndexError) as error:
        raise SceneReadError(
            f"{config}: expected Nrow and Ncol, because the planes have no ENVI headers ({error})"
        ) from error
