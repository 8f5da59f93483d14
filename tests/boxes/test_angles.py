"""Conventions of rotated boxes against corners that files have, other libraries and round trips."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_convert

from ringmoe import boxes
from ringmoe.errors import ConfigError, ShapeError

coordinates = st.floats(-500, 500)
edges = st.floats(0.5, 300)
rotated = st.tuples(coordinates, coordinates, edges, edges, st.floats(-7, 7)).map(np.array)
names = st.sampled_from(list(boxes.CONVENTIONS))


def apart(a, b):
    """How far corners are from the nearest corner of the other box, at most."""
    a, b = (np.reshape(one, (4, 2)) for one in (a, b))
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return max(distances.min(axis=0).max(), distances.min(axis=1).max())


def iou(a, b):
    a, b = (shapely.polygons(np.reshape(one, (-1, 4, 2))) for one in (a, b))
    shared = shapely.area(shapely.intersection(a, b))
    return shared / (shapely.area(a) + shapely.area(b) - shared)


@given(rotated, names)
def test_there_and_back(box, name):
    """Nothing is lost; a square has no long edge, so that only its corners are the same."""
    written = boxes.to_convention(box, name)
    read = boxes.from_convention(written, name)
    assert apart(boxes.cxcywhr_to_corners(box), boxes.cxcywhr_to_corners(read)) < 1e-9
    if abs(box[2] - box[3]) > 1e-9:
        turn = read[4] - boxes.canonical(box)[4]
        np.testing.assert_allclose(read[:4], boxes.canonical(box)[:4], atol=1e-9)
        assert abs((turn + 1) % math.pi - 1) < 1e-9  # -pi/2 and pi/2 are one direction
    np.testing.assert_allclose(boxes.to_convention(read, name)[:2], written[:2], atol=1e-9)


@given(rotated, names)
def test_ranges(box, name):
    """Each convention keeps to its own range, and to its order of the edges."""
    _, _, width, height, angle = boxes.to_convention(box, name)
    begin, end = {
        "hrsc2016": (-math.pi / 2, math.pi / 2),
        "rolabelimg": (0, math.pi),
        "opencv": (0, 90),
        "mmrotate-oc": (0, math.pi / 2),
        "mmrotate-le90": (-math.pi / 2, math.pi / 2),
        "mmrotate-le135": (-math.pi / 4, 3 * math.pi / 4),
        "torchvision": (-90, 90),
    }[name]
    assert begin - 1e-12 <= angle <= end + 1e-12
    if name not in ("opencv", "mmrotate-oc"):
        assert width >= height


def test_upright_boxes():
    """At the ranges' ends: a box 6 wide and 2 high, and one 2 wide and 6 high.

    OpenCV's range is (0, 90], so that the first edge of both is turned by 90 degrees, and is the
    upright one."""
    lying, standing = [1, 2, 6, 2, 0], [1, 2, 6, 2, -math.pi / 2]
    for name, angle, upright in (
        ("hrsc2016", 0, -math.pi / 2),
        ("rolabelimg", 0, math.pi / 2),
        ("mmrotate-le135", 0, math.pi / 2),
        ("torchvision", 0, -90),
    ):
        np.testing.assert_allclose(boxes.to_convention(lying, name), [1, 2, 6, 2, angle])
        np.testing.assert_allclose(boxes.to_convention(standing, name), [1, 2, 6, 2, upright])
    np.testing.assert_allclose(boxes.to_convention(lying, "opencv"), [1, 2, 2, 6, 90])
    np.testing.assert_allclose(boxes.to_convention(standing, "opencv"), [1, 2, 6, 2, 90])
    np.testing.assert_allclose(boxes.to_convention(lying, "mmrotate-oc"), [1, 2, 2, 6, math.pi / 2])


def test_hrsc2016_turns_clockwise():
    """An annotation of HRSC2016 (class 100000013) has the bow's pixel beside the box: at
    (964, 290). By clockwise angles the middle of the box's right end is at y = 353 - 83 = 270, by
    counter-clockwise ones at 436."""
    ship = boxes.from_convention([582.9349, 353.2006, 778.1303, 174.2541, -0.2144308], "hrsc2016")
    front = boxes.cxcywhr_to_corners(ship)[:4].reshape(2, 2).mean(axis=0)
    assert np.linalg.norm(front - [964, 290]) < 25


@given(rotated)
def test_torchvision(box):
    """Torchvision's own corners of its own form."""
    theirs = torch.tensor(boxes.to_convention(box, "torchvision"))
    theirs = box_convert(theirs[None], "cxcywhr", "xyxyxyxy")[0].numpy()
    assert apart(theirs, boxes.cxcywhr_to_corners(box)) < 1e-9


@settings(max_examples=30)
@given(rotated)
def test_opencv(box):
    """OpenCV's own rectangle around the corners, whichever range its version has, and its corners
    of what we write; it computes in float32."""
    cv2 = pytest.importorskip("cv2")
    corners = boxes.cxcywhr_to_corners(box)
    (x, y), (width, height), angle = cv2.minAreaRect(corners.reshape(4, 2).astype(np.float32))
    read = boxes.from_convention([x, y, width, height, angle], "opencv")
    assert apart(boxes.cxcywhr_to_corners(read), corners) < 0.01
    x, y, width, height, angle = boxes.to_convention(box, "opencv")
    assert apart(cv2.boxPoints(((x, y), (width, height), angle)), corners) < 0.01


