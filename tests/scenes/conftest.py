"""Files for the tests of scenes, written by rasterio and NumPy alone."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio


@pytest.fixture(scope="session")
def make_file() -> Callable[..., Path]:
    """A function that writes `(C, H, W)` by rasterio: `make_file(path, values, names=..., ...)`."""

    def make(path: Path, values: np.ndarray, names=(), colours=None, driver="GTiff", **profile):
        profile = {"dtype": values.dtype.name, **profile}
        count, height, width = values.shape
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(
                path, "w", driver=driver, count=count, height=height, width=width, **profile
            ) as dataset:
                dataset.write(values)
                for index, name in enumerate(names, start=1):
                    dataset.set_band_description(index, name)
                if colours:
                    dataset.colorinterp = [rasterio.enums.ColorInterp[c] for c in colours]
        return path

    return make


@pytest.fixture(scope="session")
def make_folder() -> Callable[..., Path]:
    """A function that writes the matrices `(H, W, N, N)` as a PolSARpro folder, by NumPy."""

    def make(folder: Path, kind: str, matrices: np.ndarray) -> Path:
        folder.mkdir(parents=True)
        height, width, order = matrices.shape[:3]
        (folder / "config.txt").write_text(
            f"Nrow\n{height}\n---------\nNcol\n{width}\n---------\nPolarCase\nmonostatic\n"
        )
        for i in range(order):
            for j in range(i, order):
                element = matrices[..., i, j]
                name = f"{kind[0]}{i + 1}{j + 1}"
                parts = (
                    {name: element.real}
                    if i == j
                    else {f"{name}_real": element.real, f"{name}_imag": element.imag}
                )
                for part, plane in parts.items():
                    plane.astype("<f4").tofile(folder / f"{part}.bin")
        return folder

    return make
