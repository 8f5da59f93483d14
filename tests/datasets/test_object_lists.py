"""Lists of objects, images and frames: what is wrong in a line, and what goes into which part."""

import numpy as np
import pytest
from tests.datasets.small_files import write_csv
from tests.datasets.test_object_formats import (
    BNDBOX,
    EDGES,
    mot,
    opened,
    pictures,
    thing,
    voc,
    write,
)
from tests.datasets.test_object_problems import kinds

from ringmoe.datasets import DataConfig, open_data, split_data
from ringmoe.errors import DatasetError


def test_csv_of_another_encoding_or_with_odd_numbers(tmp_path):
    columns = ("image", "class", "xmin", "ymin", "xmax", "ymax", "id")
    pictures(tmp_path, "a.png")
    lines = [("a.png", "ship", 1, 1, 9, 9, number) for number in (4, "inf", 1.5, 1e30)]
    file = write_csv(tmp_path / "objects.csv", columns, *lines)
    data = opened(file)
    assert data.objects[0].ids.tolist() == [4]
    assert [p.kind for p in data.problems] == ["line that cannot be read"] * 3
    file.write_bytes(file.read_bytes().replace(b"ship", "b\xe2teau".encode("latin-1")))
    with pytest.raises(DatasetError, match=r"is no UTF-8 .*: save it as UTF-8"):
        opened(file)


@pytest.mark.parametrize(
    ("quote", "kind"),
    [('"ship', "line that cannot be read"), ('"' + "x" * 140_000, "labels without image")],
)
def test_a_quote_that_nobody_closed_spoils_its_own_line(tmp_path, quote, kind):
    columns = ("image", "class", "xmin", "ymin", "xmax", "ymax")
    pictures(tmp_path, "a.png")
    lines = [f"a.png,{name},1,1,9,9" for name in ("ship", quote, "ship")]
    data = opened(write(tmp_path / "objects.csv", "\n".join([",".join(columns), *lines])))
    assert len(data.objects[0]) == 2 and kinds(data) == [kind]
    assert len(data.problems) == 1 and "x" * 100 not in str(data.problems[0])


def test_rare_classes_are_in_every_part(tmp_path):
    """30 images have ships, 6 of them a car too: validation gets a third of those six."""
    rows = [(f"{n:02d}.png", kind, 2, 2, 9, 9) for n in range(30) for kind in ("ship", "car")]
    rows = [row for row in rows if row[1] == "ship" or int(row[0][:2]) % 5 == 0]
    pictures(tmp_path, *(f"{n:02d}.png" for n in range(30)), height=16, width=16)
    columns = ("image", "class", "xmin", "ymin", "xmax", "ymax")
    file = write_csv(tmp_path / "objects.csv", columns, *rows)
    config = DataConfig(path=file, sensor="rgb-dn8", validation=1 / 3)
    data = open_data(config, "boxes")
    split = split_data(data, config)
    cars = [int(sum((data.label(i).classes == 0).sum() for i in split[part])) for part in split]
    assert cars == [4, 2, 0] and len(split["validation"]) == 10


@pytest.mark.parametrize(("classes", "count"), [(3, 6), (100, 40), (300, 200)])
def test_many_rare_classes_are_dealt_out_together(tmp_path, classes, count):
    """One object an image: no class has an image for each part, the images have."""
    rows = [(f"{n:03d}.png", f"kind{n % classes}", 2, 2, 9, 9) for n in range(count)]
    pictures(tmp_path, *(row[0] for row in rows), height=16, width=16)
    file = write_csv(tmp_path / "objects.csv", ("image", "class", *EDGES), *rows)
    config = DataConfig(path=file, sensor="rgb-dn8", validation=0.2)
    split = split_data(open_data(config, "boxes"), config)
    assert len(split["validation"]) == round(0.2 * count)
    seen = {int(row[1][4:]) for row in np.array(rows)[split["validation"]]}
    assert len(seen) == min(len(split["validation"]), classes)  # as many classes as there can be


