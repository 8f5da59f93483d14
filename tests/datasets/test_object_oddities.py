"""What exports of labelled objects hold: odd ids, unknown sizes, tables by other programs."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image
from tests.datasets.small_files import rgb, save_png
from tests.datasets.test_object_formats import (
    BNDBOX,
    boxes,
    coco,
    mot,
    opened,
    pictures,
    thing,
    voc,
    write,
    write_csv,
)
from tests.datasets.test_object_problems import GOOD, kinds

from ringmoe.errors import DatasetError

HEADER = "Frame Number,obj_5_px,obj_5_py,obj_6_px,obj_6_py"


def changed(file, **entries):
    """A COCO file with other lists."""
    content = json.loads(file.read_text()) | entries
    file.write_text(json.dumps(content))


def test_ids_of_coco_may_be_written_as_floats(tmp_path):
    pictures(tmp_path / "images", "a.png")
    file = coco(tmp_path / "labels.json", GOOD)
    changed(
        file,
        images=[{"id": 1.0, "file_name": "a.png", "width": 0, "height": 0}],  # size unknown
        categories=[{"id": 3.0, "name": "ship"}],
        info={"description": "x" * 6000},
    )
    text = json.loads(file.read_text())
    file.write_text(json.dumps({"info": text.pop("info"), **text}))
    data = opened(tmp_path)
    assert boxes(data) == [[4, 6, 24, 16]] and data.problems == ()


def test_names_in_coco_as_another_system_writes_them(tmp_path):
    composed = unicodedata.normalize("NFC", "häfen.png")
    pictures(tmp_path / "images", unicodedata.normalize("NFD", composed))
    coco(tmp_path / "labels.json", GOOD, images=(composed,))
    assert len(opened(tmp_path).objects[0]) == 1


def test_one_category_id_of_two_classes(tmp_path):
    pictures(tmp_path / "images", "a.png")
    twice = [{"id": 3, "name": "ship"}, {"id": 3, "name": "boat"}]
    changed(coco(tmp_path / "labels.json", GOOD), categories=twice)
    with pytest.raises(DatasetError, match="category 3 is 'boat', but 'ship' before: give each"):
        opened(tmp_path)


def test_a_picture_of_palette_indices_is_left_out(tmp_path):
    pictures(tmp_path / "JPEGImages", "a.png")
    Image.fromarray(rgb(1, 48, 64)[..., 0]).convert("P").save(tmp_path / "JPEGImages" / "b.png")
    for stem in "ab":
        write(tmp_path / "Annotations" / f"{stem}.xml", voc(thing("ship", BNDBOX)))
    data = opened(tmp_path)
    assert data.names == ("JPEGImages/a.png",)
    assert kinds(data) == ["image that cannot be opened"]
    assert "indices into a colour table" in str(data.problems[0])


def test_tables_of_points_with_empty_cells_and_a_frame_twice(tmp_path):
    """A cell that is empty is one object that is not there, were the other one empty or not."""
    for number in (1, 2):
        save_png(tmp_path / "frames" / f"{number}.png", rgb(number, 32, 32))
    lines = [HEADER, "1,10,12,,7", "2,11,12,20,22", "2,1,1,2,2"]
    write(tmp_path / "points.csv", "\n".join(lines))
    data = opened(tmp_path)
    assert [objects.ids.tolist() for objects in data.objects] == [[5], [5, 6]]
    np.testing.assert_allclose(boxes(data), [[7.5, 5.5, 17.5, 15.5]])
    assert kinds(data) == ["frame listed twice", "point with one coordinate"]
    write(tmp_path / "more.csv", "\n".join(lines[:2]))
    with pytest.raises(DatasetError, match=r"several tables of points \(more.csv, points.csv\)"):
        opened(tmp_path)
    assert len(opened(tmp_path, labels="points.csv").rows) == 2


def test_tables_of_points_by_other_programs(tmp_path):
    save_png(tmp_path / "frames" / "1.png", rgb(1, 32, 32))
    quoted = ",".join(f'"{word}"' for word in HEADER.split(","))
    file = write(tmp_path / "points.csv", f"{quoted}\n1,10,12,20,22")
    assert len(opened(tmp_path).objects[0]) == 2
    file.write_text(f"{HEADER}\n1,10,12,20,22".replace(",", ";"))
    with pytest.raises(DatasetError, match=r"found none of these; to use points\.csv"):
        opened(tmp_path)


@pytest.mark.parametrize("form", ["boxes", "rotated-boxes"])
def test_a_csv_line_of_negative_size_is_left_out(tmp_path, form):
    pictures(tmp_path, "a.png")
    columns = ("image", "class", "cx", "cy", "w", "h", "r")
    rows = [("a.png", "ship", 20, 20, width, 6, 0) for width in (8, -8)]
    data = opened(write_csv(tmp_path / "objects.csv", columns, *rows), form)
    assert len(data.objects[0]) == 1
    assert "objects.csv, line 3: w and h are -8 and 6, expected 0 or more" in str(data.problems[0])


def test_a_word_in_place_of_difficult_is_told(tmp_path):
    pictures(tmp_path / "JPEGImages", "a.png")
    good, bad = (thing("ship", BNDBOX, difficult) for difficult in (1, "no"))
    write(tmp_path / "Annotations" / "a.xml", voc(good + bad))
    data = opened(tmp_path)
    assert data.objects[0].ignored.tolist() == [True]
    assert "object 2: difficult is 'no', expected a number, left out" in str(data.problems[0])


def test_outlines_of_too_few_points_and_boxes_of_coco_that_are_none_are_told(tmp_path):
    pictures(tmp_path / "voc", "a.png")
    outline = "<segm><point>1,2</point><point>8,9</point></segm>"
    write(tmp_path / "voc" / "a.xml", voc(thing("ship", outline) + thing("ship", BNDBOX)))
    (problem,) = opened(tmp_path / "voc").problems
    assert "object 1: segm is no three or more points x,y, left out" in str(problem)
    pictures(tmp_path / "coco" / "images", "a.png")
    bad = [GOOD | {"bbox": "5555"}, {"category_id": 3}, {"bbox": [1, 2, 3, 4]}]
    coco(tmp_path / "coco" / "labels.json", GOOD, *bad)
    data = opened(tmp_path / "coco")
    assert len(data.objects[0]) == 1
    assert [problem.reason for problem in data.problems] == [
        "annotation of a.png: bbox is '5555', expected four numbers, left out",
        "annotation of a.png: it has no bbox, left out",
        "annotation of a.png: it has no category_id, left out",
    ]


@pytest.mark.parametrize("text", ["", "\n", "nothing\n"])
def test_a_sequence_of_mot_without_a_line_is_left_out(tmp_path, text):
    """Its frames are not ones without objects."""
    mot(tmp_path, "labelled", (1, 2), "1,7,11,21,30,10,1,2,1")
    mot(tmp_path, "other", (1, 2))
    write(tmp_path / "other" / "gt" / "gt.txt", text)
    data = opened(tmp_path)
    assert data.names == ("labelled/000001", "labelled/000002")
    assert kinds(data)[-1] == "sequence without labels"
