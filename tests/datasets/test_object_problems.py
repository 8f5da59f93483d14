"""What is wrong with labels of objects is counted and listed, and leaves the rest usable."""

import cProfile
import json
import logging
import pstats

import numpy as np
import pytest
from PIL import Image
from tests.datasets.small_files import rgb, save_png, stripes, write_csv
from tests.datasets.test_object_formats import (
    BNDBOX,
    coco,
    opened,
    pictures,
    thing,
    voc,
    write,
)

from ringmoe.datasets import DataConfig, check_training, open_data
from ringmoe.errors import ConfigError, DatasetError

GOOD = {"category_id": 3, "bbox": [4, 6, 20, 10]}


def kinds(data):
    return sorted({problem.kind for problem in data.problems})


def a_coco(tmp_path, *annotations, **options):
    pictures(tmp_path / "images", "a.png")
    coco(tmp_path / "labels.json", *annotations, **options)
    return tmp_path


@pytest.mark.parametrize(
    ("bad", "kind", "left"),
    [
        ([70, 6, 20, 10], "box outside the image", 1),
        ([-30, -30, 20, 10], "box outside the image", 1),
        ([50, 6, 20, 10], "box partly outside the image", 2),
        ([4, 6, 0, 10], "box without area", 1),
        ([4, 6, -5, -10], "box without area", 1),
        ([4, 6, float("nan"), 10], "box without area", 1),
        ([4, 6, 20], "entry that cannot be read", 1),
        (["a", 6, 20, 3], "entry that cannot be read", 1),
    ],
)
def test_bad_boxes(tmp_path, bad, kind, left):
    data = opened(a_coco(tmp_path, GOOD, {"category_id": 3, "bbox": bad}))
    assert kinds(data) == [kind] and len(data.objects[0]) == left
    assert data.problems[0].file == str(tmp_path / "labels.json")
    assert (data[0].label.boxes >= 0).all()


def test_a_pixel_too_far_is_no_problem(tmp_path):
    """Files that count from 0 where 1 is meant reach out by one."""
    data = opened(a_coco(tmp_path, {"category_id": 3, "bbox": [-1, -1, 10, 10]}))
    assert data.problems == () and data.objects[0].boxes.tolist() == [[0, 0, 9, 9]]


def test_every_class_ignored_is_one_line(tmp_path):
    path = a_coco(tmp_path, GOOD)
    with pytest.raises(DatasetError, match="every class is one to ignore"):
        opened(path, ignore=opened(path).classes)


def test_unknown_classes(tmp_path, caplog):
    path = a_coco(tmp_path, GOOD, {**GOOD, "category_id": 77}, {**GOOD, "category_id": 78})
    data = opened(path)
    assert len(data.objects[0]) == 1 and kinds(data) == ["unknown class"]
    assert len(data.problems) == 2 and "class '77', left out" in str(data.problems[0])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "2 x unknown class, first" in caplog.text and "labels.json" in caplog.text
    assert opened(path, classes=["ship"], ignore=[77, 78]).problems == ()
    with pytest.raises(DatasetError, match=r"no object can be used \(classes tank, the files have"):
        opened(path, classes=["tank"])


def test_partners_that_lack(tmp_path):
    pictures(tmp_path / "JPEGImages", "a.png", "alone.png")
    write(tmp_path / "Annotations" / "a.xml", voc(thing("ship", BNDBOX)))
    write(tmp_path / "Annotations" / "lost.xml", voc(thing("ship", BNDBOX)))
    data = opened(tmp_path)
    assert data.names == ("JPEGImages/a.png",)
    assert kinds(data) == ["image without labels", "label file without image"]
    assert [problem.file.rpartition("/")[2] for problem in data.problems] == [
        "lost.xml",
        "alone.png",
    ]


def test_an_image_of_another_part_is_no_partner(tmp_path):
    pictures(tmp_path / "train" / "images", "a.png")
    pictures(tmp_path / "val" / "images", "a.png")
    write(tmp_path / "train" / "xml" / "a.xml", voc(thing("ship", BNDBOX)))
    data = opened(tmp_path)
    assert data.names == ("train/images/a.png",) and kinds(data) == ["image without labels"]
    assert data.problems[0].file.endswith("val/images/a.png")


