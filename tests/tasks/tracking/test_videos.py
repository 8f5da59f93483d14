"""Association on true positions, simulated and real: how well, and what a broken tracker gets."""

import csv
import re

import numpy as np
import pytest
from tests.tasks.tracking.sequences import detected, figures, with_new_ids

from ringmoe.boxes import Objects
from ringmoe.simulation import simulate_landscape, track_lines
from ringmoe.tasks.tracking import TrackerOptions, track


def simulated(kind, seed=3, size=256):
    """The video's objects of a landscape: 8 frames, a second and 2 m pixels; in part hidden."""
    rows = np.array(
        [
            [float(word) for word in line.split(",")]
            for line in track_lines(simulate_landscape(seed, size, kind))
        ]
    )
    frames = []
    for number in range(1, 9):
        mine = rows[rows[:, 0] == number]
        corner = mine[:, 2:4] - 1
        frames.append(
            Objects(
                np.concatenate([corner, corner + mine[:, 4:6]], axis=1),
                mine[:, 7].astype(np.int64) - 1,
                ignored=mine[:, 8] < 0.5,
                ids=mine[:, 1].astype(np.int64),
            )
        )
    return frames


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["harbour", "village"])
def test_simulated_traffic_is_followed(kind):
    """True boxes with half a pixel of noise, one in twenty left out.

    Matched within 5 pixels, as cars are 2 pixels long. By plain overlap most are lost, and with new
    ids every frame IDF1 is about 1/8.
    """
    truth = simulated(kind)
    frames = detected(truth, jitter=0.5, drop=0.05)
    found = figures(truth, track(frames), zero_distance=10)
    assert found["mota"] > 0.88
    assert found["idf1"] > 0.92
    assert found["hota"] > 0.8
    assert figures(truth, with_new_ids(frames), zero_distance=10)["idf1"] < 0.2
    overlap = track(frames, TrackerOptions(similarity="iou"))
    assert figures(truth, overlap, zero_distance=10)["mota"] < 0.7


def points(file, count):
    """The real tracks: `px` is the row and `py` the column, 0,0 is absent; squares of 10 around."""
    with open(file, newline="") as handle:
        reader = csv.reader(handle)
        names = next(reader)
        ids = [int(m[1]) for name in names if (m := re.fullmatch(r"obj_(\d+)_px", name))]
        at = [names.index(f"obj_{i}_px") for i in ids]
        frames = []
        for _, line in zip(range(count), reader, strict=False):
            place = np.array([[float(line[k + 1]), float(line[k])] for k in at])
            there = place.any(axis=1)
            boxes = np.concatenate([place - 5, place + 5], axis=1)[there]
            kinds = np.zeros(len(boxes), np.int64)
            frames.append(Objects(boxes, kinds, ids=np.array(ids)[there]))
    return frames


@pytest.mark.slow
def test_wide_area_imagery(real_data):
    """Association on given points, not detection: about 100 vehicles in 20 frames, with noise.

    The first frame is left out: it is the same picture as the second, which a tracker would take
    for vehicles that stand. Vehicles that drive move by 15 pixels a frame, and the next one is 9
    away (medians), so which is which cannot always be told: far from 1, but far from the trackers
    that go by overlap or know nothing. Matched within 5 pixels.
    """
    truth = points(real_data / "wpafb" / "transformed_object_states.csv", 21)[1:]
    assert sum(map(len, truth)) > 1900
    frames = detected(truth, jitter=0.5, drop=0.05)
    found = figures(truth, track(frames), zero_distance=10)
    assert found["mota"] > 0.65
    assert found["idf1"] > 0.7
    overlap = figures(truth, track(frames, TrackerOptions(similarity="iou")), zero_distance=10)
    assert found["mota"] > overlap["mota"] + 0.1
    assert figures(truth, with_new_ids(frames), zero_distance=10)["idf1"] < 0.1
    assert found == figures(truth, track(frames), zero_distance=10)
