"""Labels of objects in the formats of data sets, with boxes known beforehand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tests.datasets.small_files import rgb, save_png, save_tif, write_csv

from ringmoe.boxes import cxcywhr_to_corners, polygon_to_cxcywhr
from ringmoe.datasets import DataConfig, fingerprint, open_data, split_data
from ringmoe.errors import ConfigError

# A box of 20 x 10 pixels around (30, 20), its long edge 30 degrees counter-clockwise from x.
TILTED = [30, 20, 20, 10, math.pi / 6]
CORNERS = [round(float(number), 4) for number in cxcywhr_to_corners(TILTED)]


EDGES = ("xmin", "ymin", "xmax", "ymax")


def pictures(folder, *names, height=48, width=64):
    for number, name in enumerate(names):
        save_png(folder / name, rgb(number, height, width))
    return folder


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def opened(path, kind="boxes", **options):
    return open_data(DataConfig(path=path, sensor="rgb-dn8", **options), kind)


def boxes(data, index=0):
    return data.objects[index].boxes.round(3).tolist()


def voc(*objects):
    return f"<annotation>{''.join(objects)}</annotation>"


def thing(name, box, difficult=0):
    return f"<object><name>{name}</name><difficult>{difficult}</difficult>{box}</object>"


BNDBOX = "<bndbox><xmin>3</xmin><ymin>5</ymin><xmax>12</xmax><ymax>25</ymax></bndbox>"
ROLABELIMG = (  # clockwise, hence the sign
    "<type>robndbox</type><robndbox><cx>30</cx><cy>20</cy><w>20</w><h>10</h>"
    f"<angle>{-math.pi / 6}</angle></robndbox>"
)


def test_voc_counts_pixels_from_one(tmp_path):
    pictures(tmp_path / "JPEGImages", "a.png", "b.png")
    write(tmp_path / "Annotations" / "a.xml", voc(thing("ship", BNDBOX), thing("car", BNDBOX, 1)))
    write(tmp_path / "Annotations" / "b.xml", voc())
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "a\n")
    write(tmp_path / "ImageSets" / "Main" / "val.txt", "b\n")
    data = opened(tmp_path)
    assert (data.names, data.classes) == (("JPEGImages/a.png", "JPEGImages/b.png"), ("car", "ship"))
    assert [row.part for row in data.rows] == ["train", "validation"]
    assert boxes(data) == [[2, 4, 12, 25]] * 2
    assert data.objects[0].classes.tolist() == [1, 0]
    assert data.objects[0].ignored.tolist() == [False, True]  # difficult
    assert len(data.objects[1]) == 0 and data.problems == ()  # a background image
    assert data[0].label.boxes.tolist() == boxes(data)


def test_rotated_voc(tmp_path):
    pictures(tmp_path / "images", "a.png")
    write(tmp_path / "annotations" / "a.xml", voc(thing("ship", ROLABELIMG)))
    data = opened(tmp_path, "rotated-boxes")
    np.testing.assert_allclose(data.objects[0].boxes, [TILTED], atol=1e-6)
    half = [10 * math.cos(math.pi / 6) + 5 / 2, 10 / 2 + 5 * math.cos(math.pi / 6)]
    expected = [30 - half[0], 20 - half[1], 30 + half[0], 20 + half[1]]
    np.testing.assert_allclose(opened(tmp_path).objects[0].boxes, [expected], atol=1e-6)


def test_dota(tmp_path):
    pictures(tmp_path / "train" / "images", "P1.png", "P2.png")
    line = " ".join(map(str, CORNERS))
    text = f"imagesource:GoogleEarth\ngsd:0.2\n{line} small-vehicle 0\n{line} ship 1\n\n"
    write(tmp_path / "train" / "labelTxt" / "P1.txt", text)
    write(tmp_path / "train" / "labelTxt" / "P2.txt", "")
    data = opened(tmp_path, "rotated-boxes")
    np.testing.assert_allclose(data.objects[0].boxes, [TILTED] * 2, atol=1e-3)
    assert data.objects[0].ignored.tolist() == [False, True]
    assert data.names == ("train/images/P1.png", "train/images/P2.png")
    assert {row.part for row in data.rows} == {"train"}
    flat = opened(tmp_path, "boxes").objects[0].boxes[0]
    np.testing.assert_allclose(
        flat, [min(CORNERS[::2]), min(CORNERS[1::2]), max(CORNERS[::2]), max(CORNERS[1::2])]
    )


def coco(path, *annotations, images=("a.png",)):
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(images, 1)],
        "annotations": [{"id": n, "image_id": 1, **a} for n, a in enumerate(annotations)],
        "categories": [{"id": 3, "name": "ship"}, {"id": 9, "name": "plane"}],
    }
    return write(path, json.dumps(content))


def test_coco(tmp_path):
    pictures(tmp_path / "images", "a.png", "b.png")
    plain = {"category_id": 9, "bbox": [4, 6, 20, 10]}
    outlined = {"category_id": 3, "bbox": [0, 0, 60, 40], "segmentation": [CORNERS]}
    crowd = {**plain, "iscrowd": 1, "segmentation": {"counts": [1], "size": [48, 64]}}
    file = tmp_path / "annotations" / "instances_train2017.json"
    coco(file, plain, outlined, crowd, images=("a.png", "b.png"))
    data = opened(tmp_path)
    assert data.classes == ("ship", "plane")  # in the file's order
    assert boxes(data) == [[4, 6, 24, 16], [0, 0, 60, 40], [4, 6, 24, 16]]
    assert data.objects[0].ignored.tolist() == [False, False, True]
    assert [row.part for row in data.rows] == ["train", "train"]
    rotated = opened(file, "rotated-boxes")
    np.testing.assert_allclose(rotated.objects[0].boxes[1], TILTED, atol=1e-3)
    assert boxes(rotated)[0] == [14, 11, 20, 10, 0]
    assert [problem.kind for problem in rotated.problems] == [
        "horizontal label taken as an upright rotated one"
    ]


def test_instance_masks(tmp_path):
    """Instance 5 is 3 x 4 pixels upright; 9 is the pixels of a diagonal: sqrt(2) across."""
    pictures(tmp_path / "images", "a.png", "b.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[10:13, 20:24] = 5
    mask[np.arange(30, 40), np.arange(30, 40)] = 9
    save_png(tmp_path / "instances" / "a.png", mask)
    save_png(tmp_path / "instances" / "b.png", np.zeros((48, 64), np.uint8))
    data = opened(tmp_path)
    assert boxes(data) == [[20, 10, 24, 13], [30, 30, 40, 40]]
    assert (len(data.objects[1]), data.classes) == (0, ("object",))
    rotated = opened(tmp_path, "rotated-boxes").objects[0].boxes
    expected = [35, 35, 10 * math.sqrt(2), math.sqrt(2), -math.pi / 4]
    np.testing.assert_allclose(rotated, [[22, 11.5, 4, 3, 0], expected], atol=1e-9)


def test_instances_of_colours_and_without_background(tmp_path):
    pictures(tmp_path, "a.png")
    mask = np.zeros((3, 48, 64), np.uint8)
    mask[0] = 128  # one instance everywhere, but for one of another colour
    mask[2, 4:8, 6:9] = 64
    save_png(tmp_path / "a_instance_id_RGB.png", mask)
    data = opened(tmp_path)
    assert boxes(data) == [[0, 0, 64, 48], [6, 4, 9, 8]] and data.classes == ("ship",)


@pytest.mark.parametrize(
    ("columns", "box"),
    [
        (("xmin", "ymin", "xmax", "ymax"), (2, 4, 12, 25)),
        (("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"), CORNERS),
        (("cx", "cy", "w", "h", "r"), TILTED),
    ],
)
def test_csv(tmp_path, columns, box):
    pictures(tmp_path, "a.png", "b.png")
    file = write_csv(
        tmp_path / "objects.csv",
        ("image", "class", *columns, "difficult", "split"),
        ("a.png", "ship", *box, 0, "train"),
        ("a.png", "car", *box, 1, "train"),
        ("b.png", "", *[""] * len(box), "", "val"),
    )
    data = opened(file, "boxes" if len(box) == 4 else "rotated-boxes")
    np.testing.assert_allclose(data.objects[0].boxes[0], box if len(box) < 8 else TILTED, atol=1e-3)
    assert data.objects[0].ignored.tolist() == [False, True] and len(data.objects[1]) == 0
    assert [row.part for row in data.rows] == ["train", "validation"]


def mot(root, name, frames, *lines):
    pictures(root / name / "img1", *(f"{frame:06d}.png" for frame in frames))
    write(root / name / "gt" / "gt.txt", "".join(f"{line}\n" for line in lines))


def test_mot(tmp_path):
    lines = "1,7,11,21,30,10,1,2,1", "2,7,12,21,30,10,0,2,1", "2,8,1,1,4.5,6,1,1,0.1"
    mot(tmp_path, "harbour", (1, 2, 3), *lines)
    data = opened(tmp_path, classes={"plane": 1, "ship": 2})
    assert data.names == ("harbour/000001", "harbour/000002", "harbour/000003")
    assert boxes(data, 0) == [[10, 20, 40, 30]] and boxes(data, 1)[1] == [0, 0, 4.5, 6]
    assert data.objects[1].ids.tolist() == [7, 8] and data.objects[1].classes.tolist() == [1, 0]
    assert data.objects[1].ignored.tolist() == [True, False]  # flag 0: not to be counted
    assert data[2].label.ids.tolist() == []
    merged = opened(tmp_path, classes={"craft": [1, "2"]})
    assert merged.classes == ("craft",) and merged.objects[1].classes.tolist() == [0, 0]
    assert opened(tmp_path / "harbour").names[0] == "harbour/000001"


def test_pictures_that_count_from_zero_are_the_frames_that_mot_counts_from_one(tmp_path):
    """As `write_mot` numbers the frames of such a video."""
    mot(tmp_path, "harbour", range(3), *(f"{n},7,{n},1,5,5,1" for n in (1, 2, 3)))
    data = opened(tmp_path)
    assert data.names == ("harbour/000001", "harbour/000002", "harbour/000003")
    assert [boxes(data, index)[0][0] for index in range(3)] == [0, 1, 2]
    assert [path.name for row in data.rows for path in [Path(row.images["image"])]] == [
        f"{n:06d}.png" for n in range(3)
    ]
    assert [problem.kind for problem in data.problems] == ["pictures counted from 0"]
    mot(tmp_path, "harbour", range(3), "0,7,1,1,5,5,1")
    assert opened(tmp_path).names[0] == "harbour/000000"


def test_frames_of_mot_are_numbered_by_what_differs(tmp_path):
    """As those that are tracked: the last number here is the camera's."""
    mot(tmp_path, "harbour", (), "2,7,1,1,5,5,1", "10,7,3,3,5,5,1")
    pictures(tmp_path / "harbour" / "img1", "f10_cam0.png", "f2_cam0.png")
    data = opened(tmp_path)
    assert data.names == ("harbour/000002", "harbour/000010")
    assert [boxes(data, index)[0][0] for index in (0, 1)] == [0, 2]