def test_partners_that_lack_in_coco(tmp_path):
    pictures(tmp_path / "images", "a.png", "alone.png")
    file = coco(tmp_path / "labels.json", GOOD, images=("a.png", "lost.png", "a.png"))
    content = json.loads(file.read_text())
    content["annotations"].append({**GOOD, "image_id": 55})
    content["images"].append({"id": 8})
    file.write_text(json.dumps(content))
    data = opened(tmp_path)
    assert data.names == ("images/a.png",) and len(data.objects[0]) == 1
    assert kinds(data) == [
        "entry that cannot be read",
        "image listed twice",
        "image without labels",
        "labels without image",
    ]


def test_malformed_files_and_lines(tmp_path):
    names = ("a.png", "b.png", "c.png")
    pictures(tmp_path / "voc" / "images", *names)
    broken = thing("ship", "<bndbox><xmin>x</xmin></bndbox>"), "<object><name>ship</name></object>"
    write(tmp_path / "voc" / "xml" / "a.xml", voc(thing("ship", BNDBOX), *broken))
    write(tmp_path / "voc" / "xml" / "b.xml", "<annotation><object>")
    write(tmp_path / "voc" / "xml" / "c.xml", "")
    data = opened(tmp_path / "voc")
    assert data.names == ("images/a.png",) and len(data.objects[0]) == 1
    assert kinds(data) == ["label file that cannot be read", "object that cannot be read"]

    pictures(tmp_path / "dota" / "images", *names)
    good = "1 1 9 1 9 9 1 9 ship 0"
    write(tmp_path / "dota" / "labelTxt" / "a.txt", f"{good}\n1 1 9 1 9 ship\nx {good}\n")
    (tmp_path / "dota" / "labelTxt" / "b.txt").write_bytes(b"\xff\xfe\x00")
    write(tmp_path / "dota" / "labelTxt" / "c.txt", "1 1 9 1 9 9 1 9\n")
    data = opened(tmp_path / "dota")
    assert [len(objects) for objects in data.objects] == [1, 0]
    assert kinds(data) == ["label file that cannot be read", "line that cannot be read"]
    assert "line 2: expected 8 numbers" in str(data.problems[0])

    columns = ("image", "class", "xmin", "ymin", "xmax", "ymax", "split")
    lines = ("a.png", "ship", 1, 1, 9, 9, ""), ("a.png", "ship", 1, "?", 9, 9, "")
    more = ("a.png", "", 1, 1, 9, 9, ""), ("gone.png", "ship", 1, 1, 9, 9, "")
    pictures(tmp_path, "a.png")
    file = write_csv(tmp_path / "objects.csv", columns, *lines, *more)
    data = opened(file)
    assert len(data.objects[0]) == 1
    assert kinds(data) == ["labels without image", "line that cannot be read"]
    assert "objects.csv, line 3" in data.problems[0].file


def test_xml_in_any_encoding(tmp_path):
    """GB2312 is usual in Chinese data sets, and the parser itself knows no such encoding."""
    pictures(tmp_path / "images", "a.png", "b.png")
    chinese = '<?xml version="1.0" encoding="GB2312"?>' + voc(thing("\u8239", BNDBOX))
    unknown = '<?xml version="1.0" encoding="no-such-code"?>' + voc(thing("ship", BNDBOX))
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_bytes(chinese.encode("gb2312"))
    write(tmp_path / "xml" / "b.xml", unknown)
    data = opened(tmp_path)
    assert data.classes == ("\u8239",) and len(data.objects[0]) == 1
    assert kinds(data) == ["label file that cannot be read"]
    assert "no-such-code" in str(data.problems[0])


def test_xml_with_a_namespace_and_angles_of_no_known_unit(tmp_path):
    pictures(tmp_path / "images", "a.png")
    angle = "".join(
        f"<{t}>{v}</{t}>" for t, v in zip(("cx", "cy", "w", "h"), (9, 9, 8, 4), strict=True)
    )
    angle = f"<rotated_bndbox>{angle}<angle>45</angle></rotated_bndbox>"
    text = voc(thing("ship", BNDBOX), thing("ship", angle))
    text = text.replace("<annotation>", '<annotation xmlns="http://example.org">', 1)
    write(tmp_path / "xml" / "a.xml", text)
    data = opened(tmp_path)
    assert len(data.objects[0]) == 1
    assert "rotated_bndbox has no corners" in str(data.problems[0])


