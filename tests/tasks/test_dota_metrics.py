"""DOTA's average precision against what its development kit scored."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tests.tasks.dota_scenes import CLASSES, drawn_scenes, real_scene

from ringmoe.boxes import ObjectBatch, cxcywhr_to_corners
from ringmoe.errors import ShapeError
from ringmoe.tasks.metrics import DetectionMetrics, Pairs
from ringmoe.tasks.metrics.dota import average_precision, match, voc07, voc12

RECORDED = json.loads((Path(__file__).parent / "references" / "dota.json").read_text())


def check_objects(scenes, recorded):
    """`DetectionMetrics` over the scenes; what was recorded names the classes that are there."""
    metrics = DetectionMetrics(CLASSES, rotated=True)
    for scene in scenes:
        metrics.update([scene.found], [scene.truth])
    figures = metrics.compute()
    for rule, name in (("voc12", "map50"), ("voc07", "map50_voc07")):
        mean = np.mean([values[rule] for values in recorded.values()])
        assert figures[name].item() == pytest.approx(mean, abs=1e-6)
    for name in CLASSES:
        expected = recorded[name]["voc12"] if name in recorded else math.nan
        assert figures[f"ap50_{name}"].item() == pytest.approx(expected, abs=1e-6, nan_ok=True)


def check_corners(scenes, recorded):
    """`average_precision` over the IoU of the polygons."""
    for name, values in recorded.items():
        pairs = [pairs_of_corners(scene, CLASSES.index(name)) for scene in scenes]
        for rule, expected in values.items():
            assert average_precision(pairs, rule) == pytest.approx(expected, abs=1e-6)


def pairs_of_corners(scene, k: int) -> Pairs:
    found, true = scene.found.take(scene.found.classes == k), scene.classes == k
    return Pairs.of_quadrilaterals(
        cxcywhr_to_corners(found.boxes), found.scores, scene.corners[true], scene.difficult[true]
    )


def test_drawn_boxes_score_as_the_kit_scored_them():
    """Ten images with difficult objects, objects found twice, and mistakes."""
    check_objects(drawn_scenes(quads=False), RECORDED["drawn"]["rectangles"])


def test_drawn_quadrilaterals_score_as_the_kit_scored_them():
    """The same detections; true objects are quadrilaterals that are no rectangles."""
    check_corners(drawn_scenes(quads=True), RECORDED["drawn"]["quads"])


def test_a_real_label_file_scores_as_the_kit_scored_it(real_data):
    """P0706 (531 ships, 5 harbours) as it is, and as the rotated boxes that it is read as."""
    check_corners([real_scene(real_data, quads=True)], RECORDED["P0706"]["quads"])
    check_objects([real_scene(real_data, quads=False)], RECORDED["P0706"]["rectangles"])


def pairs(ious, ignored=None) -> Pairs:
    ious = np.array(ious, float)
    ignored = np.zeros(ious.shape[1], bool) if ignored is None else np.array(ignored)
    return Pairs(ious, -np.arange(len(ious), dtype=float), ignored)


@pytest.mark.parametrize(
    ("ious", "outcomes"),
    [
        ([[0.8, 0.6], [0.7, 0.6]], [1, 0]),  # the second's nearest is taken: it gets no other
        ([[0.5, 0.1]], [0]),  # more than 0.5 is due
        ([[0.6, 0.6], [0.5, 0.6]], [1, 1]),  # of equals the first object
        ([[0.2, 0.6], [0.2, 0.6], [0.6, 0.2]], [1, 0, 1]),
    ],
)
def test_a_detection_stands_for_the_object_it_overlaps_most(ious, outcomes):
    """As the kit's loop: `argmax`, `>`, and a second detection of an object is a mistake."""
    assert match(pairs(ious)).tolist() == outcomes


def test_detections_of_ignored_objects_are_left_out():
    """-1: neither right nor wrong, however many; elsewhere a detection is a mistake."""
    assert match(pairs([[0.9, 0.0], [0.8, 0.0], [0.1, 0.0]], [True, False])).tolist() == [-1, -1, 0]
    assert match(pairs(np.zeros((2, 0)))).tolist() == [0, 0]


def test_average_precision_of_a_short_ranking():
    """Right, wrong, right of 4 objects: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2.

    Area: 1/4 * 1 + 1/4 * 2/3. Eleven points: 1 at 0, 0.1, 0.2, then 2/3 at 0.3, 0.4, 0.5.
    """
    precision, recall = np.array([1, 1 / 2, 2 / 3]), np.array([1 / 4, 1 / 4, 1 / 2])
    assert voc12(precision, recall) == pytest.approx(1 / 4 + 1 / 6)
    assert voc07(precision, recall) == pytest.approx((3 + 3 * 2 / 3) / 11)
    ranking = [pairs([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])]
    assert average_precision(ranking) == pytest.approx(1 / 4 + 1 / 6)
    assert math.isnan(average_precision([pairs([[1.0]], [True])]))


def test_a_batch_of_labels_scores_as_its_objects():
    """Labels of training are float32; no detection lies so near the threshold that it matters."""
    scenes = drawn_scenes(quads=False)
    figures = []
    for stacked in (False, True):
        truth = [scene.truth for scene in scenes]
        metrics = DetectionMetrics(CLASSES, rotated=True)
        batch = ObjectBatch.stack(truth, [scene.name for scene in scenes])
        metrics.update([scene.found for scene in scenes], batch if stacked else truth)
        figures.append({name: value.item() for name, value in metrics.compute().items()})
    assert figures[0] == pytest.approx(figures[1], abs=1e-6)


def test_pairs_must_agree():
    """As many rows as scores, which fall."""
    with pytest.raises(ShapeError, match="IoU of shape"):
        Pairs(np.zeros((2, 1)), np.zeros(3), np.zeros(1, bool))
    with pytest.raises(ShapeError, match="falling score"):
        Pairs(np.zeros((2, 1)), np.array([0.1, 0.2]), np.zeros(1, bool))


def test_corners_in_the_wrong_order_make_two_triangles():
    """Each a quarter of the square."""
    square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
    crossed = square[:, [0, 1, 4, 5, 2, 3, 6, 7]]
    pairs = Pairs.of_quadrilaterals(square, np.ones(1), crossed)
    assert pairs.ious.item() == pytest.approx(0.5)
