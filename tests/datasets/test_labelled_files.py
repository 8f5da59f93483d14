"""Folders and CSV files of every layout give the pixels and labels that were written."""

import numpy as np
import pytest
from rasterio.transform import from_origin
from tests.datasets.small_files import rgb, save_png, save_tif, stripes, write_csv, write_pairs

from ringmoe.datasets import IGNORED, DataConfig, LabelledData, fingerprint, open_data

LAND = {"land": 0, "water": 1}


def config(path, **options) -> DataConfig:
    return DataConfig(**{"path": path, "sensor": "rgb-dn8", **options})


def test_class_folders(tmp_path):
    for name, seed in (("pond/pond_10", 3), ("pond/pond_2", 2), ("beach/b", 1)):
        save_png(tmp_path / f"{name}.png", rgb(seed))
    data = open_data(config(tmp_path), "class")
    assert isinstance(data, LabelledData)
    assert data.classes == ("beach", "pond")
    assert data.names == ("beach/b.png", "pond/pond_2.png", "pond/pond_10.png")
    examples = [data[index] for index in range(len(data))]
    assert [example.label for example in examples] == [0, 1, 1]
    for example, seed in zip(examples, (1, 2, 3), strict=True):
        np.testing.assert_array_equal(example.images["image"].values, rgb(seed))


def test_class_folders_in_parts_and_with_chosen_classes(tmp_path):
    """The order given is the order of the indices; a class in ignore is left out."""
    for part in ("train", "val", "test"):
        for name in ("pond", "beach", "other"):
            save_png(tmp_path / part / name / "1.png", rgb(1))
    data = open_data(config(tmp_path, classes=["pond", "beach"], ignore=["other"]), "class")
    assert data.classes == ("pond", "beach")
    assert [(row.part, data[i].label) for i, row in enumerate(data.rows)] == [
        ("test", 1),
        ("test", 0),
        ("train", 1),
        ("train", 0),
        ("validation", 1),
        ("validation", 0),
    ]


@pytest.mark.parametrize("place", ["", "train/", "val/"])
@pytest.mark.parametrize("masks", ["masks", "labels", "ann_dir"])
def test_images_and_masks_by_stem(tmp_path, place, masks):
    write_pairs(tmp_path / place, {"a": 1, "b": 2}, masks)
    data = open_data(config(tmp_path, classes=LAND), "mask")
    assert data.names == (f"{place}images/a.png", f"{place}images/b.png")
    assert {row.part for row in data.rows} == {{"": "", "train/": "train"}.get(place, "validation")}
    np.testing.assert_array_equal(data[1].images["image"].values, rgb(2))
    np.testing.assert_array_equal(data[1].label, stripes())


def test_parts_may_lie_inside_the_folders_of_images_and_masks(tmp_path):
    for part in ("train", "val"):
        save_png(tmp_path / "img_dir" / part / "a.png", rgb(1))
        save_png(tmp_path / "ann_dir" / part / "a.png", stripes())
    data = open_data(config(tmp_path, classes=LAND), "mask")
    assert [(row.name, row.part) for row in data.rows] == [
        ("img_dir/train/a.png", "train"),
        ("img_dir/val/a.png", "validation"),
    ]


def test_two_dates_in_the_layout_of_levir_cd(tmp_path):
    for folder, seed in (("A", 1), ("B", 2)):
        save_png(tmp_path / "train" / folder / "x.png", rgb(seed))
    save_png(tmp_path / "train" / "label" / "x.png", stripes() * 255)
    data = open_data(config(tmp_path, classes={"unchanged": 0, "changed": 255}), "mask")
    assert tuple(data.sources) == ("before", "after")
    example = data[0]
    np.testing.assert_array_equal(example.images["before"].values, rgb(1))
    np.testing.assert_array_equal(example.images["after"].values, rgb(2))
    np.testing.assert_array_equal(example.label, stripes())


