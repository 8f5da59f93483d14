"""The tasks of tracking: metrics over sequences, saving, and a short run."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from benchmarks.tracking import detected, figures, with_new_ids
from PIL import Image as Picture
from tests.tasks.labelled import write_backbone
from tests.tasks.objects import make_model
from tests.tasks.tracking.sequences import moving, write_sequences

from ringmoe.boxes import ObjectBatch, Objects
from ringmoe.cli.main import main
from ringmoe.cli.track import tracker_options
from ringmoe.datasets import DataConfig, LabelledLoader, open_data
from ringmoe.errors import ConfigError, DatasetError
from ringmoe.tasks import (
    TASKS,
    FinetuneConfig,
    best_validation,
    evaluate,
    finetune,
    load_task,
    open_run,
    save_task,
    task_from,
    to_plain,
)
from ringmoe.tasks.heads.detections import Detections
from ringmoe.tasks.tracking import OrientedTracking, Tracking


@dataclass
class Given(Detections):
    """A head that gives what it was given."""

    found: list[Objects]

    def losses(self, labels):
        return {"loss": torch.zeros(())}

    def objects(self):
        return self.found


def scores(task, truth, found, numbers, batch=2, order=None):
    """The task's metrics over frames of one sequence, in batches."""
    metrics = task.metrics()
    places = list(range(len(truth))) if order is None else order
    for start in range(0, len(places), batch):
        now = places[start : start + batch]
        names = [f"harbour/{numbers[k]:06d}" for k in now]
        labels = ObjectBatch.stack([truth[k] for k in now], names)
        metrics.update(Given([found[k] for k in now]), labels)
    return {name: float(value) for name, value in metrics.compute().items()}


FIGURES = ("hota", "mota", "idf1", "map50")
TRUTH = moving([(20, 20), (90, 40)], [(9, 0), (9, 1)], 6)


def test_perfect_detections_score_1_in_any_order():
    task = Tracking(classes=("ship",))
    found = scores(task, TRUTH, detected(TRUTH), range(1, 7))
    for name in FIGURES:
        assert found[name] == pytest.approx(1)
    mixed = scores(task, TRUTH, detected(TRUTH), range(1, 7), order=[3, 0, 5, 1, 4, 2])
    assert {k: mixed[k] for k in FIGURES} == {k: found[k] for k in FIGURES}


def test_sequences_too_short_for_a_track_are_told(caplog):
    found = scores(Tracking(classes=("ship",)), TRUTH[:1], detected(TRUTH[:1]), [1])
    assert found["hota"] == 0 and "no sequence here has 2 frames" in caplog.text
    caplog.clear()
    assert scores(Tracking(classes=("ship",), confirm=1), TRUTH[:1], detected(TRUTH[:1]), [1])[
        "hota"
    ]
    assert not caplog.text


def test_hota_sees_lost_identities_that_detection_does_not():
    """IoU loses squares that move by more than their length: map50 stays 1, HOTA falls to 0."""
    task = Tracking(classes=("ship",), similarity="iou")
    found = scores(task, TRUTH, detected(TRUTH), range(1, 7))
    assert found["map50"] == pytest.approx(1)
    assert found["hota"] == 0
    assert Tracking.best == "hota"


def test_a_gap_in_the_numbers_is_time():
    """Without frames 4 to 6 the squares are 36 pixels on, as `times` of the tracker say."""
    whole = moving([(20, 20)], [(9, 0)], 9)
    numbers = [1, 2, 3, 7, 8, 9]
    truth = [whole[n - 1] for n in numbers]
    assert scores(Tracking(classes=("ship",)), truth, detected(truth), numbers)["idf1"] == 1
    rare = [40 * number for number in numbers]  # of every fortieth frame that the camera took
    assert scores(Tracking(classes=("ship",)), truth, detected(truth), rare)["idf1"] == 1


@pytest.mark.parametrize(
    ("true_score", "false_score", "high", "new"),
    [(0.35, 0.0, 0.2, 0.2), (0.55, 0.45, 0.3, 0.5), (0.65, 0.25, 0.5, 0.6)],
)
def test_scores_are_chosen_where_they_part_true_from_false(true_score, false_score, high, new):
    """Of pairs that part them equally well that which was given is kept, else the lowest taken."""
    task = Tracking(classes=("ship",))
    metrics = task.metrics()
    for name, truth in (("here", TRUTH), ("away", [objects.take([]) for objects in TRUTH])):
        score = true_score if name == "here" else false_score
        found = [replace(o, scores=np.full(len(o), score)) for o in detected(TRUTH)]
        labels = ObjectBatch.stack(truth, [f"{name}/{k:06d}" for k in range(len(truth))])
        metrics.update(Given(found), labels)
    chosen = task.settled(lambda: metrics)
    assert (chosen.high_score, chosen.new_score) == (high, new)
    assert replace(chosen, high_score=0.5, new_score=0.6) == task
    metrics.options = chosen
    assert metrics.compute()["hota"] == pytest.approx(1)


