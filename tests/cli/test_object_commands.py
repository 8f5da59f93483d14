"""From labelled ships to a list of ships on a map, on the command line; and the run's report."""

import csv
import json
import shutil

import numpy as np
import pytest
import yaml
from affine import Affine
from PIL import Image
from tests.cli.ships import write_scene, write_ships
from tests.tasks.labelled import make_backbone, write_backbone

from ringmoe.cli import main
from ringmoe.cli._run_report import report_training
from ringmoe.tasks import Detection, Segmentation, TaskModel, TaskSource, save_task

pytestmark = pytest.mark.slow  # trains

PLACE = {"crs": "EPSG:32633", "transform": Affine(2, 0, 5e5, 0, -2, 5e6)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run that has seen ships, and a scene of 200 x 260 pixels with others."""
    folder = tmp_path_factory.mktemp("ships")
    write_ships(folder / "ships", 24)
    (folder / "ships" / "labelTxt" / "P99.txt").write_text("1 1 9 1 9 9 1 9 ship 0\n")
    write_backbone(folder / "backbone")
    words = f"finetune oriented-detection --checkpoint {folder}/backbone --out {folder}/run"
    words += f" --data.path {folder}/ships --data.sensor rgb-dn8 --data.validation 0.25"
    words += " --steps 50 --batch-size 8 --learning-rate 0.16 --warmup-steps 10 --crop-size 64"
    words += " --evaluate-every 50 --options.channels 16 --no-tensorboard --device cpu"
    assert main(words.split()) == 0
    np.save(folder / "truth.npy", write_scene(folder / "scene.tif", 200, 260, **PLACE))
    return folder


def predict(folder, *words):
    command = ["predict", str(folder / "run"), str(folder / "scene.tif"), "--device", "cpu"]
    return main([*command, *words])


def test_from_labels_to_ships_on_a_map(trained, tmp_path, capsys):
    """Most ships have one detection, and hardly any a second; pixels are 2 m.

    The scene's six or more tiles cut many of them, as they overlap by less than half.
    """
    out, picture = tmp_path / "ships.geojson", tmp_path / "ships.png"
    words = ["--out", str(out), "--picture", str(picture), "--overlap", "28"]
    assert predict(trained, *words, "--score-threshold", "0.3") == 0
    found = [feature["properties"] for feature in json.loads(out.read_text())["features"]]
    assert f"ship  {len(found)}" in capsys.readouterr().out
    centres = np.array([[about["column"], about["row"]] for about in found])
    truth = np.load(trained / "truth.npy")
    distances = np.linalg.norm(centres[:, None] - truth[None, :, :2], axis=2)
    hits = (distances < 7).sum(axis=0)  # ships lie 32 pixels apart
    assert (hits > 0).mean() > 0.7 and (hits > 1).mean() < 0.15
    assert all(10 < about["length_m"] < 80 for about in found)
    assert Image.open(picture).size == (520, 400)  # twice as large as the scene


def test_the_report_of_a_run(trained):
    """One page with the metrics and pictures of the six images that were kept aside."""
    html = report_training(trained / "run").read_text()
    assert html.count("data:image/png") == 6
    for text in ("Oriented detection: ship", "did not learn from", "training loss", "P00"):
        assert text in html


def test_what_is_wrong_with_labels_is_listed_in_the_run_and_its_report(trained):
    (listed,) = csv.DictReader((trained / "run" / "problems.csv").open())
    assert listed["kind"] == "label file without image" and listed["file"].endswith("P99.txt")
    assert listed["reason"] == "there is no image P99.*"
    html = report_training(trained / "run").read_text()
    assert "there is no image P99.*" in html and "What is wrong with the labels" in html


def test_the_report_of_an_evaluation(trained, tmp_path, capsys):
    """Of a part, with the figures of that part; of other images, which the run never saw."""
    run, page = trained / "run", tmp_path / "report.html"
    assert main(["evaluate", str(run), "--part", "train", "--report", str(page), "--json"]) == 0
    figures, html = json.loads(capsys.readouterr().out), page.read_text()
    assert f"{100 * figures['map50']:.1f} %" in html and html.count("data:image/png") == 12
    assert "Figures are of 18 images of its train part, which it learned from." in html
    write_ships(tmp_path / "others", 3)
    words = ["--path", str(tmp_path / "others"), "--report", str(page)]
    assert main(["evaluate", str(run), *words]) == 0
    html = page.read_text()
    assert f"Figures are of 3 images in {tmp_path / 'others'}." in html
    assert html.count("data:image/png") == 3 and "did not learn from" in html
    assert main(["evaluate", str(run), *words, "--tile-size", "32"]) == 0
    assert "Figures are of 12 images in" in page.read_text()
    assert main(["evaluate", str(run), "--tile-size", "0"]) == 2
    assert "tile_size: of other images (--path)" in capsys.readouterr().err
    assert main(["evaluate", str(run), *words, "--part", "test"]) == 2
    assert "part: of the run's own images" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--report", "report.pdf"]) == 2
    assert "report.pdf: expected a .html" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["evaluate", str(run), "--report", str(tmp_path / "file" / "r.html")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--out map.tif", "map.tif: objects are written as .geojson, .json, .parquet"),
        ("--out a.geojson --picture a.bmp", "a.bmp: a picture is a .png"),
        ("--out a.geojson --probabilities", "probabilities: of maps alone"),
        ("--out a.geojson --polygons p.geojson", "polygons: of maps alone"),
        ("--out a.geojson --score-threshold 0.01", "only what it is 0.05 sure of"),
        ("--out a.geojson --overlap 60", "overlap must be from 0 to half a tile"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    trained, words, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert predict(trained, *words.split()) == 2
    error = capsys.readouterr().err
    assert message in error.replace("\n", " ") and not list(tmp_path.iterdir())


def test_other_images_are_not_scored_by_the_labels_of_the_run(trained, tmp_path, capsys):
    """Where these were named by an absolute path; and of several processes one scores."""
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["labels"] = str(tmp_path / "labels")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    other = str(config["data"]["path"])
    assert main(["evaluate", str(run), "--path", other]) == 2
    assert "say where those of" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--path", other, "--labels", ".", "--json"]) == 0
    assert "map50" in json.loads(capsys.readouterr().out)


def test_pictures_are_not_drawn_over_what_is_read(tmp_path, capsys):
    """The scene of a detector, the scene of a map, and a frame of a video."""
    png = tmp_path / "scene1.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(png)
    before = png.read_bytes()
    source = TaskSource("rgb-dn8", ("red", "green", "blue"))
    classes = ("a", "b")
    for task in (Detection(classes=classes, channels=8), Segmentation(classes=classes, channels=8)):
        model = TaskModel(make_backbone(), task, {"image": source})
        save_task(model, tmp_path / task.name, tile_size=64)
    runs = [("predict", "detection", "a.geojson"), ("predict", "segmentation", "a.tif")]
    for verb, run, out in [*runs, ("track", "detection", "a.txt")]:
        words = [verb, tmp_path / run, png, "--out", tmp_path / out, "--picture", png]
        assert main([*map(str, words), "--device", "cpu"]) == 2
        assert "scene1.png: is a file of the scene" in " ".join(capsys.readouterr().err.split())
        assert png.read_bytes() == before and not (tmp_path / out).exists()


def test_a_run_without_a_validation_part(trained, tmp_path):
    """The page shows what it learned from, and says so."""
    run = shutil.copytree(trained / "run", tmp_path / "run")
    split = (run / "split.csv").read_text()
    (run / "split.csv").write_text(split.replace("validation", "train"))
    (run / "validation.jsonl").unlink()
    html = report_training(run).read_text()
    assert "all that is shown here it learned from" in html and "did not learn" not in html
