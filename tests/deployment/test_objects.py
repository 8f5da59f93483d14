"""Objects of a scene against the truth, through a detector that makes no mistake in any tile."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.deployment.oracle import Oracle, apart, blank, polygons

from ringmoe import boxes
from ringmoe.boxes import Objects
from ringmoe.deployment import detect
from ringmoe.deployment.object_merging import MARGIN, merge
from ringmoe.deployment.windows import lay_tiles

HEIGHT, WIDTH = 150, 190


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return blank(tmp_path_factory.mktemp("scene") / "scene.tif", HEIGHT, WIDTH)


def draw(seed, count, rotated, longest, size=(HEIGHT, WIDTH)):
    """Objects that meet no other, within the scene, no longer than `longest`, on half pixels."""
    rng = np.random.default_rng(seed)
    edges = np.round(rng.uniform(3, max(longest, 3.5), (count, 2)) * 2) / 2
    if rotated:  # within its enclosing square, whose side the diagonal is
        edges = np.minimum(edges, longest / np.sqrt(2))
        edges[:, 1] = np.maximum(edges[:, 0] * rng.uniform(0.2, 0.9, count), 2)
        room = np.tile(np.linalg.norm(edges, axis=1)[:, None], 2)
    else:
        room = edges
    limit = np.maximum(size[::-1] - room, 0)
    first = np.floor(rng.random((count, 2)) * (limit + 1) * 2) / 2
    first = np.minimum(first, limit)
    if rotated:
        angles = rng.uniform(-np.pi / 2, np.pi / 2, count)
        array = np.column_stack([first + room / 2, edges, angles])
        array = boxes.canonical(array)
    else:
        array = np.column_stack([first, np.minimum(first + edges, size[::-1])])
    return apart(Objects(array, rng.integers(0, 2, count), rng.uniform(0.5, 1, count)))


def same(found, truth):
    """Whether two lists hold the same boxes, classes and scores; order does not matter."""
    ours, theirs = (
        np.column_stack([o.boxes, o.classes, o.scores])[np.lexsort(o.boxes.T)]
        for o in (found, truth)
    )
    return ours.shape == theirs.shape and np.allclose(ours, theirs, atol=1e-6)


tilings = st.tuples(st.sampled_from([48, 64, 96]), st.floats(0.25, 0.5), st.sampled_from([1, 3, 8]))


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 10**6), st.booleans(), tilings)
@example(0, False, (256, 0.25, 4))
def test_every_object_once(scene, seed, rotated, tiling):
    """Objects up to the overlap less twice the margin: as they are, each once, whatever the tiles.

    A tile of 256 pixels is larger than the scene.
    """
    tile_size, share, batch_size = tiling
    overlap = int(tile_size * share)
    truth = draw(seed, 40, rotated, overlap - 2 * MARGIN)
    options = {"tile_size": tile_size, "overlap": overlap, "batch_size": batch_size}
    found = detect(Oracle(scene, truth), scene, **options)
    assert same(found, truth)
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.slow
@settings(max_examples=15)
@given(st.integers(0, 10**6), tilings)
def test_larger_objects_are_put_together(scene, seed, tiling):
    """Horizontal boxes of any size up to the scene's, which no tile may show whole."""
    tile_size, share, batch_size = tiling
    overlap = int(tile_size * share)
    truth = draw(seed, 12, False, WIDTH)
    options = {"tile_size": tile_size, "overlap": overlap, "batch_size": batch_size}
    assert same(detect(Oracle(scene, truth), scene, **options), truth)


class Inexact(Oracle):
    """It finds a third of an object and more, each edge with an error of a pixel."""

    errors = np.random.default_rng(13)

    def box(self, i, whole, part):
        if part.area < whole.area / 3:
            return None
        return super().box(i, whole, part) + self.errors.normal(size=4)


def test_errors_of_a_pixel_double_no_object(tmp_path):
    """Boxes that end a little before the edge that cuts them are not taken for whole ones."""
    size, found, true = (300, 300), 0, 0
    scene = blank(tmp_path / "scene.tif", *size)
    for seed in range(30):
        truth = draw(seed, 40, False, 42, size)
        large = (truth.boxes[:, 2:] - truth.boxes[:, :2]).min(axis=1) >= 15
        truth = truth.take(np.flatnonzero(large))
        found += len(detect(Inexact(scene, truth), scene, tile_size=128, overlap=50))
        true += len(truth)
    assert true > 300 and found == true


def test_large_rotated_objects_are_put_together(scene):
    """A ship of 120 x 12 pixels through four tiles of 64: one box, almost the truth's."""
    for angle in (0.0, 0.4, 1.2, -0.7):
        truth = Objects(
            boxes.canonical([[95.0, 75.0, 120, 12, angle]]), np.zeros(1, int), np.ones(1)
        )
        found = detect(Oracle(scene, truth), scene, tile_size=64, overlap=24)
        assert len(found) == 1
        ours, theirs = polygons(found)[0], polygons(truth)[0]
        assert ours.intersection(theirs).area / ours.union(theirs).area > 0.85


