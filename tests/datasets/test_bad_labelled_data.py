"""Bad input: one line that names the file, what was expected and found, and what to do."""

import numpy as np
import pytest
from tests.datasets.small_files import rgb, save_png, save_tif, stripes, write_csv, write_pairs

from ringmoe.datasets import DataConfig, open_data, read_split, split_data, write_split
from ringmoe.errors import (
    ConfigError,
    DatasetError,
    SceneReadError,
    ShapeError,
    UnknownSensorError,
    ValueRangeError,
)

LAND = {"land": 0, "water": 1}


def config(path, **options) -> DataConfig:
    return DataConfig(**{"path": path, "sensor": "rgb-dn8", "classes": LAND, **options})


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def pair(tmp_path, label, **options):
    """One georeferenced image and its label file."""
    save_tif(tmp_path / "images" / "a.tif", rgb(1))
    save_tif(tmp_path / "masks" / "a.tif", label, **options)
    return open_data(config(tmp_path), "mask")


def test_a_mask_of_another_size(tmp_path):
    with pytest.raises(DatasetError, match=r"masks/a\.tif: 31 x 32 pixels.*32 x 32: resample") as e:
        pair(tmp_path, stripes(31))[0]
    one_line(e)


def test_a_mask_of_another_crs(tmp_path):
    with pytest.raises(DatasetError, match=r"masks/a\.tif.*EPSG:32632.*EPSG:32631.*reproject") as e:
        pair(tmp_path, stripes(), epsg=32632)[0]
    one_line(e)


def test_a_mask_that_lies_elsewhere(tmp_path):
    with pytest.raises(DatasetError, match=r"masks/a\.tif: lies elsewhere.*resample"):
        pair(tmp_path, stripes(), pixel=20)[0]


def test_a_code_that_is_no_class(tmp_path):
    with pytest.raises(
        DatasetError, match=r"masks/a\.tif: holds 2, which is no class: expected 0, 1 .*in ignore"
    ) as e:
        pair(tmp_path, stripes(classes=3))[0]
    one_line(e)


def test_a_colour_that_is_no_class(tmp_path):
    save_png(tmp_path / "images" / "a.png", rgb(1))
    save_png(tmp_path / "masks" / "a.png", np.full((3, 32, 32), 16, np.uint8))
    with pytest.raises(DatasetError, match=r'a\.png: holds "#101010", .*expected "#ff0000"'):
        open_data(config(tmp_path, classes={"clutter": "#ff0000"}), "mask")[0]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (LAND, "one band of class codes, found 3 that differ: give the classes as colours"),
        ({"a": "#ff0000"}, "three bands of colours as classes says, found 1"),
    ],
)
def test_colours_and_codes_are_not_mixed_up(tmp_path, classes, message):
    save_png(tmp_path / "images" / "a.png", rgb(1))
    save_png(tmp_path / "masks" / "a.png", rgb(2) if classes is LAND else stripes())
    with pytest.raises(DatasetError, match=message):
        open_data(config(tmp_path, classes=classes), "mask")[0]


def test_two_dates_of_another_size(tmp_path):
    save_png(tmp_path / "A" / "x.png", rgb(1))
    save_png(tmp_path / "B" / "x.png", rgb(2, 32, 30))
    save_png(tmp_path / "label" / "x.png", stripes())
    with pytest.raises(DatasetError, match=r"B/x\.png: 32 x 30 pixels, but .*A/x\.png has 32 x 32"):
        open_data(config(tmp_path), "mask")[0]


def test_values_in_another_unit(tmp_path):
    """16-bit numbers where 8-bit ones are declared; refused at the first reading."""
    save_tif(tmp_path / "images" / "a.tif", np.full((3, 32, 32), 3000, np.uint16))
    save_tif(tmp_path / "masks" / "a.tif", stripes())
    data = open_data(config(tmp_path), "mask")
    with pytest.raises(ValueRangeError, match=r"images/a\.tif: .*expected digital numbers") as e:
        data[0]
    one_line(e)