def test_a_folder_for_each_modality(tmp_path):
    """Sentinel-1 in decibels: -20 dB is an amplitude of 10 ** (-20 / 20) = 0.1."""
    save_tif(tmp_path / "sar_amplitude" / "x.tif", np.full((2, 32, 32), -20, np.float32))
    save_tif(tmp_path / "multispectral" / "x.tif", np.full((13, 32, 32), 3000, np.uint16))
    save_tif(tmp_path / "masks" / "x.tif", stripes())
    data = open_data(
        DataConfig(
            path=tmp_path,
            sensors={"sar_amplitude": "sentinel1-grd", "multispectral": "sentinel2-l1c"},
            image_bands={"sar_amplitude": ["VV", "VH"]},
            image_encodings={"sar_amplitude": "decibel"},
            classes=LAND,
        ),
        "mask",
    )
    assert [c.name for c in data.sources["sar_amplitude"].channels] == ["VV", "VH"]
    assert data.sources["multispectral"].modality == "multispectral"
    images = data[0].images
    np.testing.assert_allclose(images["sar_amplitude"].values, 0.1, rtol=1e-5)
    np.testing.assert_allclose(images["multispectral"].values, 0.3, rtol=1e-5)


def test_a_csv_names_files_classes_parts_and_windows(tmp_path):
    """Paths from the CSV's folder, backslashes too; a window is rows and columns of the file."""
    save_png(tmp_path / "in" / "a.png", rgb(1))
    file = write_csv(
        tmp_path / "data.csv",
        ("image", "label", "split", "row", "column", "height", "width", "note"),
        ("in/a.png", "pond", "train", 4, 8, 16, 12, "x"),
        ("in\\a.png", "beach", "val", "", "", "", "", ""),
    )
    data = open_data(config(file), "class")
    assert data.names == ("in/a.png@4,8,16x12", "in/a.png")
    assert data.classes == ("beach", "pond")
    assert [row.part for row in data.rows] == ["train", "validation"]
    np.testing.assert_array_equal(data[0].images["image"].values, rgb(1)[:, 4:20, 8:20])


def test_class_labels_may_be_codes(tmp_path):
    save_png(tmp_path / "a.png", rgb(1))
    save_png(tmp_path / "b.png", rgb(2))
    file = write_csv(tmp_path / "d.csv", ("image", "label"), ("a.png", "7"), ("b.png", "pond"))
    data = open_data(config(file, classes={"beach": 7, "pond": 9}), "class")
    assert [data[0].label, data[1].label] == [0, 1]


def test_tiles_cover_a_scene_once(tmp_path):
    """70 x 50 px in tiles of 32: 3 x 2, the last of 6 rows and 18 columns; together all pixels."""
    save_tif(tmp_path / "images" / "a.tif", rgb(1, 70, 50))
    save_tif(tmp_path / "masks" / "a.tif", stripes(70, 50))
    data = open_data(config(tmp_path, classes=LAND, tile_size=32), "mask")
    assert len(data) == 6
    image, label = np.zeros((3, 70, 50)), np.full((70, 50), IGNORED)
    for index, row in enumerate(data.rows):
        example = data[index]
        image[:, row.window.rows, row.window.columns] += example.images["image"].values
        label[row.window.rows, row.window.columns] = example.label
        np.testing.assert_array_equal(example.label, data.label(index))
    np.testing.assert_array_equal(image, rgb(1, 70, 50))
    np.testing.assert_array_equal(label, stripes(70, 50))


def test_colours_and_colour_tables_are_class_codes(tmp_path):
    """Potsdam's way: red is clutter, blue is building; a palette's indices are codes."""
    codes = stripes()
    colours = np.array([(255, 0, 0), (0, 0, 255)], np.uint8)[codes].transpose(2, 0, 1)
    save_png(tmp_path / "a.png", rgb(1))
    save_png(tmp_path / "colours.png", colours)
    save_tif(tmp_path / "table.tif", codes, colormap={0: (9, 9, 9), 1: (8, 8, 8)})
    file = write_csv(tmp_path / "c.csv", ("image", "label"), ("a.png", "colours.png"))
    classes = {"clutter": "#ff0000", "building": "#0000FF"}
    np.testing.assert_array_equal(open_data(config(file, classes=classes), "mask")[0].label, codes)
    file = write_csv(tmp_path / "t.csv", ("image", "label"), ("a.png", "table.tif"))
    np.testing.assert_array_equal(open_data(config(file, classes=LAND), "mask")[0].label, codes)


