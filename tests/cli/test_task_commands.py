"""finetune, evaluate, predict: from labels to a map, on the command line."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from tests.tasks.labelled import write_backbone, write_images

from ringmoe.cli import main
from ringmoe.scenes import write_raster
from ringmoe.tasks import FinetuneConfig
from ringmoe.training import RunResult

pytestmark = pytest.mark.slow  # each trains

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "finetune"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run that tells red fields from green ones, and a scene of both."""
    folder = tmp_path_factory.mktemp("fields")
    write_images(folder / "images")
    write_backbone(folder / "backbone")
    picture = np.random.default_rng(1).integers(0, 40, (3, 80, 112), np.uint8)
    picture[0] += 180 * red_stripes()
    picture[1] += 180 * (1 - red_stripes())
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}
    write_raster(folder / "scene.tif", picture, **place)
    words = f"finetune segmentation --checkpoint {folder}/backbone --out {folder}/run"
    words += f" --data.path {folder}/images --data.sensor rgb-dn8 --data.validation 0.25"
    words += " --data.test 0.25 --steps 24 --batch-size 4 --learning-rate 0.32 --warmup-steps 2"
    words += " --crop-size 32 --evaluate-every 8 --options.channels 8 --no-tensorboard --device cpu"
    assert main([*words.split(), "--data.classes", "{green: 0, red: 1}"]) == 0
    return folder


def red_stripes():
    """Every other 16 columns of the scene, as wide as the halves of the images learned from."""
    return np.tile(np.arange(112) // 16 % 2, (80, 1)).astype(np.uint8)


def test_from_labels_to_a_map(trained, capsys):
    """Where the scene has red stripes, so has the map, and it lies where the scene does."""
    run, out = str(trained / "run"), trained / "map.tif"
    assert main(["evaluate", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["miou"] > 0.9
    areas = trained / "areas.geojson"
    words = ["predict", run, str(trained / "scene.tif"), "--out", str(out), "--device", "cpu"]
    drawn = trained / "map.png"
    extra = ["--polygons", str(areas), "--probabilities", "--picture", str(drawn)]
    extra += ["--colours", '{red: "#ff0102"}']
    assert main([*words, *extra]) == 0
    with rasterio.open(out) as file:
        mapped, transform = file.read(1), file.transform
        assert file.colormap(1)[1][:3] == (255, 1, 2)
        assert file.crs.to_epsg() == 32633
    assert (mapped == red_stripes()).mean() > 0.85
    assert tuple(transform)[:6] == (10, 0, 5e5, 0, -10, 5e6)
    names = {f["properties"]["class"] for f in json.loads(areas.read_text())["features"]}
    assert names == {"green", "red"}
    with rasterio.open(trained / "map-probabilities.tif") as file:
        assert file.count == 2
    width, height = Image.open(drawn).size
    assert width > 1.5 * height  # the map is beside the scene


def test_the_report_of_a_run(trained):
    """Image, map and truth of each of its validation images, and what became of each class."""
    html = (trained / "run" / "report.html").read_text()
    validation = (trained / "run" / "split.csv").read_text().count("validation")
    assert html.count('<img src="data:image/png') == 3 * min(8, validation)
    for text in ("Segmentation: green, red", "mean IoU", "what is there", "Class by class"):
        assert text in html


def test_tables_name_the_classes(trained, capsys):
    assert main(["evaluate", str(trained / "run"), "--part", "validation"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("validation part", "miou", "green", "red", "recall"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict {f}/backbone {f}/scene.tif --out m.tif", "`ringmoe finetune` makes one of a"),
        ("predict {f}/run {f}/scene.tif {f}/scene.tif --out m.tif", "expected 1 scene(s), image"),
        ("predict {f}/run {f}/nowhere.tif --out m.tif", "nowhere.tif"),
        ("predict {f}/run {f}/scene.tif --out m.tif --encodings.sar decibel", "none is called sar"),
        ("predict {f}/run {f}/scene.tif --out m.png", "m.png"),
        (
            "predict {f}/run {f}/scene.tif --out m.tif --score-threshold 0.9",
            "score_threshold: of detectors alone, and",
        ),
        (
            "predict {f}/run {f}/scene.tif --out m.tif --nms-threshold 0.3",
            "nms_threshold: of detectors alone, and",
        ),
        ("evaluate {f}/backbone", "is no run folder"),
        ("evaluate {f}/run --path {f}/nowhere", "there is no such folder"),
        (
            "finetune height --frozen --adapt lora --checkpoint nano --out r --data.path p",
            "--frozen, --adapt lora: expected one of the two",
        ),
        ("finetune dreaming --checkpoint nano --out r --data.path p", "expected one of classif"),
        ("finetune height --checkpoint nano --out r --data.pth p", "did you mean '--data.path'?"),
    ],
)
def test_what_is_wrong_is_one_line(trained, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(words.format(f=trained).split()) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("colours", "message"),
    [
        ('{blue: "#0000ff"}', "expected a class of green, red, got 'blue'"),
        ("{red: 0000ff}", """expected "#rrggbb" for red, got '0000ff'"""),
    ],
)
def test_colours_that_cannot_be_meant(trained, tmp_path, capsys, colours, message):
    words = ["predict", trained / "run", trained / "scene.tif", "--out", tmp_path / "m.tif"]
    assert main([*map(str, words), "--colours", colours]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        (np.zeros((31, 32)), "{green: 0, red: 1}", ".png: 31 x 32 pixels"),
        (np.full((32, 32), 7), "{green: 0, red: 1}", ".png: holds 7, which is no class"),
        (None, "{green: 0, red: 1, snow: 2}", "has snow"),
    ],
    ids=["size", "unknown class", "empty class"],
)
def test_labels_that_do_not_fit_are_one_line(tmp_path, capsys, values, classes, message):
    """Before a run is begun."""
    write_images(tmp_path / "images")
    write_backbone(tmp_path / "backbone")
    for mask in (tmp_path / "images" / "masks").iterdir() if values is not None else ():
        Image.fromarray(values.astype(np.uint8)).save(mask)
    words = f"finetune segmentation --checkpoint {tmp_path}/backbone --out {tmp_path}/run"
    words += f" --data.path {tmp_path}/images --data.sensor rgb-dn8 --crop-size 32 --device cpu"
    assert main([*words.split(), "--data.classes", classes]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_projects_recipes_are_read(path, monkeypatch):
    """Each with the task that its first lines tell people to type."""
    text = path.read_text()
    task = text.split("ringmoe finetune ")[1].split()[0]
    found = {}

    def record(task, config: FinetuneConfig, data, *, resume, progress):
        config.check()
        data.check()
        found.update(task=task, config=config, data=data)
        return RunResult(config.out, config.out / "model", config.out / "metrics.jsonl")

    module = importlib.import_module("ringmoe.cli.finetune")
    monkeypatch.setattr(module, "run_finetuning", record)
    monkeypatch.setattr(module, "best_validation", lambda _: None)
    monkeypatch.setattr(module, "report_training", lambda run, device: run)
    assert main(["finetune", task, "--config", str(path)]) == 0
    assert found["task"] == task
    assert found["config"].out.parts[0] == "runs"
    assert f"configs/finetune/{path.name}" in text
