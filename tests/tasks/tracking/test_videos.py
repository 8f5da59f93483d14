"""Association on true positions, simulated and real: how well, and what a broken tracker gets."""

import pytest
from benchmarks.tracking import (
    detected,
    figures,
    simulated_video,
    wide_area_points,
    with_new_ids,
)

from ringmoe.tasks.tracking import TrackerOptions, track


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["harbour"])
def test_simulated_traffic_is_followed(kind):
    """True boxes with half a pixel of noise, one in twenty left out.

    Matched within 5 pixels, as cars are 2 pixels long. By plain overlap most are lost, and with new
    ids every frame IDF1 is about 1/8.
    """
    truth = simulated_video(kind)
    frames = detected(truth, jitter=0.5, drop=0.05)
    found = figures(truth, track(frames), zero_distance=10)
    assert found["mota"] > 0.88
    assert found["idf1"] > 0.92
    assert found["hota"] > 0.8
    assert figures(truth, with_new_ids(frames), zero_distance=10)["idf1"] < 0.2
    overlap = track(frames, TrackerOptions(similarity="iou"))
    assert figures(truth, overlap, zero_distance=10)["mota"] < 0.7


@pytest.mark.slow
def test_wide_area_imagery(real_data):
    """Association on given points, not detection: about 100 vehicles in 20 frames, with noise.

    The first frame is left out: it is the same picture as the second, which a tracker would take
    for vehicles that stand. Vehicles that drive move by 15 pixels a frame, and the next one is 9
    away (medians), so which is which cannot always be told: far from 1, but far from the trackers
    that go by overlap or know nothing. Matched within 5 pixels.
    """
    truth = wide_area_points(real_data)
    assert sum(map(len, truth)) > 1900
    frames = detected(truth, jitter=0.5, drop=0.05)
    found = figures(truth, track(frames), zero_distance=10)
    assert found["mota"] > 0.65
    assert found["idf1"] > 0.7
    overlap = figures(truth, track(frames, TrackerOptions(similarity="iou")), zero_distance=10)
    assert found["mota"] > overlap["mota"] + 0.1
    assert figures(truth, with_new_ids(frames), zero_distance=10)["idf1"] < 0.1
    assert found == figures(truth, track(frames), zero_distance=10)
