"""Boxes and tracks: what is drawn, and where."""

import numpy as np
import pytest
from PIL import Image

from ringmoe.errors import ConfigError, WriteError
from ringmoe.reports.objects import (
    TRUTH,
    _short,
    check_picture,
    colour_of,
    draw_objects,
    draw_tracks,
    write_picture,
)

GREY = np.full((80, 120, 3), 90, np.uint8)
NONE = np.zeros((0, 4))


def near(picture, colour, tolerance=40):
    """`(H, W)` bool: where a picture has a colour."""
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(-1)


@pytest.mark.slow  # matplotlib takes its time
class TestDrawing:
    def test_a_box_lies_where_it_is_and_has_the_colour_of_its_class(self):
        """Four times enlarged, the box 20..60 x 30..50 has lines at 80, 240 and 120, 200."""
        boxes, classes = np.array([[20.0, 30, 60, 50]]), np.array([1])
        drawn = draw_objects(GREY, boxes, classes, zoom=4)
        assert drawn.shape == (320, 480, 3) and drawn.dtype == np.uint8
        rows, columns = np.nonzero(near(drawn, colour_of(1)))
        found = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        np.testing.assert_allclose(found, (80, 240, 120, 200), atol=2)
        assert not near(drawn[130:190, 90:230], colour_of(1)).any()  # the middle is free

    @pytest.mark.parametrize("corner", [(-9, 30), (50, -9), (112, -6), (-5, 70)])
    def test_scores_of_what_an_edge_cuts_are_in_the_picture(self, corner):
        x, y = corner
        boxes, classes = np.array([[x, y, x + 30, y + 20.0]]), np.array([0])
        with_score = draw_objects(GREY, boxes, classes, np.array([0.88]), zoom=4)
        without = draw_objects(GREY, boxes, classes, zoom=4)
        rows, columns = np.nonzero((with_score != without).any(-1))
        assert len(rows) > 60 and rows.min() > 0 and columns.max() < 479

    def test_a_legend_of_many_classes_and_of_odd_names(self):
        """The commonest of fifty, and how many others there are; a name may look like a formula."""
        names = [f"kind {n}" for n in range(48)] + ["$%$", "x" * 90]
        classes = np.array([*range(48), *[48] * 3, *[49] * 2])
        boxes = np.tile([[5.0, 5, 9, 9]], (len(classes), 1))
        drawn = draw_objects(np.tile(GREY, (4, 4, 1)), boxes, classes, names=names, zoom=1)
        plain = draw_objects(np.tile(GREY, (4, 4, 1)), boxes, classes, zoom=1)
        rows, columns = np.nonzero((drawn != plain).any(-1))
        assert columns.min() > 0 and columns.max() < 479 and rows.min() > 0

    def test_a_long_name_keeps_its_beginning(self):
        assert _short("x" * 90) == "x" * 37 + "..." and _short("small ship") == "small ship"

    def test_a_rotated_box(self):
        """45 degrees, 40 x 40: a diamond with tips 20 sqrt(2) = 28.3 pixels from the middle."""
        boxes = np.array([[60.0, 40, 40, 40, np.pi / 4]])
        drawn = draw_objects(GREY, boxes, np.array([0]), zoom=4)
        rows, columns = np.nonzero(near(drawn, colour_of(0)))
        tips = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        expected = 4 * np.array([60 - 28.28, 60 + 28.28, 40 - 28.28, 40 + 28.28])
        np.testing.assert_allclose(tips, expected, atol=4)

    def test_the_truth_is_white_and_dashed(self):
        """About four of each six and a half points along the line are white."""
        truth = np.array([[10.0, 10, 110, 70]])
        drawn = draw_objects(GREY, NONE, np.zeros(0, int), truth=truth, zoom=4)
        line = near(drawn[38:43, 50:430], TRUTH).any(0)
        assert 0.4 < line.mean() < 0.85

    def test_scores_are_written_unless_there_are_many(self):
        """A score takes room above its box; over sixty boxes have none."""
        one = np.array([[40.0, 40, 60, 60]])
        above = np.s_[130:156, 155:260]
        drawn = draw_objects(GREY, one, np.zeros(1, int), np.array([0.87]), zoom=4)
        assert near(drawn[above], colour_of(0)).any()
        many = np.repeat(one, 61, axis=0)
        drawn = draw_objects(GREY, many, np.zeros(61, int), np.full(61, 0.87), zoom=4)
        assert not near(drawn[above], colour_of(0)).any()

    def test_a_score_stands_at_the_top_of_a_rotated_box(self):
        """Of a diamond that is at its tip, not over the corner of the box around it."""
        boxes = np.array([[60.0, 40, 40, 40, np.pi / 4]])  # its tip at 60, 11.7
        drawn = draw_objects(GREY, boxes, np.zeros(1, int), np.array([0.87]), zoom=4)
        assert near(drawn[15:40, 240:280], colour_of(0)).any()
        assert not near(drawn[15:40, 100:200], colour_of(0)).any()

    def test_nothing_found_leaves_the_image(self):
        drawn = draw_objects(GREY, NONE, np.zeros(0, int), np.zeros(0), zoom=2)
        assert (drawn == 90).all()

    def test_tracks_fade_to_their_past(self):
        """Along a path from the left to the right the line stands out more and more."""
        path = np.column_stack([np.linspace(10, 110, 11), np.full(11, 40.0)])
        drawn = draw_tracks(GREY, {3: path}, zoom=4).astype(int)
        strength = np.abs(drawn[158:162] - 90).sum(-1).max(0)
        early, late = strength[50:70].mean(), strength[390:410].mean()
        assert 0 < early < 0.5 * late

    def test_a_track_of_one_point_is_a_dot(self):
        drawn = draw_tracks(GREY, {1: np.array([[60.0, 40.0]])}, zoom=4)
        assert (drawn[155:165, 235:245] != 90).any()


def test_colours_of_classes_differ():
    assert len({colour_of(i) for i in range(18)}) == 18


def test_a_picture_on_disk(tmp_path):
    """PNG as it is; JPEG of the same size; other endings are refused in one line."""
    assert (np.asarray(Image.open(write_picture(tmp_path / "a.png", GREY))) == GREY).all()
    assert Image.open(write_picture(tmp_path / "a.JPG", GREY)).format == "JPEG"
    with pytest.raises(ConfigError, match=r"a\.tif: a picture is a \.png"):
        check_picture(tmp_path / "a.tif")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        write_picture(tmp_path / "file" / "a.png", GREY)
