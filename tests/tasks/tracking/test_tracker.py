"""Detections to tracks: what users of `track` rely on."""

import builtins
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.tracking import detected, figures, with_new_ids
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.tracking.sequences import moving

from ringmoe.boxes import Objects, cxcywhr_to_corners
from ringmoe.errors import ConfigError, MissingDependencyError, ShapeError
from ringmoe.tasks.tracking import TrackerOptions, Tracking, track, tracks_of

STARTS = [(20, 20), (20, 120), (220, 70), (120, 200)]
VELOCITIES = [(9, 0), (9, 1), (-8, 2), (0, -9)]  # further a frame than the squares of 6 are long


def test_every_object_keeps_one_id_from_its_first_frame():
    """Four squares far apart: all 40 detections are tracked, so MOTA and IDF1 are 1 exactly."""
    truth = moving(STARTS, VELOCITIES, 10)
    tracks = track(detected(truth))
    found = figures(truth, tracks)
    assert found["mota"] == found["idf1"] == 1
    assert sorted(tracks[0].ids) == [1, 2, 3, 4]


def test_overlap_alone_loses_what_moves_further_than_its_length():
    """Squares of 6 that move by 9 never overlap: by IoU no object is found twice, so none counts.

    Widened by half a width on each side they are 12 wide and overlap by 3: IoU about 3/21.
    """
    truth = moving(STARTS, VELOCITIES, 10)
    assert sum(map(len, track(detected(truth), TrackerOptions(similarity="iou")))) == 0
    wide = track(detected(truth), TrackerOptions(similarity="buffered-iou", buffer=0.5))
    assert figures(truth, wide)["idf1"] == 1


def test_ids_are_the_same_again_and_count_from_1_by_first_frame():
    truth = moving(STARTS, VELOCITIES, 6)
    frames = detected(truth, jitter=0.5, drop=0.2)
    first, second = track(frames), track(frames)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.boxes, other.boxes)
    starts = [t.frames[0] for t in tracks_of(first)]
    assert starts == sorted(starts)
    assert [t.id for t in tracks_of(first)] == list(range(1, len(starts) + 1))


def test_rotated_boxes_come_back_as_they_were():
    boxes = np.array([[40.0, 40, 30, 8, 0.6], [150.0, 60, 24, 6, -1.2]])
    steps = [boxes + np.array([4.0 * k, 2 * k, 0, 0, 0.02 * k]) for k in range(5)]
    frames = [Objects(b, np.array([0, 1]), np.array([0.9, 0.8])) for b in steps]
    for similarity in ("distance", "iou"):
        tracks = track(frames, TrackerOptions(similarity=similarity))
        for given_boxes, found in zip(steps, tracks, strict=True):
            np.testing.assert_array_equal(found.boxes, given_boxes)
            np.testing.assert_array_equal(found.ids, [1, 2])


def test_points_are_tracked_by_distance_and_refused_by_overlap():
    points = moving(STARTS, VELOCITIES, 5, size=0.0)
    assert figures(points, track(detected(points)), zero_distance=4)["idf1"] == 1
    with pytest.raises(ConfigError, match="points"):
        track(detected(points), TrackerOptions(similarity="iou"))


def test_a_gap_in_time_is_a_longer_step():
    """After frame 3 three are missing: the object is 4 x 9 = 36 pixels on, beyond `reach` of 24.

    Told so, the tracker expects it there; not told, it expects it 9 pixels on, 27 short.
    """
    numbers = [0, 1, 2, 3, 7, 8]
    whole = moving([(20, 50)], [(9, 0)], 9)
    truth = [whole[n] for n in numbers]
    told = track(detected(truth), times=numbers)
    assert figures(truth, told)["id_switches"] == 0
    assert {int(i) for objects in told for i in objects.ids} == {1}
    assert figures(truth, track(detected(truth)))["id_switches"] == 1


@pytest.mark.parametrize("lost", [0, 1, 3])
@pytest.mark.parametrize("as_empty_frames", [True, False])
def test_an_object_is_waited_for_in_so_many_frames_and_no_more(lost, as_empty_frames):
    """After five frames it lacks in `lost` of them and has its id again; in one more, another.

    Frames that hold nothing and frames that are not there at all are alike.
    """
    for missing, ids in ((lost, {1}), (lost + 1, {1, 2})):
        frames = detected(moving([(20, 50)], [(2, 0)], 14))
        numbers = [n for n in range(14) if not 5 <= n < 5 + missing]
        if as_empty_frames:
            none = Objects.none(False, scored=True)
            frames, numbers = [frames[n] if n in numbers else none for n in range(14)], range(14)
        else:
            frames = [frames[n] for n in numbers]
        found = track(frames, TrackerOptions(lost_frames=lost), times=numbers)
        assert {int(i) for objects in found for i in objects.ids} == ids
        assert sum(map(len, found)) == 14 - missing