def test_images_of_other_channels(tmp_path):
    for name, bands in (("a", ["B04", "B03"]), ("b", ["B03", "B04"])):
        values = np.full((2, 32, 32), 2000, np.uint16)
        save_tif(tmp_path / "images" / f"{name}.tif", values, channel_names=bands)
        save_tif(tmp_path / "masks" / f"{name}.tif", stripes())
    data = open_data(config(tmp_path, sensor="sentinel2-l1c"), "mask")
    data[0]
    with pytest.raises(DatasetError, match=r"b\.tif: has the channels B03, B04, but B04, B03"):
        data[1]


def test_files_that_lack_their_partner(tmp_path):
    root = write_pairs(tmp_path, {"a": 1, "b": 2})
    (root / "masks" / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"images/b\.png: has no mask file of the same name"):
        open_data(config(root), "mask")
    (root / "images" / "b.png").unlink()
    save_png(root / "masks" / "c.png", stripes())
    with pytest.raises(DatasetError, match=r"masks/c\.png: has no image file .*CSV") as e:
        open_data(config(root), "mask")
    one_line(e)


@pytest.mark.parametrize(
    ("folders", "kind", "message"),
    [
        (["pictures", "masks"], "mask", "a folder images/ with the image files"),
        (["images", "truth"], "mask", "a folder masks/ with the mask files"),
        (["images", "truth"], "height", "a folder heights/ with the height files"),
        ([], "class", "one folder of images per class"),
    ],
)
def test_folders_of_no_known_layout(tmp_path, folders, kind, message):
    for folder in folders:
        save_png(tmp_path / folder / "a.png", rgb(1))
    with pytest.raises(DatasetError, match=message):
        open_data(config(tmp_path), kind)


def test_a_folder_or_list_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match="there is no such folder"):
        open_data(config(tmp_path / "nowhere"), "mask")
    with pytest.raises(DatasetError, match="there is no such file"):
        open_data(config(tmp_path / "nowhere.csv"), "mask")


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        (("image", "mask"), ("a.png", "m.png"), "has no column label, only image, mask: add it"),
        (("picture", "label"), ("a.png", "m.png"), "expected a column image"),
        (("before", "label"), ("a.png", "m.png"), "has no column after"),
        (("image", "label", "row"), ("a.png", "m.png", 1), "has no column column, height, width"),
        (("image", "label"), ("b.png", "m.png"), r"line 2: there is no file .*b\.png: mend"),
        (("image", "label"), ("a.png", "n.png"), r"line 2: there is no file .*n\.png"),
        (("image", "label"), ("a.png", ""), "line 2: label is empty"),
        (("image", "label", "split"), ("a.png", "m.png", "holdout"), "found 'holdout'"),
        (
            ("image", "label", "row", "column", "height", "width"),
            ("a.png", "m.png", 0, 0, 16, "x"),
            "line 2: expected whole numbers",
        ),
        (
            ("image", "label", "row", "column", "height", "width"),
            ("a.png", "m.png", 0, 0, 0, 16),
            "line 2: expected a window",
        ),
    ],
)
def test_a_bad_csv_names_its_line(tmp_path, columns, row, message):
    save_png(tmp_path / "a.png", rgb(1))
    save_png(tmp_path / "m.png", stripes())
    file = write_csv(tmp_path / "data.csv", columns, row)
    with pytest.raises(DatasetError, match=message) as e:
        open_data(config(file), "mask")
    assert str(file) in one_line(e)


def test_a_csv_without_examples_or_with_one_twice(tmp_path):
    save_png(tmp_path / "a.png", rgb(1))
    with pytest.raises(DatasetError, match="lists no example"):
        open_data(config(write_csv(tmp_path / "d.csv", ("image", "label"))), "class")
    row = ("a.png", "land")
    file = write_csv(tmp_path / "d.csv", ("image", "label"), row, row)
    with pytest.raises(DatasetError, match=r"line 3: a\.png stands there already \(.*line 2\)"):
        open_data(config(file), "class")


