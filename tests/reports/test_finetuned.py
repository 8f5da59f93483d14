"""The report of a fine-tuned model: what stands on the page, and what its pictures show."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from ringmoe.reports import FoundView, MappedView, NamedView, RunResults, TrackView
from ringmoe.reports.charts import viridis
from ringmoe.reports.detection import found_section, precision_section, tracks_section
from ringmoe.reports.finetuned import confusion_chart, curves, write_run_report
from ringmoe.reports.labels import classes_section, heights_section, named_section

pytestmark = pytest.mark.slow  # matplotlib takes its time

GREY = np.full((80, 120, 3), 90, np.uint8)
GREEN, RED = (20, 200, 20), (200, 20, 20)


def pictures(html):
    """Those in a page, as arrays."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def page(tmp_path, views, **results):
    """The report's HTML."""
    results = {"title": "A run", "lead": "", "figures": {}} | results
    return write_run_report(RunResults(views=views, **results), tmp_path / "r.html").read_text()


def test_objects_and_tracks(tmp_path):
    """One file: pictures of the sizes given inside it, no address but those of namespaces."""
    images = [
        FoundView(
            f"image {i}",
            GREY,
            np.array([[20.0, 30, 60, 50]]),
            np.array([i]),
            np.array([0.9]),
            np.array([[21.0, 30, 60, 50], [80, 10, 90, 20]]),
        )
        for i in range(2)
    ]
    path = np.column_stack([np.linspace(10, 110, 11), np.full(11, 40.0)])
    tracks = [TrackView("port", GREY, {1: path}, {1: np.array([105.0, 35, 115, 45])})]
    views = [
        found_section(images, ("ship", "vehicle"), 0.4, held_out=True),
        tracks_section(tracks),
        precision_section({"ship": 0.9, "vehicle": None}),
    ]
    html = page(
        tmp_path,
        views,
        figures={"map50": 0.873, "map": 0.5, "other": 3.0},
        loss=(range(100), np.linspace(2, 1, 100)),
        validation={"map50": ([10, 20], [0.2, 0.8])},
        details=[("seed", "0")],
    )
    for text in ("87.3 %", "mAP at IoU 0.5", "image 1: 1 found, 2 there", "port: 1 tracks"):
        assert text in html
    assert "no object" in html and "training loss" in html and "<script" not in html
    assert "did not learn from" in html and "other" not in html
    shapes = [picture.shape[:2] for picture in pictures(html)]
    assert shapes == [(320, 480)] * 3  # enlarged 4 times: 420 / 120 is 3.5
    assert not set(re.findall(r'(?:src|href)="(http[^"]+)"', html))


def test_what_is_wrong_with_labels_is_listed(tmp_path):
    problems = [("box without area", f"{n}.xml", "object 1, <left> out") for n in range(250)]
    html = page(tmp_path, [], problems=problems)
    assert html.count("<td>box without area</td>") == 200 and "and 50 more" in html
    assert "250 labels or images" in html and "&lt;left&gt;" in html
    assert "wrong with the labels" not in page(tmp_path, [])


def test_what_is_there_and_does_not_count_is_said():
    none = np.zeros((0, 4))
    view = FoundView("port", GREY, none, none[:, 0], none[:, 0], np.ones((3, 4)), ignored=2)
    assert view.caption == "port: 0 found, 3 there, 2 of them ignored"


