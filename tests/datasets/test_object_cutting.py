"""Objects follow what is done to their image: told by the pixels of a painted mask."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from ringmoe.boxes import Objects, area, cxcywhr_to_corners
from ringmoe.datasets import Example, Image, LabelledLoader, Source
from ringmoe.datasets.cutting import Cut, prepare
from ringmoe.datasets.objects.geometry import LEAST_SHARE, scaled, share_inside
from ringmoe.sensors import get_sensor

HEIGHT, WIDTH = 24, 32
OPTICAL = Source(get_sensor("rgb-dn8"), get_sensor("rgb-dn8").channels)


@st.composite
def cuts(draw):
    """Any square, larger or smaller than the image, mirrored and turned."""
    size = draw(st.integers(4, 40))
    return Cut(
        row=draw(st.integers(0, max(0, HEIGHT - size))),
        column=draw(st.integers(0, max(0, WIDTH - size))),
        size=size,
        mirrored=draw(st.booleans()),
        turns=draw(st.integers(0, 3)),
    )


@st.composite
def rectangles(draw):
    left, top = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    return left, top, draw(st.integers(left + 1, WIDTH)), draw(st.integers(top + 1, HEIGHT))


@st.composite
def rotated_boxes(draw):
    return np.array(
        [
            draw(st.floats(0, WIDTH)),
            draw(st.floats(0, HEIGHT)),
            (long := draw(st.floats(2, 20))),
            draw(st.floats(1, long)),
            draw(st.floats(-math.pi / 2, math.pi / 2, exclude_max=True)),
        ]
    )


def example(objects: Objects) -> Example:
    image = Image(np.ones((3, HEIGHT, WIDTH), np.float32), np.ones((HEIGHT, WIDTH), bool))
    return Example("a", {"image": image}, objects)


def cut_label(objects: Objects, cut: Cut) -> Objects:
    label = prepare(example(objects), {"image": OPTICAL}, cut).label
    assert isinstance(label, Objects)
    return label


@settings(max_examples=50)
@given(rectangles(), cuts())
def test_a_horizontal_box_is_around_what_is_left_of_its_pixels(box, cut):
    left, top, right, bottom = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    seen = cut.place(cut.take(mask), 0)
    found = cut_label(Objects(np.array([box], float), np.array([2]), ids=np.array([7])), cut)
    rows, columns = np.nonzero(seen)
    assert len(found) == (len(rows) > 0)
    if len(found):
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found.boxes[0] == pytest.approx(edges)
        assert found.ignored[0] == (seen.sum() / mask.sum() < LEAST_SHARE)
        assert (found.classes[0], found.ids[0]) == (2, 7)


def depth(box: np.ndarray, height: int, width: int) -> np.ndarray:
    """How far each pixel's middle is inside a rotated box, `(H, W)`; negative outside.

    Along and across the long edge, whose direction is (cos r, -sin r) with y down.
    """
    y, x = np.indices((height, width)) + 0.5
    cos, sin = math.cos(box[4]), math.sin(box[4])
    along = (x - box[0]) * cos - (y - box[1]) * sin
    across = (x - box[0]) * sin + (y - box[1]) * cos
    return np.minimum(box[2] / 2 - abs(along), box[3] / 2 - abs(across))


@settings(max_examples=50)
@given(rotated_boxes(), cuts())
def test_a_rotated_box_covers_the_pixels_it_covered(box, cut):
    before = depth(box, HEIGHT, WIDTH)
    outside = -1e3
    expected = cut.place(cut.take(before), outside)
    found = cut_label(Objects(box[None], np.array([0])), cut)
    if len(found):
        assert area(found.boxes)[0] == pytest.approx(box[2] * box[3])  # kept whole
        after = depth(found.boxes[0], cut.size, cut.size)
        inside = expected > outside
        np.testing.assert_allclose(after[inside], expected[inside], atol=1e-9)
    else:
        assert not (expected > 1e-9).any()


@settings(max_examples=50)
@given(rotated_boxes(), st.integers(4, 30), st.integers(4, 30))
def test_the_share_inside_is_that_of_its_points(box, width, height):
    """The box is sampled at 60 x 60 points of its own; each stands for 1 / 3600 of its area."""
    steps = (np.arange(60) + 0.5) / 60 - 0.5
    along, across = np.meshgrid(steps * box[2], steps * box[3])
    x = box[0] + along * math.cos(box[4]) + across * math.sin(box[4])
    y = box[1] - along * math.sin(box[4]) + across * math.cos(box[4])
    inside = ((x >= 0) & (x <= width) & (y >= 0) & (y <= height)).mean()
    assert share_inside(box[None], width, height)[0] == pytest.approx(inside, abs=0.04)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_resizing_scales_boxes(mirrored, turns):
    """24 x 32 pixels to 96 x 96: four times as high, three times as wide."""
    cut = Cut(0, 0, 96, mirrored, turns, how="resize")
    mask = np.zeros((HEIGHT, WIDTH))
    mask[4:9, 10:22] = 1
    seen = cut.place(np.kron(mask, np.ones((4, 3))), 0)
    found = cut_label(Objects(np.array([[10.0, 4, 22, 9]]), np.array([0])), cut)
    rows, columns = np.nonzero(seen)
    assert found.boxes[0] == pytest.approx(
        [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    )
    upright = np.array([[16, 6.5, 12, 5, 0.0]])
    turned = cut_label(Objects(upright, np.array([0])), cut).boxes[0]
    expected = [36, 20, math.pi / 2 if turns % 2 else 0]
    assert [turned[2], turned[3], abs(turned[4])] == pytest.approx(expected)


@given(st.floats(-1.5, 1.5), st.floats(0.3, 3), st.floats(0.3, 3))
def test_resizing_makes_the_smallest_rectangle_anew(angle, x, y):
    ship = np.array([[50.0, 40, 40, 6, angle]])
    found = scaled(Objects(ship, np.array([0])), x, y).boxes
    drawn = shapely.Polygon((cxcywhr_to_corners(ship[0]) * ([x, y] * 4)).reshape(4, 2))
    smallest = drawn.minimum_rotated_rectangle
    box = shapely.Polygon(cxcywhr_to_corners(found[0]).reshape(4, 2))
    assert box.area == pytest.approx(smallest.area, rel=1e-6)
    assert box.buffer(1e-6).covers(drawn)


class Scenes:
    """Images that are bright exactly where their only object is."""

    kind, classes = "boxes", ("ship",)
    sources = {"image": OPTICAL}  # noqa: RUF012
    names = ("a", "b", "empty")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        values = np.zeros((3, 40, 48), np.float32)
        boxes = np.zeros((0, 4))
        if index < 2:
            boxes = np.array([[5.0 + index, 8, 21, 30]])
            values[:, 8:30, 5 + index : 21] = 200
        label = Objects(boxes, np.zeros(len(boxes), np.int64), ignored=np.zeros(len(boxes), bool))
        image = Image(values, np.ones((40, 48), bool))
        return Example(self.names[index], {"image": image}, label)


def test_batches_hold_the_objects_where_the_image_shows_them():
    """Images without objects take part: they teach what the background looks like."""
    loader = LabelledLoader(Scenes(), range(3), batch_size=6, crop_size=32, seed=4)
    seen = 0
    for step in range(4):
        batch = loader.batch(step)
        assert batch.labels.names == batch.names and len(batch) == 6
        images = batch.observations["image"].images.numpy()
        for place, name in enumerate(batch.names):
            objects = batch.labels.of(place)
            bright = images[place, 0] > images[place, 0].min() + 1e-3
            assert len(objects) == (name != "empty" and bright.any())
            for left, top, right, bottom in objects.boxes.astype(int):
                seen += 1
                assert bright[top:bottom, left:right].all()
                assert bright.sum() == (bottom - top) * (right - left)
    assert seen > 10


def test_every_visit_draws_anew_however_steps_are_shared():
    """Two halves of a step have the numbers of the whole; in evaluation nothing is drawn."""

    def loader(batch_size, **ranks):
        return LabelledLoader(Scenes(), range(3), batch_size=batch_size, crop_size=32, **ranks)

    whole = [loader(6).batch(step).labels.draws for step in range(2)]
    assert len({number for draws in whole for number in draws}) == 12
    halves = [loader(6, rank=rank, world_size=2).batch(1).labels.draws for rank in range(2)]
    micro = [loader(3).batch(step).labels.draws for step in (2, 3)]
    assert sum(halves, ()) == sum(micro, ()) == whole[1]
    assert all(set(batch.labels.draws) == {0} for batch in loader(6).epoch())
