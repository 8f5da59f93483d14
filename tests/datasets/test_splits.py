"""Splits: as the data say, drawn alike on every machine, and spatially apart within scenes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datasets.small_files import rgb, save_png, save_tif, stripes, write_csv, write_pairs

from ringmoe.datasets import DataConfig, open_data, read_split, split_data, write_split
from ringmoe.datasets.blocks import split_into_blocks
from ringmoe.errors import ConfigError, DatasetError
from ringmoe.scenes import Window

LAND = {"land": 0, "water": 1}


def config(path, **options) -> DataConfig:
    return DataConfig(**{"path": path, "sensor": "rgb-dn8", **options})


def counts(split) -> dict[str, int]:
    return {part: len(members) for part, members in split.items()}


def class_folders(root, **numbers):
    for name, count in numbers.items():
        for number in range(count):
            save_png(root / name / f"{number}.png", rgb(number, 4, 4))
    return root


def test_each_class_is_drawn_in_the_same_shares(tmp_path):
    """20 and 10 images, 20 % and 10 %: 4 and 2 validate, 2 and 1 test."""
    given = config(class_folders(tmp_path, pond=20, beach=10), validation=0.2, test=0.1)
    data = open_data(given, "class")
    split = split_data(data, given)
    assert {part: np.bincount(data.class_of[m]).tolist() for part, m in split.items()} == {
        "train": [7, 14],
        "validation": [2, 4],
        "test": [1, 2],
    }
    assert sorted(np.concatenate(list(split.values()))) == list(range(30))


def test_a_draw_is_a_function_of_seed_and_names(tmp_path):
    """Not of the folder's place; another seed draws others."""
    drawn = []
    for place, seed in (("one", 0), ("two", 0), ("one", 1)):
        root = class_folders(tmp_path / place, pond=20)
        given = config(root, seed=seed)
        data = open_data(given, "class")
        drawn.append([data.names[i] for i in split_data(data, given)["validation"]])
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_column_says_which(tmp_path):
    for name in "abcd":
        save_png(tmp_path / f"{name}.png", rgb(1, 4, 4))
    parts = {"a": "test", "b": "train", "c": "val", "d": ""}
    rows = [(f"{name}.png", "pond", part) for name, part in parts.items()]
    given = config(write_csv(tmp_path / "d.csv", ("image", "label", "split"), *rows))
    split = split_data(open_data(given, "class"), given)
    assert {part: members.tolist() for part, members in split.items()} == {
        "train": [1],
        "validation": [2],
        "test": [0],
    }


def test_validation_is_drawn_of_the_training_part_where_only_a_test_is_published(tmp_path):
    """20 % of 10 are 2, and the test part stays as it is."""
    class_folders(tmp_path / "train", pond=10)
    class_folders(tmp_path / "test", pond=5)
    given = config(tmp_path)
    data = open_data(given, "class")
    split = split_data(data, given)
    assert counts(split) == {"train": 8, "validation": 2, "test": 5}
    assert {data.rows[i].part for i in split["test"]} == {"test"}
    assert {data.rows[i].part for i in split["validation"]} == {"train"}
    none = config(tmp_path, validation=0.0)
    assert counts(split_data(data, none)) == {"train": 10, "validation": 0, "test": 5}


def test_less_background(tmp_path):
    """A tenth of the training images without an object, all that test; as often as one asks."""
    lines = [
        (f"{n}.png", "ship" if n < 20 else "", *((1, 1, 3, 3) if n < 20 else [""] * 4))
        for n in range(420)
    ]
    for name, *_ in lines:
        save_png(tmp_path / name, rgb(1, 4, 4))
    columns = ("image", "class", "xmin", "ymin", "xmax", "ymax")
    file = write_csv(tmp_path / "objects.csv", columns, *lines)
    given = config(file, test=0.5, validation=0.0)
    data = open_data(given, "boxes")
    split = split_data(data, replace(given, background=0.1))
    whole = split_data(data, given)
    with_ships = whole["train"][whole["train"] < 20]
    assert len(whole["train"]) == 210 and whole["test"].tolist() == split["test"].tolist()
    assert set(with_ships) <= set(split["train"]) <= set(whole["train"])
    assert 8 <= len(split["train"]) - len(with_ships) <= 32  # 20 expected, deviation 4
    write_split(tmp_path / "split.csv", data, split)
    again = split_data(data, replace(given, background=0.1, split=tmp_path / "split.csv"))
    assert again["train"].tolist() == split["train"].tolist()
    none = split_data(data, replace(given, background=0.0))
    assert none["train"].tolist() == with_ships.tolist()


def test_background_is_of_objects(tmp_path):
    given = config(class_folders(tmp_path, pond=5, beach=5), background=0.5)
    with pytest.raises(ConfigError, match="background: of objects alone"):
        split_data(open_data(given, "class"), given)
    with pytest.raises(ConfigError, match="background: expected a share, 0 to 1, got 2"):
        replace(given, background=2).check()


def test_a_split_is_a_file(tmp_path):
    """Written and read back; examples in no part stay in none."""
    given = config(write_pairs(tmp_path / "d", dict.fromkeys("abcdef", 1)), classes=LAND)
    data = open_data(given, "mask")
    split = {"train": np.array([4, 0]), "validation": np.array([1]), "test": np.array([], int)}
    write_split(tmp_path / "run" / "split.csv", data, split)
    text = (tmp_path / "run" / "split.csv").read_text().splitlines()
    assert text[:4] == [
        "name,part",
        "images/a.png,train",
        "images/b.png,validation",
        "images/c.png,",
    ]
    again = split_data(data, config(given.path, split=tmp_path / "run" / "split.csv"))
    assert {part: members.tolist() for part, members in again.items()} == {
        "train": [0, 4],
        "validation": [1],
        "test": [],
    }
    assert counts(read_split(tmp_path / "run" / "split.csv", data)) == counts(split)