def test_unsure_detections_keep_a_track_but_begin_none():
    """ByteTrack's two stages: 0.3 is enough for what is tracked already, not for something new."""
    truth = moving([(20, 50), (20, 150)], [(5, 0), (5, 0)], 6)
    scores = [[0.9, 0.3], [0.9, 0.3], [0.9, 0.3], [0.3, 0.3], [0.3, 0.3], [0.05, 0.3]]
    frames = [Objects(t.boxes, t.classes, np.array(s)) for t, s in zip(truth, scores, strict=True)]
    assert [len(objects) for objects in track(frames)] == [1, 1, 1, 1, 1, 0]


def test_what_is_seen_once_counts_only_if_asked_for():
    lone = Objects(np.array([[5.0, 5, 9, 9]]), np.array([0]), np.array([0.9]))
    frames = [lone, Objects.none(False, scored=True), Objects.none(False, scored=True)]
    assert [len(objects) for objects in track(frames)] == [0, 0, 0]
    assert [len(objects) for objects in track(frames, TrackerOptions(confirm=1))] == [1, 0, 0]


def test_classes_are_tracked_apart_or_made_one():
    """An object that is called class 1 in one of five frames, with the same score."""
    truth = moving([(20, 50)], [(4, 0)], 5)
    frames = detected(truth)
    frames[2] = Objects(frames[2].boxes, np.array([1]), frames[2].scores)
    apart = track(frames)
    assert [len(objects) for objects in apart] == [1, 1, 0, 1, 1]
    together = track(frames, TrackerOptions(class_wise=False))
    assert [int(objects.classes[0]) for objects in together] == [0] * 5


@settings(max_examples=12)
@given(st.data())
def test_no_detection_is_invented_and_no_id_stands_twice_in_a_frame(data):
    count = data.draw(st.integers(0, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    frames = []
    for _ in range(data.draw(st.integers(1, 5))):
        corner = rng.integers(0, 12, (count, 2)).astype(float)  # near each other, and often equal
        boxes = np.concatenate([corner, corner + 4], axis=1)
        frames.append(Objects(boxes, rng.integers(0, 2, count), rng.random(count)))
    tracks = track(frames, TrackerOptions(class_wise=data.draw(st.booleans())))
    for given_objects, found in zip(frames, tracks, strict=True):
        assert len(np.unique(found.ids)) == len(found.ids)
        rows = {(*b, s) for b, s in zip(given_objects.boxes, given_objects.scores, strict=True)}
        assert {(*b, s) for b, s in zip(found.boxes, found.scores, strict=True)} <= rows


def test_frames_without_objects_are_no_error():
    assert track([]) == []
    assert [len(o) for o in track([Objects.none(True, scored=True)] * 3)] == [0, 0, 0]


def test_what_cannot_be_meant_is_refused():
    frames = detected(moving(STARTS, VELOCITIES, 3))
    with pytest.raises(ConfigError, match="later"):
        track(frames, times=[0, 2, 2])
    with pytest.raises(ShapeError, match="3 frames"):
        track(frames, times=[0, 1])
    with pytest.raises(ShapeError, match="one form"):
        track([*frames, Objects.none(True, scored=True)])
    for option in ({"similarity": "giou"}, {"reach": 0}, {"confirm": 0}, {"high_score": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(option))):
            TrackerOptions(**option)


def test_without_the_library_one_line_names_the_extra(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name.split(".")[0] in ("trackers", "supervision"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "ringmoe.tasks.tracking.bytetrack", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingDependencyError, match=r"ringmoe\[tracking\]") as caught:
        track(detected(moving(STARTS, VELOCITIES, 3)))
    assert "\n" not in str(caught.value)
    with pytest.raises(MissingDependencyError):  # before a run trains for hours
        Tracking(classes=("ship",)).metrics()


@pytest.mark.slow
def test_a_crowd_is_followed_far_better_than_by_a_tracker_that_knows_nothing():
    """60 objects with noise and omissions; new ids every frame give an IDF1 of about 1/10."""
    rng = np.random.default_rng(1)
    starts = rng.uniform(0, 600, (60, 2))
    truth = moving(starts, rng.uniform(-8, 8, (60, 2)), 20, size=8)
    frames = detected(truth, jitter=0.7, drop=0.05)
    found = figures(truth, track(frames), zero_distance=8)
    assert found["mota"] > 0.85
    assert found["idf1"] > 0.9
    assert figures(truth, with_new_ids(frames), zero_distance=8)["idf1"] < 0.15


def test_corners_of_rotated_boxes_enclose_what_is_associated():
    """A box turned by 45 degrees: the square around it has the edge (w + h) / sqrt 2."""
    from ringmoe.tasks.tracking import stabilised

    turned = Objects(np.array([[50.0, 50, 30, 10, np.pi / 4]]), np.array([0]))
    (around,) = stabilised([turned], None)
    half = 40 / np.sqrt(2) / 2
    np.testing.assert_allclose(around, [[50 - half, 50 - half, 50 + half, 50 + half]])
    assert cxcywhr_to_corners(turned.boxes).min() == pytest.approx(50 - half)


def test_the_example_of_the_page_gives_what_its_comments_say(capsys):
    page = (Path(__file__).parents[3] / "docs" / "tracking.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    exec(compile(block, "docs/tracking.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"print.*  # (.*)", block)
