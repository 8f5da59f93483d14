"""Published data as users have them: the files' own numbers, classes and grids."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from tests.datasets.small_files import write_csv

from ringmoe.datasets import DataConfig, LabelledLoader, aid, open_data, split_data
from ringmoe.errors import DatasetError


def test_aid(real_data):
    """30 classes of 80 in folders: 64 train and 16 validate; pixels as PIL reads them."""
    given = DataConfig(path=real_data / "aid", sensor="rgb-dn8")
    data = open_data(given, "class")
    assert data.classes == aid(real_data / "aid").train.classes
    split = split_data(data, given)
    assert np.bincount(data.class_of[split["train"]]).tolist() == [64] * 30
    assert np.bincount(data.class_of[split["validation"]]).tolist() == [16] * 30
    example = data[1234]
    pixels = np.asarray(Image.open(real_data / "aid" / example.name)).transpose(2, 0, 1)
    difference = np.abs(example.images["image"].values - pixels)
    assert difference.mean() < 2  # two JPEG decoders, GDAL's and PIL's
    assert example.name.startswith(data.classes[example.label] + "/")
    batch = LabelledLoader(data, split["train"], batch_size=4, crop_size=96, how="resize").batch(0)
    assert batch.observations["image"].images.shape == (4, 3, 96, 96)
    assert -3 < float(batch.observations["image"].images.mean()) < 3


def test_loveda(real_data):
    """`img_dir` and `ann_dir`, codes 1 to 7; none of the three tiles has barren ground (5)."""
    classes = {"background": 1, "building": 2, "road": 3, "water": 4, "forest": 6, "farmland": 7}
    given = DataConfig(path=real_data / "loveda", sensor="rgb-dn8", classes=classes, ignore=[0, 5])
    data = open_data(given, "mask")
    assert data.names == tuple(f"img_dir/{n}.png" for n in range(3))
    codes = np.asarray(Image.open(real_data / "loveda" / "ann_dir" / "1.png"))
    label = data[1].label
    for index, code in enumerate(classes.values()):
        np.testing.assert_array_equal(label == index, codes == code)
    given.classes, given.ignore = {**classes, "barren": 5}, [0]
    with pytest.raises(DatasetError, match=r"empty class: .* has barren"):
        split_data(open_data(given, "mask"), given)


def test_levir_cd(real_data, tmp_path):
    """One of the 12 pairs has no label: told by the folder, and left out by a CSV."""
    root = real_data / "levir_cd"
    options = {"sensor": "rgb-dn8", "classes": {"unchanged": 0, "changed": 255}}
    with pytest.raises(DatasetError, match=r"test_113_0256\.png: has no mask file .* CSV"):
        open_data(DataConfig(path=root, **options), "mask")
    names = sorted(path.name for path in (root / "label").glob("*.png"))
    rows = [(root / "A" / n, root / "B" / n, root / "label" / n, n.split("_")[0]) for n in names]
    file = write_csv(tmp_path / "d.csv", ("before", "after", "label", "split"), *rows)
    given = DataConfig(path=file, **options)
    data = open_data(given, "mask")
    split = split_data(data, given)
    assert {part: len(members) for part, members in split.items()} == {
        "train": 3,
        "validation": 1,
        "test": 7,
    }
    changed = np.array([data.label(index).mean() for index in range(11)])
    truth = [np.mean(np.asarray(Image.open(root / "label" / name)) == 255) for name in names]
    np.testing.assert_allclose(changed, truth)
    assert np.count_nonzero(changed == 0) == 1


@pytest.mark.slow
def test_sen1floods11(real_data, tmp_path):
    """Radar and optical of one place in tiles: apart between parts, water in each part.

    The label's -1 is no data; water is darker than land in Sentinel-1's VV, in decibels.
    """
    folder, stem = real_data / "sen1floods11", "Spain_7370579"
    row = [folder / d / f"{stem}_{d}Hand.tif" for d in ("S1", "S2")]
    label = folder / "Labels" / f"{stem}_LabelHand.tif"
    file = write_csv(tmp_path / "d.csv", ("sar_amplitude", "multispectral", "label"), [*row, label])
    given = DataConfig(
        path=file,
        sensors={"sar_amplitude": "sentinel1-grd", "multispectral": "sentinel2-l1c"},
        image_encodings={"sar_amplitude": "decibel"},
        classes=["land", "water"],
        ignore=[-1],
        tile_size=32,
        validation=0.2,
        test=0.2,
    )
    data = open_data(given, "mask")
    assert len(data) == 256
    split = split_data(data, given)
    assert len(split["train"]) > 80
    masks = {
        part: np.concatenate([data.label(int(i)).reshape(-1) for i in members])
        for part, members in split.items()
    }
    for labels in masks.values():
        assert 0.1 < np.mean(labels[labels >= 0] == 1) < 0.6
    with rasterio.open(label) as dataset:
        codes = dataset.read(1)
    painted = np.full((512, 512), 9)
    for members in split.values():
        for index in members:
            window = data.rows[index].window
            painted[window.rows, window.columns] = data.label(int(index))
    np.testing.assert_array_equal(painted[painted < 9], codes[painted < 9])
    batch = LabelledLoader(data, split["train"], batch_size=64, crop_size=32).batch(0)
    radar = batch.observations["sar_amplitude"].images[:, 0]
    assert radar[batch.labels == 1].median() < radar[batch.labels == 0].median() - 0.5
    assert batch.observations["multispectral"].channel_names[3] == "B04"


def test_neon_height(real_data, tmp_path):
    """Canopy heights of 1 m under an image of 0.1 m: the values lie in the raster's range.

    Bilinear smoothing aside they are those of the raster's nearest pixel, found by the corners and
    pixel sizes alone: a high correlation, which a shift of a few metres would spoil.
    """
    folder = real_data / "neon_height"
    image = folder / "2019_BART_5_320000_4881000_image_crop.tif"
    height = folder / "NEON_D01_BART_DP3_320000_4881000_CHM_crop.tif"
    file = write_csv(tmp_path / "d.csv", ("image", "label"), (image, height))
    given = DataConfig(path=file, sensor="rgb-dn8", tile_size=256, validation=0.0)
    data = open_data(given, "height")
    assert len(data) == 5 * 5
    heights = np.full((1106, 1213), np.nan, np.float32)
    for index, row in enumerate(data.rows):
        heights[row.window.rows, row.window.columns] = data.label(index)
    with rasterio.open(height) as dataset, rasterio.open(image) as picture:
        own = dataset.read(1)
        own_place, place = dataset.transform, picture.transform
    assert np.nanmin(heights) >= own.min() and np.nanmax(heights) <= own.max()
    assert np.isnan(heights).mean() < 0.05
    # Sampled independently: each image pixel's centre, nearest pixel of the raster.
    row, column = (place.f - own_place.f) / own_place.e, (place.c - own_place.c) / own_place.a
    rows = np.clip((row + (np.arange(1106) + 0.5) / 10).astype(int), 0, own.shape[0] - 1)
    columns = np.clip((column + (np.arange(1213) + 0.5) / 10).astype(int), 0, own.shape[1] - 1)
    nearest = own[np.ix_(rows, columns)]
    known = ~np.isnan(heights)
    assert np.corrcoef(heights[known], nearest[known])[0, 1] > 0.95
