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
    assert found.numbers == (1, 2, 3, 4) and "in the order of names" in caplog.text
    assert [path.stem for path in found.paths] == ["f_2", "f_9", "f_10", "plain"]
    with pytest.raises(DatasetError, match=r"f_9\.png: is given twice"):
        find_frames([*files, tmp_path / "." / "f_9.png"])


def test_frames_are_numbered_by_what_differs(tmp_path):
    """The last number is the camera's in all names."""
    touched(tmp_path, [f"t{number}_cam0.png" for number in (12, 2, 1)])
    assert find_frames([tmp_path]).numbers == (1, 2, 12)


@pytest.mark.parametrize(
    ("names", "numbers", "fps"),
    [
        # Ten minutes apart, over midnight, one missing; a start and an end in each name.
        (
            ["a_20231231_235000_235900", "a_20240101_000000_000900", "a_20240101_002000_002900"],
            (1, 2, 4),
            1 / 600,
        ),
        (["20240131", "20240201", "20240203"], (1, 2, 4), 1 / 86400),
        (["a2024-01-31T2355Z", "a2024-02-01T0000Z"], (1, 2), 1 / 300),
        (["v20240131T120000_0004", "v20240131T120000_0009"], (4, 9), None),  # one time, a counter
        (["20240131_0007", "20240131_0008"], (7, 8), None),  # a counter after a date
        (["20241340", "20241341"], (20241340, 20241341), None),  # no date
    ],
)
def test_frames_are_timed_by_times_in_their_names(tmp_path, names, numbers, fps):
    found = find_frames([touched(tmp_path, [f"{name}.tif" for name in reversed(names)])])
    assert [path.stem for path in found.paths] == names
    assert found.numbers == numbers
    assert found.fps == fps
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nimDir=.\nframeRate=5\n")
    assert find_frames([tmp_path]).fps == 5


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
