"""Labels of objects as data sets publish them: real files, read beside a plain reading of them."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from ringmoe.boxes import area, cxcywhr_to_corners, enclosing, paired_iou
from ringmoe.datasets import DataConfig, open_data

SAR = {"sensor": "sar-amplitude-dn8", "bands": ["unknown", "-", "-"]}


def opened(path, kind, **options):
    return open_data(DataConfig(path=path, **(options or SAR)), kind)


def test_dota(real_data):
    """P0706 has 531 ships and 5 harbours; two images have no label file."""
    data = opened(real_data / "dota", "rotated-boxes", sensor="rgb-dn8")
    objects = data.objects[0]
    assert (data.names, data.classes) == (("images/P0706.png",), ("harbor", "ship"))
    assert np.bincount(objects.classes).tolist() == [5, 531]
    assert [problem.kind for problem in data.problems] == ["image without labels"] * 2
    lines = (real_data / "dota" / "labelTxt" / "P0706.txt").read_text().split("\n")[2:]
    truth = np.array([line.split()[:8] for line in lines if line], float)
    hard = np.array([line.split()[9] != "0" for line in lines if line])
    assert np.array_equal(objects.ignored, hard)
    # Hand-drawn quadrilaterals are not quite rectangles: the smallest around one is a bit larger.
    ratio = area(objects.boxes) / area(truth)
    assert ratio.min() > 1 - 1e-6 and np.median(ratio) < 1.1
    flat = opened(real_data / "dota", "boxes", sensor="rgb-dn8").objects[0]
    expected = np.minimum(enclosing(truth), [1111, 1182] * 2)  # one reaches out by a pixel
    np.testing.assert_array_equal(flat.boxes, expected)
    gaps = abs(enclosing(cxcywhr_to_corners(objects.boxes)) - flat.boxes)
    assert np.median(gaps) < 2


@pytest.mark.parametrize("form", ["boxes", "rotated-boxes"])
def test_outlines_of_ssdd_are_those_of_its_coco_file(real_data, form):
    """But for the parts of a pixel, which VOC has not."""
    coco, outlines = (opened(real_data / "ssdd" / folder, form) for folder in ("coco", "VOCSEG"))
    assert outlines.problems == () and len(outlines) == len(coco) > 0
    boxes_of = {
        name.rpartition("/")[2]: objects.boxes
        for name, objects in zip(outlines.names, outlines.objects, strict=True)
    }
    for name, objects in zip(coco.names, coco.objects, strict=True):
        found, drawn = boxes_of[name.rpartition("/")[2]], objects.boxes
        if form == "boxes":
            assert abs(found - drawn).max() <= 1
        else:
            overlaps = paired_iou(torch.from_numpy(found), torch.from_numpy(drawn))
            assert overlaps.min() > 0.75


def test_ssdd_says_the_same_in_three_formats(real_data):
    """COCO's boxes were rounded for VOC; the rotated ones were drawn apart from the polygons."""
    root = real_data / "ssdd"
    coco = opened(root / "coco", "boxes")
    voc = opened(root / "VOC", "boxes", first_pixel=0, **SAR)
    turned, drawn = (opened(root / folder, "rotated-boxes") for folder in ("coco", "VOCOBB"))
    assert coco.problems == voc.problems == turned.problems == drawn.problems == ()
    assert coco.classes == voc.classes == ("ship",)
    stems = [name.rpartition("/")[2] for name in voc.names]
    for index, name in enumerate(coco.names):
        other = stems.index(name.rpartition("/")[2])
        gaps = abs(coco.objects[index].boxes - voc.objects[other].boxes)
        assert gaps.max() <= 1
        centres = [data.objects[i].boxes[:, :2] for data, i in ((turned, index), (drawn, other))]
        assert np.linalg.norm(centres[0] - centres[1], axis=1).max() < 3
        assert coco[index].label.boxes.shape == voc[other].label.boxes.shape
    assert {row.part for row in coco.rows} == {"train", "test"}


@pytest.mark.slow
def test_hrsid_instances(real_data):
    """A box for every colour but black, and its area is at least that of its pixels."""
    data = opened(real_data / "hrsid", "boxes")
    rotated = opened(real_data / "hrsid", "rotated-boxes")
    assert (len(data), data.classes) == (3, ("ship",))
    for index, name in enumerate(data.names):
        path = real_data / "hrsid" / name.replace(".png", "_instance_id_RGB.png")
        codes = np.asarray(Image.open(path)).astype(int) @ [65536, 256, 1]
        colours, counts = np.unique(codes[codes > 0], return_counts=True)
        assert len(data.objects[index]) == len(rotated.objects[index]) == len(colours)
        for code, count, box, turned in zip(
            colours, counts, data.objects[index].boxes, rotated.objects[index].boxes, strict=True
        ):
            rows, columns = np.nonzero(codes == code)
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == edges
            assert count - 1e-6 <= turned[2] * turned[3] <= area(box) + 1e-6
    assert data[0].images["image"].values.shape == (1, 800, 800)


def test_wpafb_points(real_data):
    """`px` runs over rows: it stays below 496 and `py` below 585, the size of the frames."""
    root = real_data / "wpafb"
    data = opened(root, "boxes", sensor="rgb-dn8", bands=["red"])
    assert data.names == tuple(f"wpafb/{number:06d}" for number in range(100, 106))
    assert {problem.kind for problem in data.problems} == {"frame without image"}
    with open(root / "transformed_object_states.csv", newline="") as file:
        rows = {int(row["Frame Number"]): row for row in csv.DictReader(file)}
    for index, frame in enumerate(range(100, 106)):
        places = {
            int(key.split("_")[1]): (float(value), float(rows[frame][key.replace("px", "py")]))
            for key, value in rows[frame].items()
            if key.endswith("_px")
        }
        places = {key: place for key, place in places.items() if place != (0, 0)}
        objects = data.objects[index]
        assert objects.ids.tolist() == list(places)
        inner = (objects.boxes[:, :2] > 0).all(1) & (objects.boxes[:, 2:] < [585, 496]).all(1)
        centres = (objects.boxes[:, :2] + objects.boxes[:, 2:])[inner, ::-1] / 2 - 0.5
        np.testing.assert_allclose(centres, np.array(list(places.values()))[inner])
    assert data[0].size == (496, 585)


def test_nothing_of_a_coco_file_is_lost(real_data):
    files = sorted((real_data / "ssdd" / "coco" / "annotations").glob("*.json"))
    listed = sum(len(json.loads(file.read_text())["annotations"]) for file in files)
    assert listed == sum(map(len, opened(real_data / "ssdd" / "coco", "boxes").objects))