def test_sequences_are_split_as_wholes_or_in_time(tmp_path):
    for name in "abcd":
        mot(tmp_path, name, range(1, 6), *(f"{frame},1,1,1,9,9,1,1,1" for frame in range(1, 6)))
    data = opened(tmp_path, validation=0.25)
    config = DataConfig(path=tmp_path, sensor="rgb-dn8", validation=0.25)
    split = split_data(data, config)
    sequences = [{data.rows[i].sequence for i in split[part]} for part in ("train", "validation")]
    assert [len(found) for found in sequences] == [3, 1] and not sequences[0] & sequences[1]
    only = opened(tmp_path / "a")
    split = split_data(only, DataConfig(path=tmp_path, sensor="rgb-dn8", validation=0.4))
    assert (split["train"].tolist(), split["validation"].tolist()) == ([0, 1, 2], [3, 4])


def test_tracks_of_points(tmp_path):
    """`px` is the row, `py` the column; 0, 0 is not there."""
    pictures(tmp_path / "frames", "frame_000100.png", "frame_000101.png")
    write(
        tmp_path / "states.csv",
        "Frame Number,obj_5_px,obj_5_py,obj_5_vx,obj_9_px,obj_9_py\n"
        "100,20,40,1,0,0\n101,21,41,1,30,12\n",
    )
    data = opened(tmp_path)
    assert [name.rpartition("/")[2] for name in data.names] == ["000100", "000101"]
    assert boxes(data, 0) == [[35.5, 15.5, 45.5, 25.5]]
    assert data.objects[1].ids.tolist() == [5, 9] and data.classes == ("vehicle",)
    assert boxes(opened(tmp_path, "rotated-boxes"), 1)[1] == [12.5, 30.5, 10, 10, 0]


