"""Maps as pictures: colours, and the files that come out."""

import numpy as np
import pytest
from PIL import Image

from ringmoe.errors import WriteError
from ringmoe.reports.maps import ClassPanel, ValuePanel, paint, write_map_picture

COLOURS = ((0, 0, 255), (0, 128, 0))
IMAGE = np.full((40, 60, 3), 128, np.uint8)


def test_each_class_has_its_colour():
    painted = paint(np.array([[0, 1], [-1, 7]]), COLOURS)
    assert painted.tolist() == [[[0, 0, 255], [0, 128, 0]], [[255, 255, 255], [255, 255, 255]]]


@pytest.mark.slow  # matplotlib takes its time
def test_the_picture_shows_the_colours_of_the_map(tmp_path):
    """Of a map that is one class, a third of the picture is that class's colour."""
    water = ClassPanel("water", np.zeros((40, 60), int), COLOURS)
    heights = ValuePanel("height", np.full((40, 60), np.nan), "m")
    path = write_map_picture(
        tmp_path / "map.png", {"image": IMAGE}, [water, heights], [("water", COLOURS[0])]
    )
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.shape[1] > 3 * picture.shape[0]
    assert 0.15 < (picture == COLOURS[0]).all(-1).mean() < 0.35
    assert 0.15 < (picture == 128).all(-1).mean() < 0.35


def test_a_folder_that_is_not_there_is_made_or_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        write_map_picture(tmp_path / "file" / "map.png", {"image": IMAGE}, [])
