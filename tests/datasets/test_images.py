"""Labelled image folders and list files, in the layouts of AID and MSTAR."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ringmoe.datasets import class_folders, list_file, position_in_class
from ringmoe.errors import DatasetError, SceneReadError, ShapeError


def save(path: Path, value: int, shape: tuple[int, ...] = (20, 20, 3)) -> None:
    """A constant PNG: lossless, so that pixels tell which file was read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    for number in (10, 2, 1):
        save(tmp_path / "pond" / f"pond_{number}.png", number)
    save(tmp_path / "beach" / "beach_7.png", 70)
    (tmp_path / "beach" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_class_folders_are_ordered_by_name_and_number(folders):
    """Classes by name without gaps (`empty` is none), files by number: 1, 2, 10."""
    images = class_folders(folders, "rgb-dn8")
    assert images.classes == ("beach", "pond")
    names = [path.name for path in images.paths]
    assert names == ["beach_7.png", "pond_1.png", "pond_2.png", "pond_10.png"]
    assert images.labels.tolist() == [0, 1, 1, 1]


def test_reading_gives_the_files_in_order(folders):
    digital, valid = class_folders(folders, "rgb-dn8").read()
    assert digital.shape == (4, 3, 20, 20)
    assert digital[:, 0, 0, 0].tolist() == [70, 1, 2, 10]
    assert valid.all()


def test_a_subset_keeps_paths_and_labels_together(folders):
    images = class_folders(folders, "rgb-dn8")
    by_mask = images.subset(images.labels == 0)
    by_index = images.subset(np.array([3, 0]))
    assert [p.name for p in by_mask.paths] == ["beach_7.png"]
    assert [p.name for p in by_index.paths] == ["pond_10.png", "beach_7.png"]
    assert by_index.labels.tolist() == [1, 0]


def test_a_list_file_may_come_from_windows(tmp_path):
    """`0\\a.png` and `1/b c.png`: both separators, blanks inside names, blank lines."""
    save(tmp_path / "val" / "0" / "a.png", 1, (8, 8))
    save(tmp_path / "val" / "1" / "b c.png", 2, (8, 8))
    (tmp_path / "val.txt").write_text("0\\a.png 0\r\n\r\n1/b c.png 1\r\n")
    images = list_file(
        tmp_path / "val.txt",
        tmp_path / "val",
        "sar-amplitude-dn8",
        classes=("tank", "truck"),
        bands=("unknown",),
    )
    assert images.labels.tolist() == [0, 1]
    assert images.read()[0][:, 0, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.png 0\nmissing.png 1\n", "line 2: no image"),
        ("a.png\n", "line 1: expected 'PATH LABEL'"),
        ("a.png cat\n", "line 1: expected 'PATH LABEL'"),
        ("a.png 5\n", "label 5 but 2 classes"),
        ("\n", "lists no image"),
    ],
)
def test_a_bad_list_names_its_line(tmp_path, lines, message):
    save(tmp_path / "a.png", 1)
    (tmp_path / "list.txt").write_text(lines)
    with pytest.raises(DatasetError, match=message):
        list_file(tmp_path / "list.txt", tmp_path, "rgb-dn8", classes=("x", "y"))


def test_absent_data_say_so(tmp_path):
    with pytest.raises(DatasetError, match="no such list"):
        list_file(tmp_path / "train.txt", tmp_path, "rgb-dn8")
    with pytest.raises(DatasetError, match="found none"):
        class_folders(tmp_path / "nowhere", "rgb-dn8")


def test_damaged_and_unequal_images_are_named(folders):
    save(folders / "pond" / "pond_3.png", 3, (20, 21, 3))
    with pytest.raises(ShapeError, match=r"pond_3\.png"):
        class_folders(folders, "rgb-dn8").read()
    (folders / "pond" / "pond_3.png").write_bytes(b"")
    with pytest.raises(SceneReadError, match=r"pond_3\.png"):
        class_folders(folders, "rgb-dn8").read()


def test_position_in_class_counts_within_each_class():
    assert position_in_class(np.array([3, 1, 3, 3, 1])).tolist() == [0, 0, 1, 2, 1]
