"""The published benchmarks as data: where the files lie, and which part trains and tests.

Every split is a function of the file names alone, so that two machines score the same thing.
Recipes and settings are chosen on `Benchmark.validation`, a part of the training part; the test
part is scored once per final recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from ringmoe.datasets.images import LabelledImages, class_folders, list_file, position_in_class
from ringmoe.datasets.tiles import LabelledTiles, checkerboard, cut_blocks, relabel
from ringmoe.errors import DatasetError
from ringmoe.scenes import open_scene

Labelled = TypeVar("Labelled", LabelledImages, LabelledTiles)


@dataclass(frozen=True, eq=False)
class Benchmark(Generic[Labelled]):
    """A labelled set with its split.

    Attributes:
        train: The published or declared training part.
        test: The test part.
        validation: `(len(train),)` bool: the part of `train` to choose recipes and settings on.
    """

    train: Labelled
    test: Labelled
    validation: np.ndarray


def aid(root: Path) -> Benchmark[LabelledImages]:
    """AID: 30 classes of aerial scenes (Xia et al., IEEE TGRS 2017, doi:10.1109/TGRS.2017.2685945).

    Args:
        root: Holds one folder per class with `airport_1.jpg`, ...

    Returns:
        By number inside each class: the first 50 train (of which 41 to 50 validate), the next 30
        test. This is not one of the published splits (20 and 50 % of the full set).
    """
    images = class_folders(Path(root), "rgb-dn8")
    position = position_in_class(images.labels)
    train = images.subset(position < 50)
    return Benchmark(
        train=train,
        test=images.subset((position >= 50) & (position < 80)),
        validation=position_in_class(train.labels) >= 40,
    )


# The files number the classes; the chips per class (299, 233, 298, 256, ... at 17 degrees) are
# those of the published table in alphabetical order.
MSTAR_CLASSES = ("2S1", "BMP2", "BRDM2", "BTR60", "BTR70", "D7", "T62", "T72", "ZIL131", "ZSU234")


def mstar(root: Path) -> Benchmark[LabelledImages]:
    """MSTAR, standard operating condition: 10 vehicles seen by X-band SAR, amplitude chips.

    Args:
        root: Holds `train.txt`, `val.txt` and the folders `train`, `val`.

    Returns:
        The published split by depression angle: 17 degrees train (the last tenth of each
        class validates), 15 degrees test.
    """
    root = Path(root)
    train, test = (
        list_file(
            root / f"{part}.txt",
            root / part,
            "sar-amplitude-dn8",
            classes=MSTAR_CLASSES,
            bands=("unknown",),
        )
        for part in ("train", "val")
    )
    position, count = position_in_class(train.labels), np.bincount(train.labels)
    return Benchmark(train, test, position >= count[train.labels] * 9 // 10)


# The order of the colours in the data set's README and the scattering itself (class 3 is surface
# scattering at -13 dB, class 4 double bounce at -6 dB) agree on these names; the list of names in
# that README stands in another order.
POLSF_CLASSES = ("mountain", "bare soil", "water", "urban", "vegetation")


def polsf(root: Path, *, tile_size: int = 96, seed: int = 0) -> Benchmark[LabelledTiles]:
    """PolSF, AIRSAR L-band over San Francisco (Liu et al., 2022): quad-pol, 5 classes a pixel.

    The product is a multi-look coherency matrix; what is given is one single-look draw from it
    (a complex circular Gaussian with that covariance), because complex SAR is what is probed.

    Args:
        root: Holds `T3/` and `SF-AIRSAR-label2d.png`.
        tile_size: Height and width of the tiles in pixels.
        seed: Of the draw; give another one than the images of a pre-training.

    Returns:
        Tiles that do not overlap; the white fields of a checkerboard of tiles train (every fifth
        validates), the black ones test.
    """
    root = Path(root)
    scene = open_scene(root / "T3", "airsar", derive="single-look", seed=seed)
    values = scene.read().values
    label_file = root / "SF-AIRSAR-label2d.png"
    with Image.open(label_file) as image:
        codes = np.asarray(image)
    if codes.shape != values.shape[-2:]:
        raise DatasetError(f"{label_file}: {codes.shape} px, but the scene is {values.shape[-2:]}")
    tiles = LabelledTiles(
        values=cut_blocks(values, tile_size),
        labels=cut_blocks(relabel(codes, (1, 2, 3, 4, 5)), tile_size),
        classes=POLSF_CLASSES,
        sensor=scene.sensor.name,
        channels=tuple(channel.name for channel in scene.channels),
    )
    white = checkerboard(codes.shape, tile_size)
    every_fifth = np.arange(white.sum()) % 5 == 2
    return Benchmark(tiles.subset(white), tiles.subset(~white), every_fifth)


LAND_USE_CODES = {2: "forest", 3: "grassland", 4: "shrubland", 8: "artificial surface"}
LAND_USE_CLEAR_DATES = (1, 2, 3, 4)  # date 0 is cloudy
LAND_USE_TILE = 32  # pixels: 3 x 3 tiles of the 101 x 100 px patch


def land_use(root: Path) -> Benchmark[LabelledTiles]:
    """Land use of a Sentinel-2 patch in Slovenia (the example data of eo-learn): 4 classes a pixel.

    Args:
        root: Holds `REFERENCE_SCENES.npy` (date, row, column, band), reflectance, and `LULC.npy`.

    Returns:
        Tiles of 32 px that do not overlap, each once per clear date (4); the white fields of a
        checkerboard train (the middle one validates), the black ones test. Codes 0 (no data) and
        1 (cultivated land: 11 pixels) are ignored.
    """
    root = Path(root)
    scenes = [
        open_scene(
            f"{root / 'REFERENCE_SCENES.npy'}#{date}", "sentinel2-l1c", encoding="reflectance"
        )
        for date in LAND_USE_CLEAR_DATES
    ]
    codes = np.load(root / "LULC.npy", allow_pickle=False)[..., 0]
    values = np.stack([scene.read().values for scene in scenes])
    blocks = cut_blocks(values, LAND_USE_TILE)  # (tiles, dates, 13, H, W)
    count, dates = blocks.shape[:2]
    labels = cut_blocks(relabel(codes, tuple(LAND_USE_CODES)), LAND_USE_TILE)
    tiles = LabelledTiles(
        values=blocks.reshape(count * dates, *blocks.shape[2:]),
        labels=np.repeat(labels, dates, axis=0),
        classes=tuple(LAND_USE_CODES.values()),
        sensor="sentinel2-l1c",
    )
    white = checkerboard(codes.shape, LAND_USE_TILE)
    middle = np.arange(count) == count // 2
    white, middle = np.repeat(white, dates), np.repeat(middle, dates)
    return Benchmark(tiles.subset(white), tiles.subset(~white), middle[white])
