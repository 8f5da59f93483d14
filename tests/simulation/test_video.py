"""Close views of a landscape, against the same landscape in its own pixels."""

import json

import numpy as np
import pytest
import rasterio

from ringmoe.errors import ConfigError
from ringmoe.simulation import (
    Film,
    close_up,
    object_labels,
    observe_optical,
    simulate_landscape,
    write_simulation,
)
from ringmoe.simulation.labels import video_labels


@pytest.fixture(scope="module")
def village():
    return simulate_landscape(7, 128, "village", frames=4, interval=0.25)


def test_a_close_view_shows_the_same_ground(village):
    """Its pixels averaged over those of 2 m, against the view from afar: both see the same light.

    Edges differ: the point-spread function is as wide in pixels, so half as wide in metres.
    """
    shown, row, column = close_up(village, Film(zoom=2))
    near = observe_optical(shown, np.random.default_rng(0))
    far = observe_optical(village, np.random.default_rng(1))[
        :, row : row + 64, column : column + 64
    ]
    mean = near.reshape(3, 64, 2, 64, 2).mean(axis=(2, 4))
    assert shown.size == village.size
    for a, b in zip(mean, far, strict=True):
        assert a.mean() == pytest.approx(b.mean(), rel=0.02)
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95


def test_objects_lie_where_they_did(village):
    """The box of each, put back into pixels of 2 m."""
    shown, row, column = close_up(village, Film(zoom=4))
    moving = 0
    for near, far in zip(shown.frames, village.frames, strict=True):
        places = {thing.id: thing for thing in far}
        assert near
        for thing in near:
            expected = places[thing.id].rotated_box
            found = thing.rotated_box / (4, 4, 4, 4, 1) + (column, row, 0, 0, 0)
            np.testing.assert_allclose(found, expected, atol=1e-9)
            moving += thing.speed > 0
    assert moving >= 8


def test_metres_of_labels_are_those_of_the_ground(village):
    """As seen from afar; and the pixels of a box times their size."""
    film = Film(zoom=4)
    far = {label["id"]: label for label in object_labels(village)}
    frames = video_labels(close_up(village, film)[0], film.zoom)
    for label in frames[0]:
        for name in ("length_m", "width_m", "height_m", "speed"):
            assert label[name] == pytest.approx(far[label["id"]][name], abs=0.011)
        edges = sorted(label["rotated"][2:4], reverse=True)
        metres = label["length_m"], label["width_m"]
        np.testing.assert_allclose(np.array(edges) * film.gsd, metres, atol=0.01)
    assert len(frames[0]) > 3


def test_a_video_can_be_of_ships():
    """Most of what moves at a river crosses its bridge; a village has no ships."""
    river = simulate_landscape(205, 256, "river")
    ships = [
        sum(thing.kind == "ship" for thing in close_up(river, Film(zoom=4, of=of))[0].objects)
        for of in ("vehicle", "", "ship")
    ]
    assert ships[0] <= ships[1] < ships[2]


def test_a_video_without_its_objects_is_of_what_there_is(village):
    asked, any_of_it = (close_up(village, Film(zoom=4, of=of))[1:] for of in ("ship", ""))
    assert asked == any_of_it


def test_frames_are_the_interval_apart(village):
    first, second = ({thing.id: thing for thing in frame} for frame in village.frames[:2])
    steps = [
        (np.hypot(second[i].x - thing.x, second[i].y - thing.y), thing.speed * 0.25)
        for i, thing in first.items()
        if i in second
    ]
    assert max(step for step, _ in steps) > 1
    np.testing.assert_allclose(*zip(*steps, strict=True), rtol=0.02, atol=1e-9)


def test_files_of_a_close_video_lie_in_the_scene(tmp_path):
    """The busiest eighth of the scene, in place and resolution; three frames and their tracks."""
    film = Film(frames=3, interval=0.2, zoom=8)
    manifest = write_simulation(tmp_path, 1, 128, 3, kinds=["village"], film=film)
    (scene,) = json.loads(manifest.read_text())["scenes"]
    video = scene["video"]
    assert (video["gsd"], video["interval_s"]) == (0.25, 0.2)
    assert video["sensor"] == "simulated-video"
    assert len(video["frames"]) == 3
    with rasterio.open(tmp_path / scene["files"][0]["path"]) as whole:
        around = whole.bounds
    for frame in video["frames"]:
        with rasterio.open(tmp_path / frame) as dataset:
            assert dataset.res == (0.25, 0.25) and dataset.shape == (128, 128)
            left, bottom, right, top = dataset.bounds
            assert around.left <= left and right <= around.right
            assert around.bottom <= bottom and top <= around.top
            assert (left - around.left) % 2 == 0 and (around.top - top) % 2 == 0
    lines = (tmp_path / video["labels"]["tracks"]).read_text().splitlines()
    assert {line.split(",")[0] for line in lines} == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("film", "message"),
    [
        (Film(frames=0), "frames is 0"),
        (Film(interval=0), "interval is 0"),
        (Film(interval=float("nan")), "interval is nan"),
        (Film(zoom=0), "zoom is 0"),
        (Film(zoom=3), r"divides the size \(128\)"),
        (Film(zoom=16), "leaves 16 pixels"),
        (Film(of="tram"), "a video of 'tram': expected one of ship, aircraft, vehicle"),
    ],
)
def test_what_cannot_be_filmed_is_refused(village, tmp_path, film, message):
    with pytest.raises(ConfigError, match=message):
        close_up(village, film)
    with pytest.raises(ConfigError, match=message):
        write_simulation(tmp_path / "out", 1, 128, film=film)
    assert not (tmp_path / "out").exists()