def test_ignored_codes_and_nodata_are_no_class(tmp_path):
    """A nodata number that is named as a class is one: the configuration knows better."""
    codes = np.tile(np.array([0, 1, 5, 255], np.uint8), (32, 8))
    save_tif(tmp_path / "images" / "a.tif", rgb(1))
    save_tif(tmp_path / "masks" / "a.tif", codes, nodata=255)
    label = open_data(config(tmp_path, classes=LAND, ignore=[5]), "mask")[0].label
    assert label[0, :4].tolist() == [0, 1, IGNORED, IGNORED]
    classes = {"land": 0, "water": 1, "cloud": 255}
    label = open_data(config(tmp_path, classes=classes, ignore=[5]), "mask")[0].label
    assert label[0, :4].tolist() == [0, 1, IGNORED, 2]


def test_heights_on_the_images_own_grid(tmp_path):
    heights = np.random.default_rng(0).uniform(0, 30, (32, 32)).astype(np.float32)
    heights[3, 4], heights[5, 6] = -9999, -1
    save_tif(tmp_path / "images" / "a.tif", rgb(1))
    save_tif(tmp_path / "heights" / "a.tif", heights, nodata=-9999.0)
    label = open_data(config(tmp_path, ignore=[-1]), "height")[0].label
    assert label.dtype == np.float32
    assert np.argwhere(np.isnan(label)).tolist() == [[3, 4], [5, 6]]
    known = ~np.isnan(label)
    np.testing.assert_array_equal(label[known], heights[known])


def test_coarser_heights_are_resampled_onto_the_images_grid(tmp_path):
    """A plane z = x/10 + y/5 of 20 m pixels onto 10 m pixels: bilinear is exact on planes.

    Pixel centres of the image: x = 10 c + 5, y = 10 r + 5 from the corner. At the raster's edge,
    beyond the last centre, bilinear has nothing to lean on; there only the inner pixels count.
    """

    def plane(size, pixel):
        centres = (np.arange(size) + 0.5) * pixel
        return (centres[None] / 10 + centres[:, None] / 5).astype(np.float32)

    save_tif(tmp_path / "images" / "a.tif", rgb(1, 40, 40), pixel=10)
    save_tif(tmp_path / "heights" / "a.tif", plane(20, 20), pixel=20)
    whole = open_data(config(tmp_path), "height")[0].label
    np.testing.assert_allclose(whole[1:-1, 1:-1], plane(40, 10)[1:-1, 1:-1], atol=1e-3)
    # Tiles give the same heights as the whole image: no seam between them.
    data = open_data(config(tmp_path, tile_size=16), "height")
    for index, row in enumerate(data.rows):
        place = (row.window.rows, row.window.columns)
        np.testing.assert_allclose(data.label(index), whole[place], atol=1e-3)


def test_finer_heights_are_averaged(tmp_path):
    """Each 10 m pixel of the image is the mean of its 4 x 4 pixels of 2.5 m."""
    fine = np.random.default_rng(0).uniform(0, 30, (80, 80)).astype(np.float32)
    save_tif(tmp_path / "images" / "a.tif", rgb(1, 20, 20), pixel=10)
    save_tif(tmp_path / "heights" / "a.tif", fine, pixel=2.5)
    label = open_data(config(tmp_path), "height")[0].label
    np.testing.assert_allclose(label, fine.reshape(20, 4, 20, 4).mean((1, 3)), rtol=1e-5)


