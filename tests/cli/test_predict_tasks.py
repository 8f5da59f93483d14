"""predict with the other tasks' models: change, height, several sensors of which one may lack."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from tests.tasks.labelled import make_backbone, write_backbone

from ringmoe.cli import main
from ringmoe.simulation import write_simulation
from ringmoe.tasks import (
    Classification,
    Segmentation,
    TaskModel,
    TaskSource,
    load_task,
    save_task,
)

pytestmark = pytest.mark.slow  # each trains

SENSORS = {"sar_amplitude": "simulated-sar-amplitude", "optical": "simulated-optical"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Simulated scenes, a backbone, and a run of a few steps of each task."""
    folder = tmp_path_factory.mktemp("tasks")
    write_simulation(folder / "scenes", scenes=4, size=64, seed=3)
    write_backbone(folder / "backbone")
    dates = dict.fromkeys(("before", "after"), "simulated-optical")
    finetune(folder, "change", dates, ("change",))
    finetune(folder, "height", {"image": "simulated-optical"}, ("height",))
    finetune(folder, "fused", SENSORS, ("segmentation", "--missing", "0.5"))
    finetune(folder, "strict", SENSORS, ("segmentation",))
    return folder


def finetune(folder, out, sensors, words):
    task, *more = words
    options = f"--checkpoint {folder}/backbone --out {folder}/{out} --steps 3 --batch-size 2"
    options += (
        f" --data.path {folder}/scenes --data.validation 0.25 --crop-size 64 --no-tensorboard"
    )
    options += " --options.channels 8 --warmup-steps 1 --device cpu"
    given = ["--data.sensors", json.dumps(sensors)]
    if list(sensors) == ["image"]:
        given = ["--data.sensor", sensors["image"]]
    assert main(["finetune", task, *options.split(), *given, *more]) == 0


def image(folder, name):
    return str(folder / "scenes" / "scene-0001" / f"{name}.tif")


def predict(folder, run, *words):
    out = folder / f"{run}.tif"
    words = ["predict", str(folder / run), *words, "--out", str(out), "--device", "cpu"]
    assert main([*words, "--no-resume", "--picture", str(out.with_suffix(".png"))]) == 0
    with rasterio.open(out) as file:
        return file.read(1), file.profile | {"unit": file.units[0], "band": file.descriptions[0]}


def test_change_between_two_dates(folder):
    mapped, about = predict(
        folder, "change", image(folder, "optical"), image(folder, "optical_later")
    )
    assert mapped.shape == (64, 64) and set(np.unique(mapped)) <= {0, 1}
    assert about["dtype"] == "uint8"
    with rasterio.open(image(folder, "optical")) as scene:
        assert (about["crs"], about["transform"]) == (scene.crs, scene.transform)
    assert Image.open(folder / "change.png").width > 2 * 64


def test_heights_are_metres(folder):
    heights, about = predict(folder, "height", image(folder, "optical"))
    assert (about["dtype"], about["unit"], about["band"]) == ("float32", "m", "height")
    assert np.isfinite(heights).all() and (heights >= 0).all()


def test_a_scene_is_read_as_what_the_model_learned_from(folder):
    """A model of decibels takes decibels, unless told otherwise: the same scene either way."""
    source = TaskSource("simulated-sar-amplitude", ("HH", "HV", "VH", "VV"), encoding="decibel")
    torch.manual_seed(0)  # of the head: some give one class everywhere
    model = TaskModel(
        make_backbone(), Segmentation(classes=("a", "b"), channels=8), {"image": source}
    )
    save_task(model, folder / "decibels", tile_size=64)
    radar = image(folder, "sar_amplitude")
    with rasterio.open(radar) as scene:
        values, profile = scene.read(), scene.profile
        with rasterio.open(image(folder, "decibels"), "w", **profile | {"nodata": None}) as file:
            file.write(20 * np.log10(np.maximum(values, 1e-4)))
            file.descriptions = scene.descriptions
    due, _ = predict(folder, "decibels", radar, "--encoding", "amplitude")
    found, _ = predict(folder, "decibels", image(folder, "decibels"))
    assert (found == due).mean() > 0.99 and set(np.unique(due)) == {0, 1}
    both = "--encoding", "decibel", "--encodings.image", "amplitude"  # the more specific wins
    np.testing.assert_array_equal(predict(folder, "decibels", radar, *both)[0], due)


