"""Which label file belongs to which image, and which image to which part."""

import pytest
from tests.datasets.test_object_formats import (
    BNDBOX,
    boxes,
    coco,
    opened,
    pictures,
    thing,
    voc,
    write,
)
from tests.datasets.test_object_problems import GOOD, kinds

from ringmoe.datasets import DataConfig, split_data
from ringmoe.errors import DatasetError


def dota(left):
    return f"{left} 1 9 1 9 9 {left} 9 ship 0\n"


def test_images_of_one_name_have_the_labels_of_their_own_folder(tmp_path):
    for year in ("2019", "2020"):
        pictures(tmp_path / "images" / year, "tile.png")
    write(tmp_path / "labelTxt" / "2020" / "tile.txt", dota(2))
    data = opened(tmp_path)
    assert data.names == ("images/2020/tile.png",) and kinds(data) == ["image without labels"]
    assert data.problems[0].file.endswith("2019/tile.png")
    write(tmp_path / "labelTxt" / "2019" / "tile.txt", dota(1))
    data = opened(tmp_path)
    assert data.names == ("images/2019/tile.png", "images/2020/tile.png")
    assert [boxes(data, 0), boxes(data, 1)] == [[[1, 1, 9, 9]], [[2, 1, 9, 9]]]


def test_folders_with_images_and_labels_of_their_own(tmp_path):
    for place, left in (("a", 1), ("b", 2)):
        pictures(tmp_path / place / "images", "tile.png")
        write(tmp_path / place / "labelTxt" / "tile.txt", dota(left))
    assert [boxes(opened(tmp_path), place) for place in (0, 1)] == [[[1, 1, 9, 9]], [[2, 1, 9, 9]]]
    data = opened(tmp_path, labels="b/labelTxt")
    assert data.names == ("b/images/tile.png",) and boxes(data) == [[2, 1, 9, 9]]


def test_labels_that_could_be_of_two_images_are_of_none(tmp_path):
    for place in ("2019", "2020"):
        pictures(tmp_path / place, "tile.png")
    write(tmp_path / "labelTxt" / "tile.txt", dota(1))
    with pytest.raises(DatasetError, match=r"several images are called tile\.\* .*2019.*2020"):
        opened(tmp_path)
    write(tmp_path / "labelTxt" / "2020" / "tile.txt", dota(2))
    data = opened(tmp_path)
    assert data.names == ("2020/tile.png",) and kinds(data) == ["label file without image"]


def test_labels_of_an_image_that_is_missing_are_not_those_of_its_namesake(tmp_path):
    """Of another camera, say; the nearer label file has the image, the other is told."""
    pictures(tmp_path / "images" / "cam2", "1.png")
    for camera, left in (("cam1", 1), ("cam2", 2)):
        write(tmp_path / "labelTxt" / camera / "1.txt", dota(left))
    data = opened(tmp_path)
    assert data.names == ("images/cam2/1.png",) and boxes(data) == [[2, 1, 9, 9]]
    assert kinds(data) == ["label file without image"]
    assert data.problems[0].file.endswith("cam1/1.txt")


def test_entries_of_coco_mean_images_of_their_own_folders(tmp_path):
    pictures(tmp_path / "images" / "cam2", "1.png")
    names = ("cam1/1.png", "cam2/1.png")
    things = [GOOD | {"image_id": n, "bbox": [n, 6, 20, 10]} for n in (1, 2)]
    coco(tmp_path / "labels.json", *things, images=names)
    data = opened(tmp_path)
    assert boxes(data) == [[2, 6, 22, 16]] and kinds(data) == ["labels without image"]
    assert "there is no file cam1/1.png" in data.problems[0].reason
    coco(tmp_path / "labels.json", *things[:1], images=["/home/of/another/1.png"])
    data = opened(tmp_path)
    assert boxes(data) == [[1, 6, 21, 16]] and kinds(data) == [
        "image in another folder than listed"
    ]


def test_an_image_that_a_file_of_coco_lists_is_not_taken_for_one_that_another_lacks(tmp_path):
    pictures(tmp_path / "images" / "cam2", "1.png")
    for number in (1, 2):
        entry = GOOD | {"bbox": [number, 6, 20, 10]}
        coco(tmp_path / f"{number}.json", entry, images=[f"cam{number}/1.png"])
    data = opened(tmp_path)
    assert boxes(data) == [[2, 6, 22, 16]] and kinds(data) == ["labels without image"]


@pytest.mark.parametrize("form", ["voc", "coco"])
def test_lists_of_parts_are_of_every_format(tmp_path, form):
    names = ("a.png", "b.png", "c.png")
    pictures(tmp_path / "JPEGImages", *names)
    if form == "coco":
        things = [GOOD | {"image_id": number + 1} for number in range(3)]
        coco(tmp_path / "labels.json", *things, images=names)
    else:
        for name in names:
            write(tmp_path / "Annotations" / f"{name[0]}.xml", voc(thing("ship", BNDBOX)))
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "a\n")
    write(tmp_path / "ImageSets" / "Main" / "test.txt", "b\nlost\n")
    data = opened(tmp_path)
    assert [row.part for row in data.rows] == ["train", "test", ""]
    assert kinds(data) == ["image in no part", "listed image that is not there"]
    split = split_data(data, DataConfig(path=tmp_path, sensor="rgb-dn8"))
    assert [indices.tolist() for indices in split.values()] == [[0], [], [1]]
    write(tmp_path / "ImageSets" / "Main" / "trainval.txt", "b\nc\n")  # DIOR has train, too
    data = opened(tmp_path)
    assert [row.part for row in data.rows] == ["train", "test", "train"]


def test_lists_that_name_no_image_are_said(tmp_path):
    pictures(tmp_path / "JPEGImages", "im0.png")
    write(tmp_path / "Annotations" / "im0.xml", voc(thing("ship", BNDBOX)))
    write(tmp_path / "ImageSets" / "train.txt", "IM_0\n")
    assert kinds(opened(tmp_path)) == ["image in no part", "listed image that is not there"]