def edges(window: Window) -> tuple[int, int, int, int]:
    return window.row, window.column, window.rows.stop, window.columns.stop


def gaps(first: list[Window], second: list[Window]) -> np.ndarray:
    """Pixels between each two windows, the larger of across and down; negative if they overlap."""
    a, b = (np.array([edges(window) for window in part]) for part in (first, second))
    between = [
        np.maximum(a[:, None, axis] - b[None, :, axis + 2], b[None, :, axis] - a[:, None, axis + 2])
        for axis in (0, 1)
    ]
    return np.maximum(*between)


def assert_apart(data, split, tile):
    """No tile of one part overlaps, touches or neighbours one of another part in its scene."""
    for scene in {row.scene for row in data.rows}:
        windows = [
            [data.rows[i].window for i in members if data.rows[i].scene == scene]
            for members in split.values()
        ]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            if windows[one] and windows[other]:
                assert gaps(windows[one], windows[other]).min() >= tile


@pytest.mark.parametrize("scenes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_no_training_tile_touches_a_test_tile(tmp_path, scenes):
    """96 x 72 px in tiles of 8: between any two parts lies at least a tile."""
    for number in range(scenes):
        save_tif(tmp_path / "images" / f"{number}.tif", rgb(number, 96, 72))
        save_tif(tmp_path / "masks" / f"{number}.tif", stripes(96, 72))
    given = config(tmp_path, classes=LAND, tile_size=8, validation=0.2, test=0.2)
    data = open_data(given, "mask")
    split = split_data(data, given)
    assert_apart(data, split, 8)
    total = sum(counts(split).values())
    assert total < len(data) == scenes * 12 * 9  # some lie between
    assert counts(split)["train"] > 0.3 * len(data)
    assert min(counts(split)["validation"], counts(split)["test"]) > 0.1 * len(data)
    again = split_data(data, given)
    assert all((again[part] == split[part]).all() for part in split)


@pytest.mark.slow
def test_every_part_gets_every_class_where_that_can_be(tmp_path):
    """Water fills one of four quarters: strips along its edge would leave a part without."""
    codes = np.zeros((96, 96), np.uint8)
    codes[:48, :48] = 1
    save_tif(tmp_path / "images" / "a.tif", rgb(1, 96, 96))
    save_tif(tmp_path / "masks" / "a.tif", codes)
    given = config(tmp_path, classes=LAND, tile_size=8, validation=0.2, test=0.2)
    data = open_data(given, "mask")
    split = split_data(data, given)
    assert_apart(data, split, 8)
    for members in split.values():
        share = np.mean([data.label(int(i)).mean() for i in members])
        assert 0.1 < share < 0.6  # a quarter is due


def test_windows_of_a_csv_are_apart_too(tmp_path):
    """Overlapping windows of one image, each with a class."""
    save_png(tmp_path / "a.png", rgb(1, 128, 128))
    rows = [
        ("a.png", "pond" if c % 16 else "beach", r, c, 16, 16)
        for r in range(0, 112, 8)
        for c in range(0, 112, 8)
    ]
    columns = ("image", "label", "row", "column", "height", "width")
    given = config(write_csv(tmp_path / "d.csv", columns, *rows))
    data = open_data(given, "class")
    split = split_data(data, given)
    assert_apart(data, split, 16)
    assert len(split["validation"])


def test_of_many_scenes_whole_ones_are_dealt_out(tmp_path):
    """20 scenes of 4 tiles, 20 %: 4 scenes validate, and nothing is left out."""
    for number in range(20):
        save_png(tmp_path / "images" / f"{number}.png", rgb(number, 16, 16))
        save_png(tmp_path / "masks" / f"{number}.png", stripes(16, 16))
    given = config(tmp_path, classes=LAND, tile_size=8)
    data = open_data(given, "mask")
    split = split_data(data, given)
    assert counts(split) == {"train": 64, "validation": 16, "test": 0}
    scenes = [{data.rows[i].scene for i in split[part]} for part in ("train", "validation")]
    assert (len(scenes[0]), len(scenes[1])) == (16, 4)
    assert not scenes[0] & scenes[1]


def test_a_scene_too_small_to_split_is_refused(tmp_path):
    save_tif(tmp_path / "images" / "a.tif", rgb(1, 32, 32))
    save_tif(tmp_path / "masks" / "a.tif", stripes())
    given = config(tmp_path, classes=LAND, tile_size=16, validation=0.2, test=0.2)
    with pytest.raises(DatasetError, match=r"nothing is left for .*cut smaller tiles"):
        split_data(open_data(given, "mask"), given)


@pytest.mark.slow
@settings(max_examples=12)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    tile=st.integers(1, 40),
    seed=st.integers(0, 2**63),
    test=st.sampled_from([0.1, 0.25]),
)
def test_blocks_are_always_apart(rows, columns, tile, seed, test):
    windows = [Window(r * tile, c * tile, tile, tile) for r in range(rows) for c in range(columns)]
    parts = split_into_blocks(
        windows,
        np.zeros(len(windows), int),
        np.ones((len(windows), 1)),
        [0.9 - test, 0.1, test],
        apart=tile,
        seed=seed,
    )
    assert set(parts) <= {-1, 0, 1, 2}
    differ = (parts[:, None] != parts[None]) & (parts[:, None] >= 0) & (parts[None] >= 0)
    assert (gaps(windows, windows)[differ] >= tile).all()