def test_lists_of_parts_with_blanks_in_the_names_of_images(tmp_path, caplog):
    """VOC's lists of a class have 1, 0 or -1 behind the name."""
    names = ("im a", "im b", "im c 1", "d")
    pictures(tmp_path / "JPEGImages", *(f"{name}.png" for name in names))
    for name in names:
        write(tmp_path / "Annotations" / f"{name}.xml", voc(thing("ship", BNDBOX)))
    lists = tmp_path / "ImageSets" / "Main"
    write(lists / "train.txt", "im a\nd -1\nim b\n")
    write(lists / "test.txt", "im b  1\nim c 1.png\n")
    parts = {row.name.rpartition("/")[2]: row.part for row in opened(tmp_path).rows}
    assert parts == {
        "im a.png": "train", "d.png": "train", "im b.png": "test", "im c 1.png": "test",
    }  # fmt: skip
    assert "train.txt: 1 names stand in the list of another part, first im b (test)" in caplog.text


def test_one_image_of_a_csv_file_by_any_path_and_in_one_part(tmp_path):
    pictures(tmp_path / "images", "a.png")
    columns = ("image", "class", *EDGES, "split")
    names = ("images/a.png", "./images/a.png", "images\\a.png", "images/../images/a.png")
    rows = [(name, "ship", 2, 2, 9 + n, 9, "train") for n, name in enumerate(names)]
    file = write_csv(
        tmp_path / "objects.csv", columns, *rows, (names[0], "ship", 1, 1, 5, 5, "test")
    )
    data = opened(file)
    assert data.names == ("images/a.png",) and len(data.objects[0]) == 5
    assert [row.part for row in data.rows] == ["train"]
    assert [problem.kind for problem in data.problems] == ["image in two parts"]


def test_frames_that_are_missing(tmp_path):
    bad = "x,1,1,1,9,9,1,1,1", "1,1,2,2,9,9,1,1,1", "8,1,1,1,9,9,1,1,1", "1,1e30,1,1,9,9,1,1,1"
    mot(tmp_path, "a", (1, 2, 5), "1,1,1,1,9,9,1,1,1", *bad)
    write(tmp_path / "a" / "seqinfo.ini", "no section")
    mot(tmp_path, "b", (), "1,1,1,1,9,9,1,1,1")
    mot(tmp_path, "c", (1, 2))
    data = opened(tmp_path)
    assert data.names == ("a/000001", "a/000002", "a/000005")
    assert [len(objects) for objects in data.objects] == [1, 0, 0]
    assert kinds(data) == [
        "frame without image",
        "frames missing",
        "line that cannot be read",
        "object twice in a frame",
        "seqinfo.ini that cannot be read",
        "sequence without labels",
        "sequence without pictures",
    ]
    said = {problem.kind: problem.reason for problem in data.problems}
    assert said["frames missing"] == "a has frames 2 and 5, none of the 2 between"


def test_boxes_of_no_known_identity_are_all_kept(tmp_path):
    """-1 of MOTChallenge's detections; half an identity is none."""
    box = "9,9,1,1,1"
    lines = f"1,-1,1,1,{box}", f"1,-1,9,9,{box}", f"2,1.5,1,1,{box}", f"2,2.0,1,1,{box}"
    mot(tmp_path, "a", (1, 2), *lines)
    data = opened(tmp_path)
    assert [objects.ids.tolist() for objects in data.objects] == [[-1, -1], [2]]
    assert kinds(data) == ["line that cannot be read"]


def test_a_sequence_without_labels_is_listed(tmp_path):
    mot(tmp_path, "a", (1,), "1,1,1,1,9,9,1,1,1")
    mot(tmp_path, "b", (1, 2))
    (tmp_path / "b" / "gt" / "gt.txt").unlink()
    data = opened(tmp_path)
    assert data.names == ("a/000001",) and kinds(data) == ["sequence without labels"]