def test_scores_that_are_given_can_be_kept():
    task = Tracking(classes=("ship",), choose_scores=False)
    assert task.settled(lambda: pytest.fail("evaluated all the same")) is task


def test_images_that_are_no_frames_are_refused():
    metrics = Tracking(classes=("ship",)).metrics()
    labels = ObjectBatch.stack([TRUTH[0]], ["picture"])
    with pytest.raises(DatasetError, match="SEQUENCE/000001"):
        metrics.update(Given(detected(TRUTH[:1])), labels)


def test_frames_larger_than_the_crops_are_scored_whole(tmp_path):
    """Nothing is sure enough to be found: both objects of six frames of 160 px are missed.

    Their middle 64 px hold none of them.
    """
    data = open_data(write_sequences(tmp_path, count=3, frames=2, size=160), "boxes")
    model = make_model(Tracking(classes=("square",), channels=8, score_threshold=0.999))
    loader = LabelledLoader(data, range(len(data)), batch_size=2, crop_size=64, largest=64)
    figures = evaluate(model, loader.epoch(model.task.cover))
    assert figures["misses"] == 12
    assert evaluate(model, loader.epoch("middle"))["misses"] == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("1,-1,3,3,9,9,1,1,1\n", "s0/000001: expected labels with the identity of each object"),
        ("1,4,3,3,9,9,0,1,1\n", None),  # of what is ignored nobody asks
    ],
)
def test_labels_without_identities_are_refused_before_training(tmp_path, labels, message):
    data = write_sequences(tmp_path, count=1)
    (tmp_path / "s0" / "gt" / "gt.txt").write_text(labels)
    task = Tracking(classes=("square",))
    if message is None:
        task.check_data(open_data(data, "boxes"))
        return
    with pytest.raises(DatasetError, match=message):
        task.check_data(open_data(data, "boxes"))


def test_an_object_without_identity_among_others_is_ignored(tmp_path, caplog):
    """It is nobody's miss, and what finds it is no false alarm."""
    config = write_sequences(tmp_path, count=1)
    labels = tmp_path / "s0" / "gt" / "gt.txt"
    labels.write_text(labels.read_text() + "3,-1,1,1,6,6,1,1,1\n")
    data, task = open_data(config, "boxes"), Tracking(classes=("square",), confirm=1)
    task.check_data(data)
    assert "1 of 9 objects have no identity, first in s0/000003: they are learned" in caplog.text
    truth = [data[index].label for index in range(4)]
    for found in (truth, [objects.take(objects.ids >= 0) for objects in truth]):
        found = [replace(one, scores=np.ones(len(one)), ids=None) for one in found]
        scored = scores(task, truth, found, [1, 2, 3, 4])
        assert scored["hota"] == scored["mota"] == 1 and scored["misses"] == 0


def test_tracks_of_points_are_scored_by_the_distance_of_centres():
    """Boxes of 6 pixels, 4 px beside: an IoU of 0.2; of 16 px to similarity 0 a quarter is gone."""
    truth = moving([(20, 20), (60, 50)], [(3, 0), (0, -2)], 6)
    beside = [
        Objects(one.boxes + np.array([4, 0, 4, 0]), one.classes, scores=np.full(2, 0.9))
        for one in truth
    ]
    numbers = list(range(1, 7))
    by_iou, by_distance = (
        scores(Tracking(classes=("square",), confirm=1, score_distance=d), truth, beside, numbers)
        for d in (None, 16.0)
    )
    assert by_iou["mota"] < 0 and by_iou["idf1"] == 0
    assert by_distance["mota"] == by_distance["idf1"] == 1
    # of the 19 thresholds from 0.05 on, 15 lie at 0.75 or below
    assert by_distance["hota"] == pytest.approx(15 / 19)
    with pytest.raises(ConfigError, match="score_distance must be positive, or none, got 0"):
        Tracking(classes=("square",), score_distance=0)


def test_stills_are_refused_before_training(tmp_path):
    """Nothing of a run is left that would be in the way of the next."""
    Picture.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "labelTxt").mkdir()
    (tmp_path / "labelTxt" / "a.txt").write_text("1 1 9 1 9 9 1 9 ship 0\n")
    start = write_backbone(tmp_path / "start")
    config = FinetuneConfig(checkpoint=str(start), out=tmp_path / "run", crop_size=32)
    with pytest.raises(DatasetError, match="expected frames of sequences, called SEQUENCE/000001"):
        finetune("tracking", config, DataConfig(path=tmp_path, sensor="rgb-dn8"))
    assert not (tmp_path / "run").exists()