@pytest.mark.slow
def test_wide_rotated_objects_keep_their_width(scene):
    """Of a corner of them a tile gives a rectangle that lies askew and sticks out at the sides."""
    generator = np.random.default_rng(3)
    for length in generator.uniform(29, 110, 40):
        centre, angle = generator.uniform(64, 96, 2), generator.uniform(-1.5, 1.5)
        width = length * generator.uniform(0.15, 0.35)
        box = boxes.canonical([[*centre, length, width, angle]])
        truth = Objects(box, np.zeros(1, int), np.ones(1))
        found = detect(Oracle(scene, truth), scene, tile_size=64, overlap=24)
        ours, theirs = polygons(found)[0], polygons(truth)[0]
        assert len(found) == 1
        assert ours.intersection(theirs).area / ours.union(theirs).area > 0.6


@pytest.mark.slow
@settings(max_examples=100)
@given(st.floats(30, 120), st.floats(6, 24), st.floats(-1.57, 1.57), st.data())
def test_a_rotated_object_cut_by_tiles_appears_once(scene, length, width, angle, data):
    """Of any size and direction, wherever it lies."""
    x = data.draw(st.floats(60, WIDTH - 60))
    y = data.draw(st.floats(60, HEIGHT - 60))
    box = boxes.canonical([[x, y, length, width, angle]])
    truth = Objects(box, np.zeros(1, int), np.ones(1))
    assert len(detect(Oracle(scene, truth), scene, tile_size=64, overlap=24)) == 1


@pytest.mark.parametrize("rotated", [False, True])
def test_the_result_does_not_depend_on_batches_or_order(scene, rotated):
    """To the last bit, whatever the batches, and whatever the order in each tile."""
    truth = draw(3, 60, rotated, 40)  # some larger than the overlap
    truth = Objects(truth.boxes, truth.classes, np.full(len(truth), 0.75))  # equal scores
    results = []
    for batch_size, threads in ((1, 1), (2, 1), (5, 1), (50, 1), (2, 3)):
        oracle = Oracle(scene, truth, shuffled=np.random.default_rng(batch_size))
        options = {"batch_size": batch_size, "threads": threads}
        results.append(detect(oracle, scene, tile_size=64, overlap=16, **options))
    for other in results[1:]:
        assert (other.boxes == results[0].boxes).all()
        assert (other.classes == results[0].classes).all()


def merged(array, classes, scores, columns_of, threshold=0.5):
    """On a scene of 100 x 180 pixels in tiles of 100 that share 20."""
    rows, columns = lay_tiles(100, 100, 20), lay_tiles(180, 100, 20)
    assert columns.starts == (0, 80)
    tiles = np.array([(0, column) for column in columns_of], int).reshape(-1, 2)
    found = Objects(np.array(array, float), np.array(classes), np.array(scores, float))
    return merge(found, tiles, rows, columns, threshold)


class TestRules:
    """Two tiles: columns 0 to 99 and 80 to 179."""

    def test_a_cut_box_goes_for_the_whole_one_even_if_its_score_is_higher(self):
        """An object at 85..120: the first tile shows 85..100, to be dropped at any score."""
        found = merged([[85, 10, 100, 20], [85, 10, 120, 20]], [0, 0], [0.9, 0.6], [0, 1])
        assert found.boxes.tolist() == [[85, 10, 120, 20]] and found.scores.tolist() == [0.6]

    def test_a_cut_box_that_nobody_has_whole_is_kept(self):
        """The second tile missed the object."""
        found = merged([[70, 10, 100, 20]], [0], [0.9], [0])
        assert found.boxes.tolist() == [[70, 10, 100, 20]]

    def test_a_cut_box_is_not_a_part_of_another_class(self):
        found = merged([[85, 10, 100, 20], [85, 10, 120, 20]], [0, 1], [0.9, 0.6], [0, 1])
        assert len(found) == 2

    def test_neighbours_side_by_side_are_not_joined(self):
        """Two objects cut by the same edge, one below the other, and their other halves."""
        found = merged(
            [[60, 10, 100, 20], [60, 22, 100, 32], [80, 10, 140, 20], [80, 22, 140, 32]],
            [0, 0, 0, 0],
            [0.9, 0.8, 0.7, 0.6],
            [0, 0, 1, 1],
        )
        assert found.boxes.tolist() == [[60, 10, 140, 20], [60, 22, 140, 32]]
        assert found.scores.tolist() == [0.9, 0.8]

    def test_whole_boxes_of_two_tiles_go_through_suppression(self):
        """IoU of 10 x 10 pixels moved by 1 is 90 / 110 = 0.82; by 5 it is 50 / 150 = 0.33."""
        found = merged(
            [[85, 10, 95, 20], [86, 10, 96, 20], [85, 15, 95, 25]],
            [0, 0, 0],
            [0.7, 0.9, 0.6],
            [0, 1, 0],
        )
        assert found.boxes.tolist() == [[86, 10, 96, 20], [85, 15, 95, 25]]

    def test_at_the_border_of_the_scene_nothing_is_cut(self):
        """A box that ends at the scene's edge is whole: the higher score wins."""
        found = merged([[0, 0, 30, 30], [1, 0, 30, 30]], [0, 0], [0.6, 0.9], [0, 0])
        assert found.boxes.tolist() == [[1, 0, 30, 30]]

    def test_no_object(self):
        found = merged(np.zeros((0, 4)), np.zeros(0, int), [], [])
        assert len(found) == 0 and found.boxes.shape == (0, 4)