def test_what_no_file_declares_can_be_said(folder):
    """A frame of -1 around the scene; a model that learned from such files needs no word."""
    with rasterio.open(image(folder, "optical")) as scene:
        values, profile, names = scene.read(), scene.profile, scene.descriptions
    values[:, :16] = -1
    with rasterio.open(image(folder, "framed"), "w", **profile | {"nodata": None}) as file:
        file.write(values)
        file.descriptions = names
    path = image(folder, "framed")
    assert main(["predict", str(folder / "height"), path, "--out", str(folder / "no.tif")]) == 2
    due, _ = predict(folder, "height", path, "--nodata", "-1")
    assert np.isnan(due[:16]).all() and np.isfinite(due[16:]).all()
    model = load_task(folder / "height" / "model")
    told = {"image": replace(model.sources["image"], nodata=-1.0)}
    again = TaskModel(model.backbone, model.task, told)
    again.load_state_dict(model.state_dict())
    save_task(again, folder / "told", tile_size=64)
    np.testing.assert_array_equal(predict(folder, "told", path)[0], due)


@pytest.mark.parametrize(
    ("run", "scenes", "message"),
    [
        ("classes", ["optical"], "is a model for classification, one class an image"),
        ("height", ["height"], "say what each band is"),
        ("change", ["optical"], "expected 2 scene(s), before, after, in this order"),
        ("height", ["wrong"], "reflectance"),
    ],
)
def test_what_cannot_be_mapped_is_one_line(folder, capsys, run, scenes, message):
    """A model of another kind, a scene of other bands, too few of them, one in other units."""
    source = TaskSource("simulated-optical", ("red", "green", "blue"))
    task = Classification(classes=("a", "b"))
    save_task(TaskModel(make_backbone(), task, {"image": source}), folder / "classes", tile_size=64)
    with rasterio.open(image(folder, "optical")) as scene:
        profile, values = scene.profile, 100 * scene.read() + 50
        with rasterio.open(image(folder, "wrong"), "w", **profile) as file:
            file.write(values)
            file.descriptions = scene.descriptions
    paths = [image(folder, name) for name in scenes]
    assert main(["predict", str(folder / run), *paths, "--out", str(folder / "no.tif")]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not list(folder.glob("*no.*"))


def test_a_run_that_is_not_there_or_has_not_ended(folder, capsys):
    (folder / "begun").mkdir()
    (folder / "begun" / "config.yaml").write_text("task: height\n")
    for run, message in (
        ("nowhere", "nowhere: there is no such folder"),
        ("begun", "begun: this run has not ended: go on with it (`ringmoe finetune ... --resume`)"),
    ):
        words = ["predict", str(folder / run), image(folder, "optical"), "--out", "no.tif"]
        assert main(words) == 2
        assert message in capsys.readouterr().err


class TestOneMayLack:
    def test_all_by_name_in_any_order_are_all_in_order(self, folder):
        radar, optical = (image(folder, name) for name in SENSORS)
        due, _ = predict(folder, "fused", radar, optical)
        named = f"optical={optical}", f"sar_amplitude={radar}"
        assert np.array_equal(predict(folder, "fused", *named)[0], due)

    def test_radar_alone_sees_through_a_cloud(self, folder):
        """An optical image without any data gives the map of radar alone; the map has no hole."""
        radar, optical = (image(folder, name) for name in SENSORS)
        due, _ = predict(folder, "fused", f"sar_amplitude={radar}")
        cloudy = folder / "cloudy.tif"
        with rasterio.open(optical) as scene:
            profile, names = scene.profile | {"nodata": -1}, scene.descriptions
        with rasterio.open(cloudy, "w", **profile) as file:
            file.write(np.full((file.count, *file.shape), -1, file.dtypes[0]))
            file.descriptions = names
        found, about = predict(folder, "fused", radar, str(cloudy))
        assert (found != about["nodata"]).all()
        assert np.array_equal(found, due)

    def test_only_if_trained_so(self, folder, tmp_path, capsys):
        words = ["predict", str(folder / "strict"), "--out", str(tmp_path / "m.tif")]
        radar = f"sar_amplitude={image(folder, 'sar_amplitude')}"
        order = "expected 2 scene(s), sar_amplitude, optical, in this order"
        for scenes, message in (
            ([radar], "optical is missing, and the model was not trained to do without"),
            ([radar, radar], order),
            ([image(folder, "optical"), radar], order),
        ):
            assert main([words[0], words[1], *scenes, *words[2:]]) == 2
            error = capsys.readouterr().err.strip()
            assert message in error and "\n" not in error
