"""COCO's average precision against a plain computation of its rule, and closed forms."""

import math

import numpy as np
import pytest
import shapely
from faster_coco_eval import COCO, COCOeval_faster
from hypothesis import given, settings
from hypothesis import strategies as st

from ringmoe.boxes import (
    ObjectBatch,
    Objects,
    canonical,
    cxcywhr_to_corners,
    xyxy_to_cxcywhr,
)
from ringmoe.errors import ShapeError
from ringmoe.tasks.metrics import DetectionMetrics

CLASSES = ("ship", "plane", "absent")
LEVELS = np.linspace(0.5, 0.95, 10)


def drawn(seed: int, images: int = 8) -> tuple[list[Objects], list[Objects]]:
    """Detections and labels of two classes, some ignored, small, medium and large."""
    random = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(images):
        count = random.integers(0, 12)
        low = random.uniform(0, 300, (count, 2))
        boxes = np.hstack([low, low + np.exp(random.uniform(2, 5.5, (count, 2)))])
        classes = random.integers(0, 2, count)
        truth.append(Objects(boxes, classes, ignored=random.random(count) < 0.25))
        of = random.integers(0, max(count, 1), 2 * count)
        spread = 0.15 * (boxes[:, 2:] - boxes[:, :2])[of][:, [0, 1, 0, 1]]
        moved = boxes[of] + spread * random.standard_normal((2 * count, 4)) * random.random()
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        label = np.where(random.random(2 * count) < 0.1, 1 - classes[of], classes[of])
        found.append(Objects(moved, label, random.random(2 * count)))
    return found, truth


def computed(found, truth, rotated=False) -> dict[str, float]:
    """In two updates, so that images are told apart within an update and between two."""
    metrics = DetectionMetrics(CLASSES, rotated)
    metrics.update(found[:3], truth[:3])
    metrics.update(found[3:], truth[3:])
    return {name: value.item() for name, value in metrics.compute().items()}


def plain_precision(found, truth, k: int, threshold: float, areas=(0, 1e10)) -> float:
    """COCO's rule written out: one detection and one object at a time."""
    ranking, positives = [], 0
    for detections, labels in zip(found, truth, strict=True):
        crowds, others, due = [], [], []
        for i in np.flatnonzero(labels.classes == k):
            box = labels.boxes[i]
            inside = areas[0] <= size(box) <= areas[1]
            (crowds if labels.ignored[i] else due if inside else others).append(box)
        positives += len(due)
        mine = [i for i in range(len(detections)) if detections.classes[i] == k]
        for d in sorted(mine, key=lambda i: -detections.scores[i]):
            a = detections.boxes[d]
            outside = not areas[0] <= size(a) <= areas[1]
            covered = any(intersection(a, b) / size(a) >= threshold for b in crowds)
            if take_best(a, due, threshold):
                outcome = "true"
            elif covered or take_best(a, others, threshold) or outside:
                outcome = "left out"
            else:
                outcome = "false"
            ranking.append((detections.scores[d], outcome))
    outcomes = [outcome for _, outcome in sorted(ranking, key=lambda row: -row[0])]
    points, right, wrong = [], 0, 0
    for outcome in outcomes:
        right, wrong = right + (outcome == "true"), wrong + (outcome == "false")
        points.append((right / positives, right / max(right + wrong, 1)))
    total = 0.0
    for least in np.linspace(0, 1, 101):  # to the bit as COCO has them
        total += max((precision for recall, precision in points if recall >= least), default=0)
    return total / 101


def take_best(a, boxes: list, threshold: float) -> bool:
    """Take out the box of the greatest IoU, if that reaches the threshold."""
    ious = [intersection(a, b) / (size(a) + size(b) - intersection(a, b)) for b in boxes]
    if max(ious, default=0) < threshold:
        return False
    del boxes[int(np.argmax(ious))]
    return True


def size(box) -> float:
    if len(box) == 5:
        return box[2] * box[3]
    return (box[2] - box[0]) * (box[3] - box[1])


def intersection(a, b) -> float:
    """Of rotated boxes by shapely."""
    if len(a) == 5:
        ours, theirs = (shapely.Polygon(cxcywhr_to_corners(box).reshape(4, 2)) for box in (a, b))
        return ours.intersection(theirs).area
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def test_horizontal_figures_are_cocos_rule_written_out():
    """Mean over thresholds and over the two classes that have labels; of three ranges of area."""
    found, truth = drawn(0)
    figures = computed(found, truth)
    plain = np.array([[plain_precision(found, truth, k, t) for t in LEVELS] for k in range(2)])
    assert 0.2 < plain.mean() < 0.8
    assert figures["map"] == pytest.approx(plain.mean(), abs=1e-6)
    assert figures["map50"] == pytest.approx(plain[:, 0].mean(), abs=1e-6)
    assert figures["map75"] == pytest.approx(plain[:, 5].mean(), abs=1e-6)
    assert figures["ap50_ship"] == pytest.approx(plain[0, 0], abs=1e-6)
    assert figures["ap50_plane"] == pytest.approx(plain[1, 0], abs=1e-6)
    assert math.isnan(figures["ap50_absent"])
    ranges = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
    for name, areas in ranges.items():
        mean = np.mean([plain_precision(found, truth, k, t, areas) for k in (0, 1) for t in LEVELS])
        assert figures[f"map_{name}"] == pytest.approx(mean, abs=1e-6)