def test_a_window_outside_its_image(tmp_path):
    save_png(tmp_path / "a.png", rgb(1))
    columns = ("image", "label", "row", "column", "height", "width")
    file = write_csv(tmp_path / "d.csv", columns, ("a.png", "land", 30, 0, 16, 16))
    with pytest.raises(ShapeError, match=r"a\.png: .*reaches outside"):
        open_data(config(file), "class")[0]


def test_an_unknown_class_of_an_image(tmp_path):
    for name in ("pond", "beach"):
        save_png(tmp_path / name / "1.png", rgb(1))
    with pytest.raises(DatasetError, match=r"beach/1\.png is of class 'beach': expected one of"):
        open_data(config(tmp_path, classes=["pond"]), "class")


def test_a_class_without_a_training_example(tmp_path):
    """Also where a mask could have it but none does: all masks are looked at."""
    for name in ("pond", "beach"):
        save_png(tmp_path / "c" / name / "1.png", rgb(1))
    given = config(tmp_path / "c", classes=["pond", "beach", "forest"])
    with pytest.raises(DatasetError, match=r"empty class: none of 2 .* has forest: add some") as e:
        split_data(open_data(given, "class"), given)
    one_line(e)
    write_pairs(tmp_path / "m", {"a": 1, "b": 2})
    given = config(tmp_path / "m", classes={**LAND, "snow": 2})
    with pytest.raises(DatasetError, match="empty class: none of 2 training examples has snow"):
        split_data(open_data(given, "mask"), given)


def test_no_training_example(tmp_path):
    write_pairs(tmp_path / "test", {"a": 1})
    given = config(tmp_path)
    with pytest.raises(DatasetError, match="no training example among 1: mend the split"):
        split_data(open_data(given, "mask"), given)


def test_a_split_that_names_what_there_is_not(tmp_path):
    data = open_data(config(write_pairs(tmp_path, {"a": 1, "b": 2})), "mask")
    file = write_csv(tmp_path / "s.csv", ("name", "part"), ("images/c.png", "train"))
    with pytest.raises(DatasetError, match=r"s\.csv, line 2: there is no example 'images/c\.png'"):
        split_data(data, config(tmp_path, split=file))
    row = ("images/a.png", "train")
    with pytest.raises(DatasetError, match=r"line 3: .*twice"):
        read_split(write_csv(file, ("name", "part"), row, row), data)
    with pytest.raises(DatasetError, match="found 'best'"):
        read_split(write_csv(file, ("name", "part"), ("images/a.png", "best")), data)
    with pytest.raises(DatasetError, match="expected the columns name and part, found name"):
        read_split(write_csv(file, ("name",), ("images/a.png",)), data)
    with pytest.raises(DatasetError, match="there is no such split"):
        read_split(tmp_path / "none.csv", data)
    with pytest.raises(OSError, match="cannot write"):
        write_split(tmp_path / "images" / "a.png" / "s.csv", data, {})


def test_heights_that_cannot_be(tmp_path):
    save_tif(tmp_path / "images" / "a.tif", rgb(1))
    heights = np.zeros((32, 32), np.float32)
    heights[0, 0] = -9999
    save_tif(tmp_path / "heights" / "a.tif", heights)
    with pytest.raises(DatasetError, match=r"a\.tif: holds -9999 to 0, .*name it in ignore"):
        open_data(config(tmp_path), "height")[0]


def test_heights_that_cannot_be_placed(tmp_path):
    save_png(tmp_path / "images" / "a.png", rgb(1))
    save_tif(tmp_path / "heights" / "a.tif", np.zeros((16, 16), np.float32))
    with pytest.raises(DatasetError, match=r"16 x 16 pixels, but .*no georeference to resample by"):
        open_data(config(tmp_path), "height")[0]
    save_tif(tmp_path / "images" / "a.tif", rgb(1))
    (tmp_path / "images" / "a.png").unlink()
    save_tif(tmp_path / "heights" / "a.tif", np.zeros((16, 16), np.float32), epsg=32633)
    with pytest.raises(DatasetError, match=r"heights/a\.tif: lies elsewhere than .*images/a\.tif"):
        open_data(config(tmp_path), "height")[0]