def test_ssdd_files(real_data):
    """SSDD's files have angle and corners of each ship: read as OpenCV's, the angle's box lies on
    the corners, which are whole numbers; counter-clockwise it lies across."""
    files = sorted((real_data / "ssdd" / "VOCOBB").glob("*/*.xml"))
    ships = [ship for file in files for ship in ElementTree.parse(file).iter("rotated_bndbox")]
    assert len(ships) > 5

    def numbers(*tags):
        return np.array([[float(ship.findtext(tag)) for tag in tags] for ship in ships])

    drawn = numbers(*(f"rotated_bbox_{value}" for value in ("cx", "cy", "w", "h", "theta")))
    corners = numbers(*(f"{axis}{corner}" for corner in range(1, 5) for axis in "xy"))
    read = boxes.from_convention(drawn, "opencv")
    assert iou(boxes.cxcywhr_to_corners(read), corners).min() > 0.9
    mirrored = read * np.array([1, 1, 1, 1, -1])
    assert iou(boxes.cxcywhr_to_corners(mirrored), corners).min() < 0.6
    written = boxes.to_convention(read, "opencv")
    np.testing.assert_allclose(written, drawn, atol=1e-9)  # edges and angle in OpenCV's range
    # Corners rounded to pixels are no rectangles: the mean edges lie better than the smallest one.
    mean_edges = iou(boxes.cxcywhr_to_corners(boxes.corners_to_cxcywhr(corners)), corners)
    smallest = iou(boxes.cxcywhr_to_corners(boxes.quadrilateral_to_cxcywhr(corners)), corners)
    assert mean_edges.mean() > smallest.mean() > 0.98


@settings(max_examples=50)
@given(rotated)
def test_smallest_rectangle_of_a_rectangle(box):
    """Is the rectangle, whatever the order of its corners."""
    corners = boxes.cxcywhr_to_corners(box).reshape(4, 2)
    for order in ([0, 1, 2, 3], [2, 1, 0, 3], [0, 2, 1, 3]):
        found = boxes.quadrilateral_to_cxcywhr(corners[order].reshape(8))
        assert apart(boxes.cxcywhr_to_corners(found), corners) < 1e-9


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=8, max_size=8).map(np.array))
def test_smallest_rectangle_of_any_points(points):
    """Contains them, and is as large as shapely's; points on a line give a box of no area."""
    found = boxes.quadrilateral_to_cxcywhr(points)
    theirs = shapely.MultiPoint(points.reshape(4, 2)).minimum_rotated_rectangle
    assert boxes.area(found) == pytest.approx(theirs.area, rel=1e-6, abs=1e-6)
    for x, y in points.reshape(4, 2):
        along = (x - found[0]) * math.cos(found[4]) - (y - found[1]) * math.sin(found[4])
        across = (x - found[0]) * math.sin(found[4]) + (y - found[1]) * math.cos(found[4])
        assert abs(along) <= found[2] / 2 + 1e-9 and abs(across) <= found[3] / 2 + 1e-9


def test_hand_drawn_quadrilaterals(real_data):
    """Of DOTA's P0706 the mean edges have more in common with what was drawn; no smallest rectangle
    is as far from it as the worst of theirs."""
    (file,) = real_data.joinpath("dota").rglob("P0706.txt")
    rows = [line.split() for line in file.read_text().splitlines()]
    drawn = np.array([row[:8] for row in rows if len(row) >= 9], np.float64)
    smallest = iou(boxes.cxcywhr_to_corners(boxes.quadrilateral_to_cxcywhr(drawn)), drawn)
    mean_edges = iou(boxes.cxcywhr_to_corners(boxes.corners_to_cxcywhr(drawn)), drawn)
    assert len(drawn) == 536
    assert mean_edges.mean() > smallest.mean() + 0.01
    assert smallest.min() > mean_edges.min() + 0.1


def test_shapes_and_mistakes():
    assert boxes.from_convention(np.zeros((0, 5)), "opencv").shape == (0, 5)
    assert boxes.to_convention(np.zeros((2, 3, 5)), "opencv").shape == (2, 3, 5)
    assert boxes.quadrilateral_to_cxcywhr(np.zeros((0, 8))).shape == (0, 5)
    assert boxes.quadrilateral_to_cxcywhr(np.zeros((2, 3, 8))).shape == (2, 3, 5)
    kept = np.array([1.0, 2, 3, 4, 0.5])
    boxes.from_convention(kept, "opencv")
    assert kept.tolist() == [1, 2, 3, 4, 0.5]
    with pytest.raises(ConfigError, match=r"hrsc2016, rolabelimg.*got 'le90'"):
        boxes.from_convention(kept, "le90")
    with pytest.raises(ShapeError, match="5 numbers on the last axis"):
        boxes.to_convention(np.zeros((3, 4)), "opencv")