def test_options_are_kept_and_checked():
    task = task_from({"task": "tracking", "classes": ["ship"], "reach": 40.0, "channels": 8})
    assert task_from(json.loads(json.dumps(to_plain(task)))) == task
    assert TASKS["oriented-tracking"] is OrientedTracking
    with pytest.raises(ConfigError, match="reach"):
        Tracking(classes=("ship",), reach=-1.0)
    with pytest.raises(ConfigError, match="channels"):
        OrientedTracking(classes=("ship",), channels=0)


def test_a_track_begins_at_no_less_than_high_score(tmp_path):
    """Of a saved model that says less, which had no effect, it is `high_score`."""
    with pytest.raises(ConfigError, match=r"must be high_score \(0\.5\) or more.*got 0\.3"):
        Tracking(classes=("ship",), new_score=0.3)
    model = make_model(Tracking(classes=("bright", "dark"), channels=8))
    file = save_task(model, tmp_path / "model", tile_size=64) / "task.json"
    facts = json.loads(file.read_text())
    facts["task"]["new_score"] = 0.3
    file.write_text(json.dumps(facts))
    task = load_task(tmp_path / "model").task
    assert (task.high_score, task.new_score) == (0.5, 0.5)
    given = tracker_options(task, {"high_score": 0.7, "new_score": None})
    assert (given.high_score, given.new_score) == (0.7, 0.7)
    with pytest.raises(ConfigError, match="new_score must be high_score"):
        tracker_options(task, {"high_score": None, "new_score": 0.4})


@pytest.mark.slow
def test_a_run_from_mot_folders_to_tracks_on_disk(tmp_path, capsys):
    """`ringmoe finetune tracking`, its report, then `ringmoe track` on one of the sequences."""
    data = write_sequences(tmp_path / "data")
    names = open_data(data, "boxes").names
    assert names[0] == "s0/000001"
    start = write_backbone(tmp_path / "start")
    words = f"finetune tracking --checkpoint {start} --out {tmp_path}/run --steps 4 --batch-size 4"
    words += f" --crop-size 64 --evaluate-every 2 --warmup-steps 1 --data.path {tmp_path}/data"
    words += " --data.sensor rgb-dn8 --data.validation 0.34 --options.channels 8 --device cpu"
    words += " --options.high_score 0.9 --options.new_score 0.9"
    assert main([*words.split(), "--no-tensorboard", "--data.classes", "{square: 1}"]) == 0
    assert "report: " in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/") >= 2  # a frame with its detections, one with its tracks
    lines = (tmp_path / "run" / "validation.jsonl").read_text().splitlines()
    assert {"hota", "mota", "idf1", "map50"} <= set(json.loads(lines[-1]))
    saved = open_run(tmp_path / "run")
    assert saved.model.task.high_score < 0.9  # chosen: and what is shown is scored with it
    best = best_validation(tmp_path / "run")
    assert best.pop("step") in (2, 4) and best == saved.evaluate("validation")
    out = [tmp_path / "t.txt", tmp_path / "t.geojson"]
    words = ["track", tmp_path / "run", tmp_path / "data" / "s1", "--out", *out, "--fps", "2"]
    words += ["--picture", tmp_path / "t.png"]
    assert main([str(word) for word in words]) == 0
    assert "4 frames 0.5 s apart" in capsys.readouterr().out
    assert json.loads(out[1].read_text())["crs"] is None
    drawn = np.asarray(Picture.open(tmp_path / "t.png").convert("RGB"))
    assert drawn.shape[0] >= 64 and drawn.std() > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Tracking, OrientedTracking])
def test_the_verb_follows_with_the_model_s_options(tmp_path, capsys, kind):
    """A model that was never trained finds anything: every score over 0.05 begins a track."""
    model = make_model(kind(classes=("bright", "dark"), channels=8, low_score=0.05))
    save_task(model, tmp_path / "model", tile_size=64)
    assert load_task(tmp_path / "model").task == model.task
    write_sequences(tmp_path / "data", count=1)
    words = ["track", "model", "data/s0", "--out", "t.txt", "--high-score", "0.05"]
    words += ["--new-score", "0.05", "--similarity", "distance"]
    paths = [
        str(tmp_path / word) if word in ("model", "data/s0", "t.txt") else word for word in words
    ]
    assert main(paths) == 0
    said = capsys.readouterr().out
    lines = (tmp_path / "t.txt").read_text().splitlines()
    assert f"{len(lines)} detections on tracks" in said
    assert main([*paths, "--tile-size", "100"]) == 2
    assert "tile_size must be a multiple of 32 pixels, got 100" in capsys.readouterr().err
    assert main([*paths[:2], str(tmp_path / "absent"), *paths[3:]]) == 2
    assert "no such file" in capsys.readouterr().err


def test_new_ids_in_each_frame_are_no_tracking():
    """What the figures are compared with elsewhere: HOTA's association falls with the frames."""
    named = with_new_ids(detected(TRUTH))
    assert figures(TRUTH, named)["mota"] == pytest.approx(1 - 10 / 12)  # 2 x 5 switches of 12
