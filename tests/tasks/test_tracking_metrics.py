"""Tracking metrics against TrackEval and closed forms.

TrackEval 1.3.0 of the package index is a fork (kovalp/TrackEval) of JonathonLuiten/TrackEval. Its
`metrics/{clear,identity,hota}.py` were compared with the original's at commit 12c8791: they differ
in `int` and `float` for NumPy's old names of them, in imports and in annotations, and so compute
the same.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from trackeval import datasets, metrics

from ringmoe.boxes import Objects, cxcywhr_to_corners, cxcywhr_to_xyxy
from ringmoe.errors import DatasetError, ShapeError
from ringmoe.tasks.metrics import TrackingMetrics

BASE = datasets.MotChallenge2DBox
NAMES = {  # of our figures, TrackEval's
    "mota": "MOTA",
    "motp": "MOTP",
    "idf1": "IDF1",
    "idp": "IDP",
    "idr": "IDR",
    "hota": "HOTA",
    "deta": "DetA",
    "assa": "AssA",
    "loca": "LocA",
    "id_switches": "IDSW",
    "fragmentations": "Frag",
    "mostly_tracked": "MT",
    "mostly_lost": "ML",
    "misses": "CLR_FN",
    "false_positives": "CLR_FP",
}


def drawn_sequence(seed: int, classes: int = 1, frames: int = 25):
    """Frames `(found, truth)` of rotated boxes: objects come and go, some are ignored in some
    frames; detections lie beside them, are lost, change their track, or are of nothing."""
    random = np.random.default_rng(seed)
    count = 12
    first, last = np.sort(random.integers(0, frames + 1, (2, count)), axis=0)
    boxes = np.column_stack(
        [
            random.uniform(0, 120, (count, 2)),
            random.uniform(20, 40, count),
            random.uniform(10, 20, count),
            random.uniform(-1.5, 1.5, count),
        ]
    )
    kinds, speed = random.integers(0, classes, count), random.normal(0, 3, (count, 2))
    track = np.arange(count)
    sequence = []
    for frame in range(frames):
        boxes[:, :2] += speed
        changed = random.random(count) < 0.05
        track = np.where(changed, random.integers(0, 40, count), track)
        there = (first <= frame) & (frame < last)
        ignored = there & (random.random(count) < 0.15)
        truth = Objects(
            boxes[there], kinds[there], ignored=ignored[there], ids=100 + np.flatnonzero(there)
        )
        seen = there & (random.random(count) < 0.85)
        moved = boxes[seen] + random.normal(0, 1, (seen.sum(), 5)) * [2, 2, 2, 1, 0.05]
        false = boxes[: random.integers(0, 3)] + 25
        ids = np.concatenate([track[seen], 50 + np.arange(len(false))])
        _, once = np.unique(ids, return_index=True)
        found = Objects(
            np.concatenate([moved, false]),
            np.concatenate([kinds[seen], np.zeros(len(false), int)]),
            ids=ids,
        )
        sequence.append((found.take(once), truth))
    return sequence


def horizontal(objects: Objects) -> Objects:
    return Objects(
        cxcywhr_to_xyxy(objects.boxes), objects.classes, ignored=objects.ignored, ids=objects.ids
    )


def similarity(found: Objects, truth: Objects, distance: float | None) -> np.ndarray:
    """TrackEval's own of horizontal boxes and of points; shapely's IoU of rotated boxes."""
    if distance is not None:
        centres = [o.boxes[:, :2].copy() for o in (truth, found)]
        if not truth.rotated:
            centres = [(o.boxes[:, :2] + o.boxes[:, 2:]) / 2 for o in (truth, found)]
        return BASE._calculate_euclidean_similarity(*centres, zero_distance=distance)
    if not truth.rotated:
        return BASE._calculate_box_ious(truth.boxes, found.boxes, box_format="x0y0x1y1")
    corners = [cxcywhr_to_corners(o.boxes).reshape(-1, 4, 2) for o in (truth, found)]
    a, b = shapely.polygons(corners[0])[:, None], shapely.polygons(corners[1])[None]
    shared = shapely.area(shapely.intersection(a, b))
    return shared / (shapely.area(a) + shapely.area(b) - shared)


def trackeval_data(sequence, k: int, distance: float | None):
    """MOTChallenge's preparation by TrackEval; ignored objects are what it calls distractors."""
    raw = {"num_timesteps": len(sequence), "seq": "drawn"}
    keys = ("gt_ids", "gt_dets", "gt_classes", "gt_extras", "tracker_ids", "tracker_dets")
    for key in (*keys, "tracker_classes", "tracker_confidences", "similarity_scores"):
        raw[key] = []
    for found, truth in sequence:
        found, truth = found.take(found.classes == k), truth.take(truth.classes == k)
        raw["gt_ids"].append(truth.ids)
        raw["gt_dets"].append(truth.boxes)
        raw["gt_classes"].append(np.where(truth.ignored, 8, 1))
        raw["gt_extras"].append({"zero_marked": np.ones(len(truth))})
        raw["tracker_ids"].append(found.ids)
        raw["tracker_dets"].append(found.boxes)
        raw["tracker_classes"].append(np.ones(len(found)))
        raw["tracker_confidences"].append(np.ones(len(found)))
        raw["similarity_scores"].append(similarity(found, truth, distance))
    numbers = {"person_on_vehicle": 2, "static_person": 7, "distractor": 8, "reflection": 12}
    challenge = SimpleNamespace(
        benchmark="MOT17",
        do_preproc=True,
        class_name_to_class_id={"pedestrian": 1, **numbers},
        valid_class_numbers=[1, *numbers.values()],
        _check_unique_ids=BASE._check_unique_ids,
    )
    return BASE.get_preprocessed_seq_data(challenge, raw, "pedestrian")


