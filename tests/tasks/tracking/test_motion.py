"""Camera motion: the shift and turn that were drawn, and tracks under a camera that shakes."""

import itertools

import numpy as np
import pytest
from benchmarks.tracking import detected, figures, seen_from, texture, turned
from scipy import ndimage
from tests.tasks.tracking.sequences import moving

from ringmoe.boxes import Objects
from ringmoe.errors import ShapeError
from ringmoe.tasks.tracking import CameraMotion, TrackerOptions, stabilised, track

GROUND = texture()
CORNERS = np.array([[0.0, 0], [256, 0], [0, 256], [256, 256]])


def place(step, points):
    return points @ step[:, :2].T + step[:, 2]


@pytest.mark.parametrize(
    ("degrees", "zoom", "shift"),
    [
        (0, 1, (3.3, -2.6)),
        (0, 1, (50, 30)),
        (4, 1, (12, -5)),
        pytest.param(20, 1, (70, -30), marks=pytest.mark.slow),
        pytest.param(-7, 1.06, (20, 10), marks=pytest.mark.slow),
    ],
)
def test_the_motion_that_was_drawn_is_found(degrees, zoom, shift):
    """Closed form: a point p of the first frame lies at A p + t in the second.

    The corners of the image, where errors of a turn are largest, agree to half a pixel.
    """
    linear = turned(degrees, zoom)
    camera = CameraMotion()
    first = camera.step(seen_from(GROUND, np.eye(2), (0, 0)))
    np.testing.assert_array_equal(first, np.eye(2, 3))
    found = camera.step(1000 * seen_from(GROUND, linear, shift) + 7)  # whatever the unit
    expected = CORNERS @ linear.T + shift
    assert np.abs(place(found, CORNERS) - expected).max() < 0.5
    assert camera.failed == 0


def test_a_still_camera_is_still_and_an_empty_image_is_told():
    camera = CameraMotion()
    frame = seen_from(GROUND, np.eye(2), (0, 0))
    camera.step(frame)
    assert np.abs(place(camera.step(frame), CORNERS) - CORNERS).max() < 0.05
    assert camera.failed == 0
    blank = camera.step(np.zeros_like(frame), valid=np.zeros(frame.shape, bool))
    np.testing.assert_array_equal(blank, np.eye(2, 3))
    assert camera.failed == 1
    with pytest.raises(ShapeError, match="frame"):
        camera.step(np.zeros((3, 64, 64)))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (2, 2)])
def test_frames_too_small_to_tell_are_not_moved(size):
    camera = CameraMotion()
    for image in (np.zeros(size), np.ones(size)):
        assert (camera.step(image) == np.eye(2, 3)).all()


@pytest.mark.parametrize("smooth", [1.0, 2.0, 3.0])
def test_frames_that_have_nothing_in_common_are_not_moved(smooth):
    """As waves are from one frame to the next: some features agree by chance."""
    random = np.random.default_rng(3)
    for _ in range(4):
        camera = CameraMotion()
        for _ in range(2):
            step = camera.step(ndimage.gaussian_filter(random.normal(size=(256, 256)), smooth))
        assert camera.failed == 1
        np.testing.assert_array_equal(step, np.eye(2, 3))


def shaking(frames):
    """A camera that jumps by up to 40 pixels and turns by up to 4 degrees: A and t of each frame.

    Of the ground's coordinates, which are those of a frame that has not moved.
    """
    rng = np.random.default_rng(3)
    moves = [(turned(angle), shift) for angle, shift in zip(
        rng.uniform(-4, 4, frames), rng.uniform(-40, 40, (frames, 2)), strict=True
    )]  # fmt: skip
    return [(np.eye(2), np.zeros(2)), *moves[1:]]


def steps_of(camera):
    """From frame to frame: with `q = A p + t` in each, `q2 = A2 A1^-1 (q1 - t1) + t2`."""
    steps = [np.eye(2, 3)]
    for (before, t1), (after, t2) in itertools.pairwise(camera):
        linear = after @ np.linalg.inv(before)
        steps.append(np.concatenate([linear, (t2 - linear @ t1)[:, None]], axis=1))
    return steps


def seen(truth, camera):
    """Objects on the ground as the camera sees them: centres are moved, sizes stay."""
    frames = []
    for objects, (linear, shift) in zip(truth, camera, strict=True):
        centre = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2 @ linear.T + shift
        boxes = np.concatenate([centre - 3, centre + 3], axis=1)
        frames.append(Objects(boxes, objects.classes, ids=objects.ids))
    return frames


def test_known_motion_brings_ids_back_that_a_shaking_camera_loses():
    """With the steps given, positions on the ground are those without a camera: IDF1 is 1.

    Without them objects jump by more than they are apart, and identities are mixed up.
    """
    ground = moving([(60, 60), (90, 60), (60, 100), (180, 150), (150, 190)], [(2, 1)] * 5, 8)
    camera = shaking(8)
    frames = detected(truth := seen(ground, camera))
    helped = track(frames, motion=steps_of(camera))
    assert figures(truth, helped)["idf1"] == 1
    assert figures(truth, track(frames))["idf1"] < 0.8
    for objects, found in zip(frames, helped, strict=True):
        np.testing.assert_array_equal(np.sort(objects.boxes, 0), np.sort(found.boxes, 0))
    first, last = stabilised(truth, steps_of(camera))[0], stabilised(truth, steps_of(camera))[-1]
    middle = (last - first)[:, :2] + (last - first)[:, 2:]
    np.testing.assert_allclose(middle / 2, np.tile([14.0, 7.0], (5, 1)), atol=1e-9)


@pytest.mark.slow
def test_estimated_motion_does_so_too():
    """The same from the images alone."""
    ground = moving([(60, 60), (90, 60), (60, 100), (180, 150), (150, 190)], [(2, 1)] * 5, 6)
    camera = shaking(6)
    truth = seen(ground, camera)
    frames = detected(truth)
    estimator = CameraMotion()
    steps = [
        estimator.step(seen_from(GROUND, linear, shift), objects)
        for (linear, shift), objects in zip(camera, frames, strict=True)
    ]
    for step, known in zip(steps[1:], steps_of(camera)[1:], strict=True):
        assert np.abs(place(step, CORNERS) - place(known, CORNERS)).max() < 0.5
    options = TrackerOptions(reach=12)
    assert figures(truth, track(frames, options, motion=steps))["idf1"] == 1
    assert figures(truth, track(frames, options))["idf1"] < 0.8