def test_a_damaged_image_and_a_damaged_mask(tmp_path):
    root = write_pairs(tmp_path, {"a": 1, "b": 2})
    data = open_data(config(root), "mask")
    for folder in ("masks", "images"):
        file = root / folder / "b.png"
        file.write_bytes(file.read_bytes()[:-40])
        with pytest.raises(SceneReadError, match=rf"{folder}/b\.png: truncated"):
            data[1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sensor": ""}, ConfigError, "sensor: expected what the images are"),
        ({"sensor": "rgb"}, UnknownSensorError, "unknown sensor 'rgb'"),
        ({"encoding": "decibel"}, ConfigError, "no encoding 'decibel'"),
        ({"sensors": {"optical": "rgb-dn8"}}, ConfigError, "either one sensor for all"),
        (
            {"sensor": "", "sensors": {"optical": "sentinel2-l1c"}},
            ConfigError,
            "sentinel2-l1c is of modality multispectral, expected a sensor of optical",
        ),
        (
            {"sensor": "", "sensors": {"radar": "sentinel1-grd"}},
            ConfigError,
            "no image can be called 'radar'",
        ),
        (
            {"sensor": "", "sensors": {"image": "rgb-dn8"}, "image_bands": {"x": []}},
            ConfigError,
            "image_bands: no image is called x: expected image",
        ),
        ({"validation": 1.0}, ConfigError, "validation: expected a share"),
        ({"validation": 0.5, "test": 0.5}, ConfigError, "leave some to train on"),
        ({"tile_size": -1}, ConfigError, "tile_size: expected 0 or more"),
        ({"classes": []}, ConfigError, "classes: expected the names of a mask's classes"),
        ({"classes": {"a": 0, "b": 0}}, ConfigError, "a code for each class, each once"),
        ({"classes": ["a", "b", "a"]}, ConfigError, "classes: expected each name once"),
        ({"classes": {"a": 0, "b": "#000000"}}, ConfigError, "numbers or colours, got both"),
        ({"classes": {"a": "#fff"}}, ConfigError, "colours \"#rrggbb\", got '#fff'"),
        ({"kind": "height"}, ConfigError, "data.kind: expected 'mask' for this task"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path, options, error, message):
    with pytest.raises(error, match=message) as e:
        open_data(config(write_pairs(tmp_path, {"a": 1}), **options), "mask")
    one_line(e)


def test_two_classes_of_one_code(tmp_path):
    save_png(tmp_path / "1" / "1.png", rgb(1))
    with pytest.raises(ConfigError, match="a code for each class, each once"):
        open_data(config(tmp_path, classes={"pond": 1, "lake": [1, 2]}), "class")


def test_a_classified_image_is_not_cut_into_tiles(tmp_path):
    save_png(tmp_path / "pond" / "1.png", rgb(1))
    with pytest.raises(ConfigError, match="a class is of a whole image"):
        open_data(config(tmp_path, classes=[], tile_size=16), "class")


@pytest.mark.parametrize("file", ["list.csv", "split.csv"])
def test_lists_of_another_encoding(tmp_path, file):
    """As spreadsheets save them on Windows."""
    save_png(tmp_path / "a.png", rgb(1))
    (tmp_path / "list.csv").write_text("image,label\na.png,pond\n")
    (tmp_path / "split.csv").write_text("name,part\na.png,train\n")
    (tmp_path / file).write_bytes("image,label\na.png,b\xe2teau\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=rf"{file}: is no UTF-8 .*: save it as UTF-8"):
        data = open_data(DataConfig(path=tmp_path / "list.csv", sensor="rgb-dn8"), "class")
        read_split(tmp_path / "split.csv", data)