def trackeval_figures(sequences, classes: int, distance: float | None) -> dict[str, float]:
    """Sequences combined for each class, then classes "detection-averaged"."""
    figures = {}
    quiet = {"PRINT_CONFIG": False}
    for metric in (metrics.CLEAR(quiet), metrics.Identity(quiet), metrics.HOTA()):
        by_class = {}
        for k in range(classes):
            data = {name: trackeval_data(s, k, distance) for name, s in sequences.items()}
            scores = {name: metric.eval_sequence(one) for name, one in data.items()}
            by_class[k] = metric.combine_sequences(scores)
        figures |= metric.combine_classes_det_averaged(by_class)
    return {ours: float(np.mean(figures[theirs])) for ours, theirs in NAMES.items()}


def our_figures(sequences, distance: float | None) -> dict[str, float]:
    """Frames need not come in order."""
    tracking = TrackingMetrics(zero_distance=distance)
    for name, sequence in sequences.items():
        for frame in np.random.default_rng(0).permutation(len(sequence)).tolist():
            tracking.update(name, frame, *sequence[frame])
    return {name: value.item() for name, value in tracking.compute().items()}


@pytest.mark.parametrize(
    ("classes", "rotated", "distance"),
    [(1, False, None), (2, True, None), (2, False, 12.0), (1, True, 12.0)],
    ids=["boxes", "rotated", "points of boxes", "points of rotated"],
)
def test_figures_are_trackevals(classes, rotated, distance):
    """Three sequences, one of them without a detection, with ignored objects."""
    sequences = {str(seed): drawn_sequence(seed, classes) for seed in range(3)}
    lost = [(found.take(np.zeros(len(found), bool)), truth) for found, truth in sequences["2"]]
    sequences["2"] = lost
    if not rotated:
        sequences = {
            name: [(horizontal(found), horizontal(truth)) for found, truth in sequence]
            for name, sequence in sequences.items()
        }
    expected = trackeval_figures(sequences, classes, distance)
    assert 0.1 < expected["hota"] < 0.9 and expected["id_switches"] > 5
    assert our_figures(sequences, distance) == pytest.approx(expected, abs=1e-6)


def objects(ids, x=0.0, **fields) -> Objects:
    """Squares of 10 by 10, 20 apart in the order of their ids, shifted by x."""
    ids = np.array(ids, np.int64)
    left = 20.0 * np.arange(len(ids)) + x
    boxes = np.column_stack([left, np.zeros(len(ids)), left + 10, np.full(len(ids), 10.0)])
    return Objects(boxes, np.zeros(len(ids), np.int64), ids=ids, **fields)