def test_coco_entries_of_any_kind(tmp_path):
    """None of them hides the others."""
    corners = [1, 1, 9, 1, 9, float("nan"), 1, 9]
    odd = [{**GOOD, "segmentation": [corners]}, {**GOOD, "image_id": [1]}, 7, None]
    file = coco(a_coco(tmp_path, GOOD) / "labels.json", GOOD, *odd[:1])
    content = json.loads(file.read_text())
    content["annotations"] += odd[1:]
    content["categories"] += [{"name": "nobody"}, None]
    content["images"].append({"id": {}, "file_name": "gone.png"})
    file.write_text(json.dumps(content))
    data = opened(tmp_path, kind="rotated-boxes")
    assert len(data.objects[0]) == 1
    reasons = [str(p) for p in data.problems if p.kind == "entry that cannot be read"]
    assert len(reasons) == 3 and "no number" in " ".join(reasons)
    content["categories"] = None
    file.write_text(json.dumps(content))
    assert opened(tmp_path).classes == ("3",)


def test_a_quadrilateral_on_one_line_has_no_area(tmp_path):
    pictures(tmp_path / "images", "a.png")
    write(tmp_path / "labelTxt" / "a.txt", "1 1 1 1 9 9 9 9 ship 0\n1 1 9 1 9 9 1 9 ship 0\n")
    data = opened(tmp_path, kind="rotated-boxes")
    assert len(data.objects[0]) == 1 and kinds(data) == ["box without area"]


def test_labels_together_and_images_in_their_parts(tmp_path):
    """The part is the image's; a name that two parts have could be either's."""
    pictures(tmp_path / "images" / "train", "a.png", "c.png")
    pictures(tmp_path / "images" / "test", "b.png", "c.png")
    for stem in "abc":
        write(tmp_path / "Annotations" / f"{stem}.xml", voc(thing("ship", BNDBOX)))
    data = opened(tmp_path)
    assert data.names == ("images/train/a.png", "images/test/b.png")
    assert [row.part for row in data.rows] == ["train", "test"]
    assert "several images are called c.*" in str(data.problems[0])


def test_rotated_boxes_that_reach_far_out(tmp_path):
    """What lies on an edge is whole; of what hardly shows, its label may be wrong."""
    pictures(tmp_path / "images", "a.png")
    on_edge, far = "-4 10 10 10 10 20 -4 20 ship 0", "-500 10 30 10 30 20 -500 20 ship 0"
    write(tmp_path / "labelTxt" / "a.txt", f"{on_edge}\n{far}\n")
    data = opened(tmp_path, "rotated-boxes")
    assert data.objects[0].ignored.tolist() == [False, True]
    assert data.objects[0].boxes[0, 2:4].tolist() == [14, 10]
    assert [str(p) for p in data.problems if "(-235, 15, 530, 10, " in str(p)]
    assert kinds(data) == ["box partly outside the image"] and len(data.problems) == 1


def test_a_jpeg_is_no_mask(tmp_path):
    pictures(tmp_path / "images", "a.png", "b.png")
    save_png(tmp_path / "instances" / "a.png", stripes(48, 64))
    Image.fromarray(np.eye(48, dtype=np.uint8)).save(tmp_path / "instances" / "b.jpg")
    data = opened(tmp_path)
    assert data.names == ("images/a.png",) and "save masks as PNG" in str(data.problems[0])