def test_heights_of_a_part_of_the_image_are_unknown_elsewhere(tmp_path):
    """The raster covers the image's left half only."""
    save_tif(tmp_path / "images" / "a.tif", rgb(1, 32, 32), pixel=10)
    save_tif(tmp_path / "heights" / "a.tif", np.full((16, 8), 7, np.float32), pixel=20)
    label = open_data(config(tmp_path), "height")[0].label
    np.testing.assert_allclose(label[:, :16], 7)
    assert np.isnan(label[:, 17:]).all()


def test_masks_and_heights_may_lie_side_by_side(tmp_path):
    """In a folder that is itself called `labels`, too: the kind says which is meant."""
    root = write_pairs(tmp_path / "labels", {"a": 1})
    save_tif(root / "heights" / "a.tif", np.full((32, 32), 7, np.float32))
    np.testing.assert_array_equal(open_data(config(root, classes=LAND), "mask")[0].label, stripes())
    assert (open_data(config(root), "height")[0].label == 7).all()


def test_npy_labels(tmp_path):
    save_png(tmp_path / "a.png", rgb(1))
    np.save(tmp_path / "mask.npy", np.stack([stripes(), 1 - stripes()]))
    file = write_csv(tmp_path / "d.csv", ("image", "label"), ("a.png", "mask.npy#1"))
    data = open_data(config(file, classes=LAND), "mask")
    np.testing.assert_array_equal(data[0].label, 1 - stripes())


def test_pixels_without_data_are_told(tmp_path):
    values = rgb(1)
    values[:, :5] = 0
    save_tif(tmp_path / "images" / "a.tif", values, nodata=0)
    save_tif(tmp_path / "masks" / "a.tif", stripes())
    image = open_data(config(tmp_path, classes=LAND), "mask")[0].images["image"]
    assert not image.valid[:5].any() and image.valid[5:].all()


def test_a_mask_may_be_shifted_by_less_than_half_a_pixel(tmp_path):
    """Rounded corners in files are usual; 4 m of 10 m pixels is the same grid."""
    save_tif(tmp_path / "images" / "a.tif", rgb(1))
    place = from_origin(5e5 + 4, 5e6, 10, 10)
    save_tif(tmp_path / "masks" / "a.tif", stripes(), transform=place)
    assert open_data(config(tmp_path, classes=LAND), "mask")[0].label.shape == (32, 32)


def test_the_fingerprint_tells_data_apart(tmp_path):
    """Names, classes, sensors, and sizes of files count; where the folder lies does not."""
    first = write_pairs(tmp_path / "one", {"a": 1, "b": 2})
    second = write_pairs(tmp_path / "two", {"a": 1, "b": 2})

    def mark(path, **options):
        return fingerprint(open_data(config(path, **{"classes": LAND, **options}), "mask"))

    known = mark(first)
    assert known == mark(first) == mark(second)
    assert known != mark(first, classes={"water": 0, "land": 1})
    assert known != mark(first, sensor="rgb-dn16")
    assert known != mark(first, tile_size=16)
    save_png(second / "images" / "a.png", rgb(1)[:, :, :31])
    assert known != mark(second)


def test_the_fingerprint_tells_labels_and_splits_apart(tmp_path):
    for name in ("a", "b"):
        save_png(tmp_path / f"{name}.png", rgb(1))

    def mark(labels, split=None):
        rows = zip(("a.png", "b.png"), labels, strict=True)
        write_csv(tmp_path / "list.csv", ("image", "label"), *rows)
        return fingerprint(open_data(config(tmp_path / "list.csv"), "class"), split)

    parts = {"train": np.array([0]), "validation": np.array([1])}
    marks = [mark("xy"), mark("yx"), mark("xy", parts), mark("xy", {**parts, "train": [0, 1]})]
    assert len(set(marks)) == 4
    assert mark("xy", {"train": [0], "validation": [1]}) == marks[2]


def test_class_folders_of_arrays(tmp_path):
    (tmp_path / "pond").mkdir()
    np.save(tmp_path / "pond" / "1.npy", rgb(1))
    (example,) = open_data(config(tmp_path), "class")
    np.testing.assert_array_equal(example.images["image"].values, rgb(1))