def test_a_track_that_changes_its_identity_once():
    """One object in 10 frames, found each time, as track 1 for five frames and track 2 after.

    MOTA = (10 - 0 - 1) / 10. The best one-to-one match of identities is right in 5 of 10 frames:
    IDF1 = 2 * 5 / (10 + 10). Each match has A = 5 / (10 + 5 - 5) = 1/2, so HOTA = sqrt(1 * 1/2).
    """
    tracking = TrackingMetrics()
    for frame in range(10):
        tracking.update("a", frame, objects([1 if frame < 5 else 2]), objects([7]))
    figures = {name: value.item() for name, value in tracking.compute().items()}
    expected = {
        "mota": 0.9,
        "motp": 1,
        "idf1": 0.5,
        "hota": math.sqrt(0.5),
        "deta": 1,
        "assa": 0.5,
        "loca": 1,
        "id_switches": 1,
        "fragmentations": 0,
        "mostly_tracked": 1,
        "mostly_lost": 0,
        "misses": 0,
        "false_positives": 0,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


def test_an_object_keeps_its_track_where_another_is_nearer():
    """Similarity 0.8 with track 1, then 0.6 with it and 0.9 with track 2: no change of identity.

    MOTA = (2 - 1 - 0) / 2, for track 2 is a mistake; the mean similarity is (0.8 + 0.6) / 2.
    """
    tracking = TrackingMetrics(zero_distance=10)
    tracking.update("a", 0, objects([1], x=2), objects([7]))
    both = Objects.join([objects([1], x=4), objects([2], x=1)])
    tracking.update("a", 1, both, objects([7]))
    figures = tracking.compute()
    assert figures["id_switches"] == 0 and figures["mota"] == 0.5
    assert figures["motp"].item() == pytest.approx(0.7)


def test_mostly_lost_is_less_than_a_fifth_and_mostly_tracked_more_than_four():
    """Objects 1 to 4 are found in 1, 2, 8 and 9 of 10 frames, so 0.2 and 0.8 are neither."""
    tracking = TrackingMetrics()
    for frame in range(10):
        truth = objects([1, 2, 3, 4])
        tracking.update("a", frame, truth.take(np.array([1, 2, 8, 9]) > frame), truth)
    figures = tracking.compute()
    assert figures["mostly_lost"] == 1 and figures["mostly_tracked"] == 1


def test_what_is_found_of_an_ignored_object_does_not_count():
    """The second of three true objects is ignored: its detection is taken out, ids or not."""
    tracking = TrackingMetrics()
    for frame in range(3):
        ignored = np.array([False, True, False])
        truth = objects([1, -1, 3], ignored=ignored)
        tracking.update("a", frame, objects([1, 2, 3], x=1), truth)
    figures = tracking.compute()
    assert figures["mota"] == figures["idf1"] == 1 and figures["false_positives"] == 0
    assert figures["motp"].item() == pytest.approx(90 / 110)


def test_without_objects_shares_are_nan_and_counts_are_counts():
    """Before a frame, and with detections alone, which are false."""
    tracking = TrackingMetrics()
    assert math.isnan(tracking.compute()["mota"])
    tracking.update("a", 0, objects([1, 2]), objects([]))
    figures = tracking.compute()
    assert math.isnan(figures["hota"]) and math.isnan(figures["idf1"])
    assert figures["false_positives"] == 2 and figures["id_switches"] == 0
    tracking.update("a", 1, objects([1]), objects([5]))
    assert tracking.compute()["mota"] == (1 - 2) / 1
    tracking.reset()
    tracking.update("a", 0, objects([1]), objects([5]))
    assert tracking.to("cpu").compute()["mota"] == 1


def test_what_cannot_be_scored_is_refused():
    """A frame given twice, ids that are lacking or come twice, forms that differ."""
    tracking = TrackingMetrics()
    tracking.update("a", 3, objects([1]), objects([1]))
    with pytest.raises(DatasetError, match="sequence a, frame 3: expected each frame once"):
        tracking.update("a", 3, objects([1]), objects([1]))
    with pytest.raises(DatasetError, match="id of its own for each detection"):
        tracking.update("a", 4, objects([1, 1]), objects([1]))
    with pytest.raises(DatasetError, match="id of its own for each true object"):
        tracking.update("a", 4, objects([1]), objects([-1]))
    unnamed = Objects(np.zeros((1, 4)), np.zeros(1, np.int64))
    with pytest.raises(DatasetError, match="id of its own"):
        tracking.update("a", 4, unnamed, objects([1]))
    with pytest.raises(ShapeError, match="one form"):
        tracking.update("a", 4, Objects.none(True), objects([1]))
