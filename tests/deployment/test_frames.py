"""The frames of a video on disk: their order, numbers, times, and what is missing."""

from pathlib import Path

import pytest

from ringmoe.deployment.frames import Frames, find_frames
from ringmoe.errors import DatasetError


def touched(folder, names):
    """Files of these names; frames are found by their names alone."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_frames_are_ordered_by_their_numbers(tmp_path, caplog):
    touched(tmp_path, ["f_10.png", "f_9.png", "f_2.png"])
    assert find_frames([tmp_path]).numbers == (2, 9, 10)
    files = [tmp_path / name for name in ("f_10.png", "f_9.png")]
    assert [path.name for path in find_frames(files).paths] == ["f_9.png", "f_10.png"]
    found = find_frames([touched(tmp_path, ["plain.png"])])
    assert found.numbers == (1, 2, 3, 4) and "in their order" in caplog.text
    assert [path.stem for path in found.paths] == ["f_2", "f_9", "f_10", "plain"]
    with pytest.raises(DatasetError, match=r"f_9\.png: is given twice"):
        find_frames([*files, tmp_path / "." / "f_9.png"])


def test_frames_are_numbered_by_what_differs(tmp_path):
    """The last number is the camera's in all names."""
    touched(tmp_path, [f"t{number}_cam0.png" for number in (12, 2, 1)])
    assert find_frames([tmp_path]).numbers == (1, 2, 12)


MIDNIGHT = ["20231231_2350", "20240101_0000", "20240101_0020"]


@pytest.mark.parametrize(
    ("names", "numbers", "seconds"),
    [
        # Ten minutes apart, over midnight, one missing; a start and an end in each name.
        (
            ["a_20231231_235000_235900", "a_20240101_000000_000900", "a_20240101_002000_002900"],
            (1, 2, 4),
            (0, 600, 1800),
        ),
        ([f"a_{text}_b3" for text in MIDNIGHT], (1, 2, 4), (0, 600, 1800)),
        (
            ["20240131", "20240201", "20240203", "20240204"],
            (1, 2, 4, 5),
            (0, 86400, 259200, 345600),
        ),
        (["a2024-01-31T2355Z", "a2024-02-01T0000Z"], (1, 2), (0, 300)),
        (["2026-01-31T23.50.40", "2026-01-31T23.51.05"], (1, 2), (0, 25)),
        # Seconds of delay do not matter to numbers, nor days without an image between many.
        (["20240101T100001", "20240102T100013", "20240103T095957"], (1, 2, 3), (0, 86412, 172796)),
        (
            ["20240101", "20240102", "20240103", "20240201"],
            (1, 2, 3, 32),
            (0, 86400, 172800, 2678400),
        ),
        # Fractions of a second, which as numbers begin anew.
        (
            ["v20240131T120000_100", "v20240131T120000_600", "v20240131T120001_100"],
            (1, 2, 3),
            (0, 0.5, 1),
        ),
        # Frames of one second have their counters; so have those of one day.
        (["v20240131T120000_0004", "v20240131T120000_0009"], (4, 9), None),
        (["v20240131T120000_0059", "v20240131T120001_0060"], (1, 2), (0, 1)),
        (["20240131_0007", "20240131_0008"], (7, 8), None),
        (["20240131_0163", "20240201_0002"], (1, 2), (0, 86400)),
        (["20191231", "20191232"], (20191231, 20191232), None),  # no date
    ],
)
def test_frames_are_timed_by_times_in_their_names(tmp_path, names, numbers, seconds):
    found = find_frames([touched(tmp_path, [f"{name}.tif" for name in reversed(names)])])
    assert [path.stem for path in found.paths] == names
    assert found.numbers == numbers
    assert found.elapsed == (None if seconds is None else pytest.approx(seconds, abs=1e-5))
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nimDir=.\nframeRate=5\n")
    assert find_frames([tmp_path]).fps == 5


def test_counters_that_begin_anew_each_day_are_in_the_order_of_days(tmp_path, caplog):
    names = ["20240131_a_7", "20240131_a_8", "20240201_a_2", "20240201_a_3"]
    found = find_frames([touched(tmp_path, [f"{name}.tif" for name in names])])
    assert [path.stem for path in found.paths] == names
    assert found.numbers == (1, 2, 3, 4) and found.elapsed is None
    assert "in their order" in caplog.text


def test_every_fifth_frame_is_a_video_without_gaps(tmp_path):
    frames = find_frames([touched(tmp_path, ["f_000.tif", "f_005.tif", "f_010.tif"])])
    assert (frames.numbers, frames.times, frames.gaps) == ((0, 5, 10), [0, 1, 2], [])


@pytest.mark.parametrize(
    ("numbers", "gap"),
    [((1, 2, 4), (2, 4, 1)), ((0, 1, 3), (1, 3, 1)), ((5, 10, 20), (10, 20, 1))],
)
def test_one_frame_that_is_missing_among_few(numbers, gap):
    frames = Frames(tuple(Path(f"{n}.png") for n in numbers), numbers)
    assert (frames.times, frames.gaps) == ([0, 1, 3], [gap])


def test_a_mot_sequence_tells_its_images_and_rate(tmp_path):
    touched(tmp_path / "pictures", ["1.png", "2.png"])
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nimDir=pictures\nframeRate=25\n")
    frames = find_frames([tmp_path])
    assert (frames.numbers, frames.fps) == ((1, 2), 25)
    (tmp_path / "seqinfo.ini").write_text("frameRate=25\n")
    with pytest.raises(DatasetError, match="Sequence") as caught:
        find_frames([tmp_path])
    assert "\n" not in str(caught.value)