def test_masks_and_images_that_cannot_be_opened(tmp_path):
    pictures(tmp_path / "images", "a.png", "b.png")
    save_png(tmp_path / "instances" / "a.png", stripes(48, 64))
    write(tmp_path / "instances" / "b.png", "no picture")
    data = opened(tmp_path)
    assert data.names == ("images/a.png",) and kinds(data) == ["label file that cannot be read"]
    write(tmp_path / "images" / "a.png", "")
    with pytest.raises(DatasetError, match="found none that can be used: "):
        opened(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_picture_is_left_out(tmp_path, suffix):
    """Half of it has a header that tells the size; no pixel is read to see that the end lacks."""
    names = f"a.{suffix}", f"b.{suffix}"
    path = a_coco(tmp_path, GOOD, {**GOOD, "image_id": 2}, images=names)
    for name in names:
        Image.fromarray(rgb(0, 48, 64).transpose(1, 2, 0)).save(path / "images" / name)
    whole = (path / "images" / names[0]).read_bytes()
    (path / "images" / names[0]).write_bytes(whole[: len(whole) // 2])
    data = opened(path)
    assert data.names == (f"images/{names[1]}",) and data[0].size == (48, 64)
    assert "truncated" in str(data.problems[0])


def test_a_picture_of_other_colours_is_left_out(tmp_path):
    """Grey among colours; transparency is no colour."""
    names = ("a.png", "b.png", "c.png")
    path = a_coco(tmp_path, GOOD, images=names)
    picture = Image.fromarray(rgb(0, 48, 64).transpose(1, 2, 0))
    for name, mode in zip(names, ("RGB", "L", "RGBA"), strict=True):
        picture.convert(mode).save(path / "images" / name)
    data = opened(path)
    assert data.names == ("images/a.png", "images/c.png")
    assert "b.png: it has 1, others have 3" in str(data.problems[0])


def test_labels_of_an_image_of_another_size(tmp_path):
    """48 x 64 pixels; what labels of another size mean is anyone's guess."""
    sized = [(48, 64), (96, 128), (0, 0)]
    said = "<size><width>{1}</width><height>{0}</height></size>"
    for number, size in enumerate(sized):
        pictures(tmp_path / "voc" / "images", f"{number}.png")
        text = voc(said.format(*size), thing("ship", BNDBOX))
        write(tmp_path / "voc" / "xml" / f"{number}.xml", text)
        pictures(tmp_path / "masks" / "images", f"{number}.png")
        save_png(tmp_path / "masks" / "instances" / f"{number}.png", np.eye(48, size[1] or 64) > 0)
    pictures(tmp_path / "coco" / "images", "0.png", "1.png")
    file = coco(tmp_path / "coco" / "labels.json", GOOD, images=("0.png", "1.png"))
    content = json.loads(file.read_text())
    for image, size in zip(content["images"], sized, strict=False):
        image["height"], image["width"] = size
    file.write_text(json.dumps(content))
    for name, kept in (("voc", "02"), ("masks", "02"), ("coco", "0")):
        data = opened(tmp_path / name)
        assert data.names == tuple(f"images/{number}.png" for number in kept)
        assert kinds(data) == ["image of another size than its labels say"]
        assert "has 48 x 64 pixels, its labels are of " in str(data.problems[0])


def test_two_images_of_one_id(tmp_path):
    """The second has no labels of its own: it is left out, and no background."""
    path = a_coco(tmp_path, GOOD, images=("a.png", "b.png"))
    pictures(path / "images", "b.png")
    file = path / "labels.json"
    file.write_text(file.read_text().replace('"id": 2', '"id": 1'))
    data = opened(path)
    assert data.names == ("images/a.png",) and "two images of one id" in kinds(data)


def test_what_is_said_of_no_usable_object_is_the_cause(tmp_path):
    pictures(tmp_path / "images", "a.png")
    text = "1 1 9 1 9 ship\n1 1 9 1 9 9 1 9 ship 0\n"
    write(tmp_path / "labelTxt" / "a.txt", text)
    with pytest.raises(DatasetError, match="class 'ship', left out: expected one of tank"):
        opened(tmp_path, classes=["tank"])


def test_names_of_folders_and_files_in_any_case(tmp_path):
    """The name of the data themselves says nothing of what is in them."""
    path = tmp_path / "masks-2024"
    pictures(path / "images", "a.png")
    write(path / "Annotations" / "a.XML", voc(thing("ship", BNDBOX)))
    assert len(opened(path).objects[0]) == 1
    write(tmp_path / "tables" / "l.csv", "image,class\n")
    with pytest.raises(DatasetError, match=r"to use l\.csv, give it as data\.path"):
        opened(tmp_path / "tables")


@pytest.mark.parametrize("kind", ["boxes", "rotated-boxes"])
def test_nothing_usable_is_one_line(tmp_path, kind):
    for path, message in (
        (tmp_path / "nowhere", "there is no such folder or file; check data.path"),
        (tmp_path, "expected objects as COCO"),
    ):
        with pytest.raises(DatasetError, match=message) as caught:
            opened(path, kind)
        assert "\n" not in str(caught.value)
    with pytest.raises(DatasetError, match=r"labels\.json: there is no such folder or file"):
        opened(tmp_path, kind, labels="labels.json")
    coco(tmp_path / "labels.json", GOOD)
    with pytest.raises(DatasetError, match=r"found none that can be .*no file a\.png"):
        opened(tmp_path, kind)
    write(tmp_path / "labels.json", '{"images": [1}')
    with pytest.raises(DatasetError, match="expected COCO JSON"):
        opened(tmp_path, kind)
    pictures(tmp_path / "images", "a.png")
    write(tmp_path / "labelTxt" / "a.txt", "0 0.5 0.5 0.1 0.1\n")  # YOLO's
    with pytest.raises(DatasetError, match="expected labelled objects, found none in 1 images: "):
        opened(tmp_path, kind, labels="labelTxt")


def test_several_formats_are_not_guessed_at(tmp_path):
    path = a_coco(tmp_path, GOOD)
    write(path / "labelTxt" / "a.txt", "1 1 9 1 9 9 1 9 ship 0\n")
    with pytest.raises(DatasetError, match=r"several formats \(COCO, DOTA\): name the file or"):
        opened(path)
    assert opened(path, labels="labelTxt").objects[0].boxes.tolist() == [[1, 1, 9, 9]]
    assert opened(path, labels="labels.json").objects[0].boxes.tolist() == [[4, 6, 24, 16]]
    write(path / "labelTxt" / "hbb" / "a.txt", "1 1 9 1 9 9 1 9 ship 0\n")
    with pytest.raises(DatasetError, match="label the same image: name the folder of one"):
        opened(path, labels="labelTxt")


def test_a_class_without_an_object_is_said_and_no_object_at_all_refused(tmp_path, caplog):
    """Files declare what they do not have; the rest can be learned."""
    crowd = {**GOOD, "iscrowd": 1}
    data = opened(a_coco(tmp_path, GOOD, {**crowd, "category_id": 9}))
    check_training(data, np.array([0]))
    assert "none of 1 training examples has plane" in caplog.text
    data = opened(a_coco(tmp_path, crowd))
    with pytest.raises(DatasetError, match="empty class: none of 1 training examples has ship, pl"):
        check_training(data, np.array([0]))


def test_other_sensors_than_one_are_refused(tmp_path):
    path = a_coco(tmp_path, GOOD)
    config = DataConfig(path=path, sensors={"optical": "rgb-dn8", "sar_amplitude": "sentinel1-grd"})
    with pytest.raises(ConfigError, match="no image is called optical"):
        open_data(config, "boxes")


def calls(function, *arguments):
    profile = cProfile.Profile()
    profile.runcall(function, *arguments)
    return pstats.Stats(profile).total_calls


@pytest.mark.slow
def test_the_work_grows_with_the_data_alone(tmp_path):
    """Four times the images and objects take at most four times the calls, and some."""
    picture = Image.fromarray(rgb(0, 16, 16).transpose(1, 2, 0))
    counted = []
    for count in (100, 400):
        folder = tmp_path / str(count)
        (folder / "images").mkdir(parents=True)
        names = [f"{number}.png" for number in range(count)]
        for name in names:
            picture.save(folder / "images" / name)
        things = [
            {"image_id": 1 + number % count, "category_id": 3, "bbox": [1, 1, 9, 9]}
            for number in range(10 * count)
        ]
        coco(folder / "labels.json", *things, images=names)
        counted.append(calls(opened, folder))
        lines = ["1 1 9 1 9 9 1 9 ship 0"] * 10
        for number in range(count):
            write(folder / "labelTxt" / f"{number}.txt", "\n".join(lines))
        counted[-1] += calls(lambda f=folder: opened(f, labels="labelTxt"))
    assert counted[1] < 4.2 * counted[0]


@pytest.mark.parametrize("both", [True, False])
def test_pictures_of_one_name_in_two_parts(tmp_path, both):
    """`file_name` is a bare name: val's labels belong on val's picture."""
    pictures(tmp_path / "train", "0.png")
    pictures(tmp_path / "val", "0.png")
    for part in ("train", "val") if both else ("val",):
        coco(tmp_path / "annotations" / f"instances_{part}.json", GOOD, images=("0.png",))
    data = opened(tmp_path)
    assert [(row.name, row.part) for row in data.rows] == (
        [("train/0.png", "train"), ("val/0.png", "validation")]
        if both
        else [("val/0.png", "validation")]
    )
    for folder in ("a", "b"):
        pictures(tmp_path / "more" / folder, "1.png")
    coco(tmp_path / "more" / "labels.json", GOOD, images=("1.png",))
    with pytest.raises(DatasetError):
        opened(tmp_path / "more")


def test_corners_of_yolo_are_not_taken_for_dotas(tmp_path):
    pictures(tmp_path / "images", "1.png")
    line = "0 0.1 0.1 0.3 0.1 0.3 0.2 0.1 0.2"
    dota = "10 10 20 10 20 20 10 20 1"  # a class may be a number
    write(tmp_path / "labelTxt" / "1.txt", f"{line}\n{dota}\n")
    data = opened(tmp_path, "rotated-boxes")
    assert data.classes == ("1",)
    assert len(data.objects[0].boxes) == 1
    (problem,) = data.problems
    assert "YOLO's class and corners from 0 to 1" in str(problem)