def test_tiles_have_the_objects_that_lie_in_them(tmp_path):
    """An image of 48 x 64 in tiles of 32: the box of 10 x 4 lies 8 x 4 in the first, 2 x 4 beyond.

    2 / 10 of it is less than the share from which on it counts.
    """
    write_csv(
        tmp_path / "objects.csv",
        ("image", "class", "xmin", "ymin", "xmax", "ymax"),
        ("a.tif", "ship", 24, 4, 34, 8),
        ("a.tif", "car", 40, 40, 50, 45),
    )
    save_tif(tmp_path / "a.tif", rgb(0, 48, 64))
    data = opened(tmp_path / "objects.csv", tile_size=32)
    assert data.names[:2] == ("a.tif@0,0,32x32", "a.tif@0,32,32x32")
    assert [data.label(i).boxes.tolist() for i in range(4)] == [
        [[24, 4, 32, 8]],
        [[0, 4, 2, 8]],
        [],
        [[8, 8, 18, 13]],
    ]
    assert data.label(1).ignored.tolist() == [True] and len(set(data.names)) == 4
    assert data[3].label.boxes.tolist() == data.label(3).boxes.tolist()


@pytest.mark.parametrize("kind", ["boxes", "rotated-boxes"])
def test_what_is_too_small_is_ignored(tmp_path, kind):
    """The long edge counts: 4 x 8 stays, 5 x 5 does not."""
    write_csv(
        tmp_path / "objects.csv",
        ("image", "class", "xmin", "ymin", "xmax", "ymax"),
        ("a.tif", "ship", 10, 10, 14, 18),
        ("a.tif", "ship", 30, 10, 35, 15),
        ("a.tif", "ship", 30, 30, 36, 33),
    )
    save_tif(tmp_path / "a.tif", rgb(0, 48, 64))
    data = opened(tmp_path / "objects.csv", kind, smallest=6)
    assert data.label(0).ignored.tolist() == [False, True, False]
    assert opened(tmp_path / "objects.csv", kind).label(0).ignored.tolist() == [False] * 3
    with pytest.raises(ConfigError, match="smallest"):
        opened(tmp_path / "objects.csv", kind, smallest=-1)


def test_a_changed_box_is_another_data_set(tmp_path):
    pictures(tmp_path / "images", "a.png")
    prints = []
    for edge in (24, 25, 24):
        annotation = {"category_id": 3, "bbox": [4, 6, edge, 10]}
        coco(tmp_path / "labels.json", annotation)
        prints.append(fingerprint(opened(tmp_path)))
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_rectangle(seed):
    """No rectangle that is turned by any of 2000 angles is smaller, and all points are inside."""
    points = np.random.default_rng(seed).normal(0, [9, 3], (12, 2))
    box = polygon_to_cxcywhr(points)
    angles = np.linspace(0, np.pi, 2000)
    extents = [
        np.ptp(points @ [[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]], axis=0)
        for a in angles
    ]
    areas = np.prod(extents, axis=1)
    assert areas.min() * (1 - 1e-3) <= box[2] * box[3] <= areas.min() + 1e-9
    moved = points - box[:2]
    along = moved @ [math.cos(box[4]), -math.sin(box[4])]
    across = moved @ [math.sin(box[4]), math.cos(box[4])]
    assert abs(along).max() <= box[2] / 2 + 1e-9 and abs(across).max() <= box[3] / 2 + 1e-9