def upright(objects: list[Objects]) -> list[Objects]:
    return [Objects(xyxy_to_cxcywhr(o.boxes), o.classes, o.scores, o.ignored) for o in objects]


def turned(seed: int) -> tuple[list[Objects], list[Objects]]:
    """Drawn ones: all boxes of an image turned together, and each a little more by itself."""
    random = np.random.default_rng(seed)
    found, truth = (upright(objects) for objects in drawn(seed))
    for pair in zip(found, truth, strict=True):
        together = random.uniform(-math.pi / 2, math.pi / 2)
        for objects in pair:
            own = 0.05 * random.standard_normal(len(objects))
            objects.boxes[:, 4] += together + own
            objects.boxes[:] = canonical(objects.boxes)
    return found, truth


def test_rotated_figures_are_the_same_rule_with_the_overlap_of_polygons():
    found, truth = turned(1)
    figures = computed(found, truth, rotated=True)
    plain = np.array([[plain_precision(found, truth, k, t) for t in LEVELS] for k in range(2)])
    assert 0.1 < plain.mean() < 0.8
    assert figures["map"] == pytest.approx(plain.mean(), abs=1e-6)
    assert figures["map75"] == pytest.approx(plain[:, 5].mean(), abs=1e-6)


class PolygonEvaluation(COCOeval_faster):
    """COCO's evaluation that is given the overlaps of rotated boxes, by shapely."""

    def __init__(self, found: list[Objects], truth: list[Objects]) -> None:
        self.boxes = [np.concatenate([o.boxes for o in objects]) for objects in (truth, found)]
        labels, detections = (
            [
                {
                    "image_id": image,
                    "category_id": int(objects.classes[i]) + 1,
                    "bbox": [0.0, 0.0, *objects.boxes[i, 2:4].tolist()],  # for its area
                    "area": size(objects.boxes[i]),
                    "iscrowd": 0 if objects.ignored is None else int(objects.ignored[i]),
                    "score": 1.0 if objects.scores is None else float(objects.scores[i]),
                }
                for image, objects in enumerate(parts, 1)
                for i in range(len(objects))
            ]
            for parts in (truth, found)
        )
        for part in (labels, detections):
            for number, one in enumerate(part, 1):
                one["id"] = number
        known = COCO()
        known.dataset = {
            "images": [{"id": n, "height": 1, "width": 1} for n in range(1, len(truth) + 1)],
            "categories": [{"id": k, "name": name} for k, name in enumerate(CLASSES, 1)],
            "annotations": labels,
        }
        known.createIndex()
        super().__init__(known, known.loadRes(detections), "bbox", print_function=lambda _: None)

    def computeIoU(self, imgId, catId):
        truth, found = (
            data.get_instances([imgId], [catId], True)[0][0]
            for data in (self.gt_dataset, self.dt_dataset)
        )
        found = sorted(found, key=lambda one: -one["score"])[: self.params.maxDets[-1]]
        ious = np.zeros((len(found), len(truth)))
        for i, detection in enumerate(found):
            a = self.boxes[1][int(detection["id"]) - 1]
            for j, label in enumerate(truth):
                b = self.boxes[0][int(label["id"]) - 1]
                shared = intersection(a, b)
                ious[i, j] = shared / (size(a) if label["iscrowd"] else size(a) + size(b) - shared)
        return ious if ious.size else []


@pytest.mark.parametrize("seed", range(11, 14))
def test_rotated_figures_are_those_of_cocos_evaluation_given_polygons(seed):
    found, truth = turned(seed)
    evaluation = PolygonEvaluation(found, truth)
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # thresholds, recalls, classes
    assert 0.1 < precision[..., :2].mean() < 0.8
    figures = computed(found, truth, rotated=True)
    assert figures["map"] == pytest.approx(precision[..., :2].mean(), abs=1e-6)
    assert figures["map75"] == pytest.approx(precision[5, :, :2].mean(), abs=1e-6)


