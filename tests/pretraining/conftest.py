"""A small archive of all four modalities, from files through the real ingest."""

from pathlib import Path

import numpy as np
import pytest

from ringmoe.archive import Archive, Source, ingest
from ringmoe.scenes import write_raster

SIZE = 128
TINY = {
    "image_size": 64,
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
}


def fields(rng: np.random.Generator, count: int) -> np.ndarray:
    """Smooth fields in 0 to 1, which masked parts can be guessed of: `(count, SIZE, SIZE)`."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = [
        sum(
            np.sin(2 * np.pi * (a * x + b * y) + phase)
            for a, b, phase in rng.uniform(-2, 2, (3, 3)) * (1, 1, np.pi)
        )
        for _ in range(count)
    ]
    return 0.5 + np.stack(waves) / 6


def speckle(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Circular complex Gaussian of unit power."""
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def write_scenes(folder: Path, seed: int = 0, scenes: int = 3) -> list[Source]:
    """Scenes of every modality; a dual-pol SLC and a nodata collar among them."""
    rng = np.random.default_rng(seed)
    for number in range(scenes):
        (shape,) = fields(rng, 1)
        bands = 0.05 + 0.25 * shape * rng.uniform(0.5, 1.5, (13, 1, 1))
        bands[10] *= 0.02  # the cirrus band is nearly black
        amplitude = 0.02 + 0.2 * shape * rng.uniform(0.5, 1.5, (4, 1, 1))
        optical = bands[:3].astype(np.float32)
        optical[:, :40, :30] = -9999
        # single look for the complex product, 16 looks for the detected one
        complex_values = amplitude * speckle(rng, (4, SIZE, SIZE))
        looks = np.abs(speckle(rng, (16, 4, SIZE, SIZE)))
        detected = amplitude * np.sqrt((looks**2).mean(0))
        name = f"scene-{number}.tif"
        write_raster(folder / "optical" / name, optical, nodata=-9999.0)
        write_raster(folder / "multispectral" / name, bands.astype(np.float32))
        pols = slice(None) if number else slice(2, 4)
        write_raster(
            folder / f"sar_complex{'' if number else '_dual'}" / name,
            complex_values[pols].astype(np.complex64),
        )
        write_raster(folder / "sar_amplitude" / name, detected.astype(np.float32))
    return [
        Source(("optical",), "simulated-optical"),
        Source(("multispectral",), "simulated-multispectral"),
        Source(("sar_complex",), "simulated-sar-complex"),
        Source(("sar_complex_dual",), "simulated-sar-complex", bands=("VH", "VV")),
        Source(("sar_amplitude",), "simulated-sar-amplitude"),
    ]


def make_archive(folder: Path, seed: int = 0) -> Archive:
    """Scenes and their archive in a folder."""
    sources = write_scenes(folder / "scenes", seed)
    out = folder / "archive"
    # The root keeps what is held out from depending on the temporary folder's name.
    ingest(sources, out, tile_size=64, stride=32, holdout=0.3, root=folder / "scenes")
    return Archive.open(out)


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Archive:
    return make_archive(tmp_path_factory.mktemp("pretraining"))