def test_maps_of_classes(tmp_path):
    """Image, map and truth in the colours of the classes; unlabelled pixels are white."""
    said, truth = np.zeros((4, 4)), np.zeros((4, 4), np.int64)
    said[:, 2:], truth[0] = 1, -1
    view = MappedView("field", {"Optical": GREY[:4, :4]}, said, truth)
    section = classes_section([view], [("wood", GREEN), ("roof", RED)], held_out=False)
    html = page(tmp_path, [section], classes=("wood", "roof"), confusion=[[6, 2], [0, 0]])
    image, mapped, there = pictures(html)
    assert (image == 90).all() and (mapped[:, :2] == GREEN).all() and (mapped[:, 2:] == RED).all()
    assert (there[0] == 255).all() and (there[1:] == GREEN).all()
    assert "it learned from" in html and "wood" in html
    row = re.search(r"<tr><td>wood.*?</tr>", html)[0]
    # of 8 pixels of wood 6 were found, none was called wood falsely: F1 is 2 * 6 / (8 + 6)
    assert re.findall(r"<td>([^<]*)</td>", row)[1:] == [
        "8",
        "75.0 %",
        "100.0 %",
        "85.7 %",
        "75.0 %",
    ]
    row = re.search(r"<tr><td>roof.*?</tr>", html)[0]
    assert re.findall(r"<td>([^<]*)</td>", row)[1:] == ["0", "none", "0.0 %", "0.0 %", "0.0 %"]


def test_heights_have_one_scale(tmp_path):
    """From the least to the greatest of both maps, unknown ones white."""
    said, truth = np.full((2, 2), 10.0), np.array([[0.0, 20.0], [np.nan, 10.0]])
    view = MappedView("town", {"Optical": GREY[:2, :2]}, said, truth)
    html = page(tmp_path, [heights_section([view], held_out=True)], figures={"rmse": 7.071})
    _, mapped, there = pictures(html)
    assert (there[1, 0] == 255).all() and (there[1, 1] == mapped).all()
    dark, light = viridis(np.array([[0.0, 1.0]]))[0]
    assert (there[0, 0] == dark).all() and np.abs(there[0, 1].astype(int) - light).max() < 8
    assert "7.07 m" in html and "0.0 m" in html
    unknown = MappedView("sea", {"Optical": GREY[:2, :2]}, np.full((2, 2), np.nan), truth * np.nan)
    assert (pictures(page(tmp_path, [heights_section([unknown], True)]))[1] == 255).all()


def test_images_with_their_classes(tmp_path):
    views = [NamedView(GREY, "port", 0.714, "port"), NamedView(GREY, "port", 0.55, "<town>")]
    html = page(tmp_path, [named_section(views, held_out=True)])
    assert "port, 71 % ✓" in html and "port, 55 % ✗ it is &lt;town&gt;" in html


def test_a_confusion_matrix_shows_shares_of_its_rows():
    """Names and numbers while there is room for them."""
    svg = confusion_chart(np.array([[3, 1], [0, 0]]), ["wood", "roof"])
    assert re.findall(r">(\d+)</text>", svg) == ["75", "25"]  # none of a class that is not there
    many = confusion_chart(np.eye(20), [f"kind {i}" for i in range(20)])
    assert ">kind 19<" in many and ">100<" not in many


@pytest.mark.parametrize("values", [[-0.9, 0.1, 0.6], [0.2, 0.1, 0.6]])
def test_the_whole_of_a_curve_is_inside_its_chart(values):
    """Also a negative MOTA; only without one the axis begins at 0."""
    svg = curves({"found": {"MOTA": ([0, 50, 100], values)}})
    clip = re.search(r'<clipPath id="\w+">\s*<rect ([^>]*)/>', svg)[1]
    frame = {name: float(size) for name, size in re.findall(r'(\w+)="([\d.]+)"', clip)}
    paths = re.findall(r'<path d="([^"]*)" clip-path', svg)  # the grid's lines have two points
    (heights,) = (
        [float(y) for y in found]
        for found in (re.findall(r"[ML] [\d.-]+ ([\d.-]+)", path) for path in paths)
        if len(found) == 3
    )
    bottom = frame["y"] + frame["height"]
    assert all(frame["y"] <= y <= bottom for y in heights)
    # 0 is as far below 0.1 as 0.5 is below 0.6, were the axis so long
    zero = heights[1] + (heights[1] - heights[2]) * 0.1 / 0.5
    assert (zero == pytest.approx(bottom, abs=0.01)) == (min(values) > 0)