@pytest.mark.parametrize("seed", range(2, 6))
def test_rotated_figures_of_upright_boxes_are_the_horizontal_ones(seed):
    """Every horizontal box as a rotated one; ours for these, faster-coco-eval for those.

    With ignored labels, and some detections with equal scores. `map50` is DOTA's, of another rule.
    """
    found, truth = drawn(seed)
    coarse = [Objects(o.boxes, o.classes, np.round(o.scores, 1)) for o in found]
    for detections in (found, coarse):
        horizontal = computed(detections, truth)
        rotated = computed(upright(detections), upright(truth), rotated=True)
        for name in ("map", "map75"):
            assert rotated[name] == pytest.approx(horizontal[name], abs=1e-6)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_objects_overlapped_equally_the_last_is_taken(order):
    """As COCO's loop has it. The first detection overlaps both objects by 9/11, the second only one
    enough: it finds that if the first has taken the other, the last in the order of labels."""
    row = np.array([[0.0, 0, 10, 10], [2, 0, 12, 10]])
    truth = Objects(row[order], np.zeros(2, np.int64), ignored=np.zeros(2, bool))
    moved = np.array([[1.0, 0, 11, 10], [-2, 0, 8, 10]])
    found = Objects(moved, np.zeros(2, np.int64), np.array([0.9, 0.8]))
    horizontal = computed([found], [truth])
    rotated = computed(upright([found]), upright([truth]), rotated=True)
    assert rotated["map"] == pytest.approx(horizontal["map"], abs=1e-9)
    assert (horizontal["map50"] == pytest.approx(1)) == (order == [0, 1])


def grid(count: int) -> Objects:
    low = np.stack(np.divmod(np.arange(count), 20), 1) * 10.0
    return Objects(np.hstack([low, low + 8]), np.zeros(count, np.int64))


@pytest.mark.parametrize("rotated", [False, True])
def test_more_than_100_objects_in_an_image_can_all_be_found(rotated):
    """COCO's limit of 100 detections would leave 50 of 150 objects unfound: 0.67 and not 1."""
    truth = grid(150)
    found = Objects(truth.boxes, truth.classes, np.linspace(1, 0.1, 150))
    found, truth = ([found], [truth]) if not rotated else (upright([found]), upright([truth]))
    figures = computed(found, truth, rotated)
    assert figures["map"] == pytest.approx(1) and figures["map50"] == pytest.approx(1)


@pytest.mark.parametrize("rotated", [False, True])
def test_detections_past_the_limit_do_not_count(rotated):
    """101 detections, the last one right: beyond COCO's 100 of an image and class.

    DOTA knows no limit: its `map50` is the precision at the only recall, 1/101.
    """
    truth = grid(1)
    far = np.concatenate([np.tile(truth.boxes + 1000, (100, 1)), truth.boxes])
    found = Objects(far, np.zeros(101, np.int64), np.linspace(1, 0.1, 101))
    found, truth = ([found], [truth]) if not rotated else (upright([found]), upright([truth]))
    figures = computed(found, truth, rotated)
    assert figures["map"] == 0
    assert figures["map50"] == pytest.approx(1 / 101 if rotated else 0)


@pytest.mark.parametrize("rotated", [False, True])
def test_without_objects_to_find_figures_are_nan(rotated):
    """Before an image, with mistakes alone, and with ignored labels; 0 where none is found."""
    metrics = DetectionMetrics(CLASSES, rotated)
    assert all(math.isnan(value) for value in metrics.compute().values())
    box = np.array([[20, 20, 10, 5, 0.3]]) if rotated else np.array([[10.0, 10, 20, 15]])
    ship = Objects(box, np.array([0]), np.array([0.9]))
    metrics.update([ship], [Objects.none(rotated)])
    metrics.update([ship], [Objects(box, np.array([0]), ignored=np.array([True]))])
    assert all(math.isnan(value) for value in metrics.compute().values())
    plane = Objects(box, np.array([1]))
    metrics.update([Objects.none(rotated, scored=True)], ObjectBatch.stack([plane], ["a"]))
    figures = metrics.compute()
    assert figures["map"] == figures["map50"] == figures["ap50_plane"] == 0
    assert math.isnan(figures["ap50_ship"])
    metrics.reset()
    metrics.update([ship], [Objects(box, np.array([0]))])
    assert metrics.to("cpu").compute()["map"] == pytest.approx(1)


@settings(max_examples=6)
@given(seed=st.integers(0, 2**16), rotated=st.booleans())
def test_the_order_of_images_and_detections_does_not_matter(seed, rotated):
    """Nor do scores, as long as their order stays; scores are all different."""
    found, truth = drawn(seed, images=4)
    if rotated:
        found, truth = upright(found), upright(truth)
    expected = computed(found, truth, rotated)
    order = np.random.default_rng(seed)
    places = order.permutation(len(found))
    shuffled = [found[i].take(order.permutation(len(found[i]))) for i in places]
    squared = [Objects(o.boxes, o.classes, o.scores**2) for o in shuffled]
    again = computed(squared, [truth[i] for i in places], rotated)
    assert again == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_what_does_not_fit_is_refused():
    """Numbers of images, forms of boxes, scores."""
    metrics = DetectionMetrics(CLASSES, rotated=False)
    none = Objects.none(False, scored=True)
    with pytest.raises(ShapeError, match="of 2 images, labels of 1"):
        metrics.update([none, none], [Objects.none(False)])
    with pytest.raises(ShapeError, match="due as xyxy"):
        metrics.update([none], [Objects.none(True)])
    with pytest.raises(ShapeError, match="need scores"):
        metrics.update([Objects.none(False)], [Objects.none(False)])
