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


@pytest.mark.slow  # matplotlib takes its time
@pytest.mark.parametrize("count", [2, 9, 24, 60])
def test_the_legend_shows_every_class_however_many(tmp_path, count):
    """Under an empty map: squares of one size in each colour, and nothing at the picture's edge."""
    colours = [(10 + 4 * number, 250 - 4 * number, 40) for number in range(count)]
    legend = [(f"a class of the name {number}", colour) for number, colour in enumerate(colours)]
    empty = ClassPanel("map", np.full((40, 60), -1), colours)
    path = write_map_picture(tmp_path / "map.png", {"image": IMAGE}, [empty], legend)
    picture = np.asarray(Image.open(path).convert("RGB"))
    squares = [int((picture == colour).all(-1).sum()) for colour in colours]
    assert min(squares) > 0.7 * max(squares) > 0
    shape = np.where((picture == 128).all(-1))
    below = picture[shape[0].max() + 5 :]
    assert (below[:, -3:] == 255).all() and (below[-3:] == 255).all()
    assert np.ptp(shape[1]) > 0.45 * picture.shape[1]  # the image is not squeezed by the legend


def test_a_folder_that_is_not_there_is_made_or_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        write_map_picture(tmp_path / "file" / "map.png", {"image": IMAGE}, [])
