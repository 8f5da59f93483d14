"""Fine-tuning runs: they learn, resume, end early, and say what is wrong."""

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tests.tasks.labelled import settings, write_backbone, write_images

from ringmoe.datasets import DataConfig, open_data, split_data
from ringmoe.errors import CheckpointError, ConfigError, SceneReadError, ValueRangeError
from ringmoe.models import load_model
from ringmoe.tasks import (
    Finetuning,
    Segmentation,
    TaskModel,
    best_validation,
    evaluate_run,
    finetune,
    load_task,
)
from ringmoe.tasks.adaptation import add_lora, merge_lora
from ringmoe.tasks.building import make_loader
from ringmoe.tasks.validation import Validation, best_of
from ringmoe.training import Ranks, RunFolder, Trainer, read_metrics
from ringmoe.training.checkpoint import list_checkpoints, step_of

pytestmark = pytest.mark.slow  # each trains


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("backbone") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, checkpoint, data):
    """One that is long enough to learn."""
    config = settings(checkpoint, tmp_path_factory.mktemp("run") / "run", steps=24)
    return finetune("segmentation", config, data, progress=False)


def test_a_run_learns_what_it_is_shown(run):
    """Half of every image is red: without learning, the best mean IoU is a third."""
    losses = [line["loss"] for line in read_metrics(run.metrics_path)]
    assert losses[-1] < 0.5 * losses[0]
    model, figures = evaluate_run(run.run_dir)
    assert figures["miou"] > 0.9
    assert json.loads((run.run_dir / "test.json").read_text()) == figures
    assert not model.training


def test_the_best_weights_are_kept(run, data):
    """Those that validation liked best, and the model scores what it was liked for."""
    lines = read_metrics(run.run_dir / "validation.jsonl")
    best = best_validation(run.run_dir)
    assert best == max(lines, key=lambda line: line["miou"])
    _, again = evaluate_run(run.run_dir, "validation")
    assert again["miou"] == pytest.approx(best["miou"], abs=1e-6)


def test_the_split_is_kept_and_used(run, data):
    lines = (run.run_dir / "split.csv").read_text().splitlines()
    parts = [line.rpartition(",")[2] for line in lines[1:]]
    assert {part: parts.count(part) for part in set(parts)} == {
        "train": 6, "validation": 3, "test": 3
    }  # fmt: skip


def test_other_data_are_read_with_the_same_settings(run, tmp_path):
    write_images(tmp_path / "more", count=5)
    _, figures = evaluate_run(run.run_dir, other=tmp_path / "more")
    assert sum(map(sum, figures["confusion_matrix"])) == 5 * 32 * 32
    assert figures["miou"] > 0.9


def test_other_data_with_fewer_classes_keep_the_models_numbers(tmp_path, checkpoint):
    """Trained on a and b, scored on b alone: the truth is the second class, not the first."""
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    for folder in ("known/a", "known/b", "other/b"):
        for number in range(3):
            path = tmp_path / folder / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    data = DataConfig(path=tmp_path / "known", sensor="rgb-dn8", validation=0.0)
    config = settings(checkpoint, tmp_path / "run", options={}, steps=1)
    finetune("classification", config, data, progress=False)
    _, figures = evaluate_run(tmp_path / "run", other=tmp_path / "other")
    assert [sum(row) for row in figures["confusion_matrix"]] == [0, 3]


def test_a_resumed_run_ends_with_the_same_model(tmp_path, checkpoint, data):
    """Killed after step 4 of 6 and resumed: the same weights, bit for bit, and the same best."""
    through = finetune("segmentation", settings(checkpoint, tmp_path / "a"), data, progress=False)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for rest in ("model", "checkpoints/step-000006"):
        shutil.rmtree(tmp_path / "b" / rest)
    resumed = finetune(
        "segmentation", settings(checkpoint, tmp_path / "b"), data, resume=True, progress=False
    )
    for name in ("model.safetensors", "task.safetensors"):
        a, b = (load_file(result.model_dir / name) for result in (through, resumed))
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert best_validation(through.run_dir) == best_validation(resumed.run_dir)


@pytest.mark.parametrize(("again", "best"), [(0.1, 4), (0.95, 6)])
def test_a_resumed_run_may_score_less_than_before(
    tmp_path, monkeypatch, checkpoint, data, again, best
):
    """As on a GPU, where sums have no fixed order: step 6 was the best, and is or is not again.

    What the run from step 4 on may end with is there, what was the best before is not.
    """
    from ringmoe.tasks import validation

    told = iter([0.5, 0.6, 0.9, again])
    monkeypatch.setattr(validation, "evaluate", lambda *_: {"miou": next(told)})
    config = settings(checkpoint, tmp_path / "run")
    finetune("segmentation", config, data, progress=False)
    kept = {step_of(path) for path in list_checkpoints(tmp_path / "run" / "best")}
    assert kept >= {4, 6}
    for rest in ("model", "checkpoints/step-000006"):
        shutil.rmtree(tmp_path / "run" / rest)
    finetune("segmentation", config, data, resume=True, progress=False)
    assert best_validation(tmp_path / "run")["step"] == best
    assert (tmp_path / "run" / "best" / f"step-00000{best}").is_dir()
    if best == 4:
        assert not (tmp_path / "run" / "best" / "step-000006").exists()


def test_a_run_on_other_data_is_not_resumed(tmp_path, checkpoint, data, run):
    shutil.copytree(run.run_dir, tmp_path / "run")
    other = write_images(tmp_path / "more", count=16)
    other.path = data.path
    config = settings(checkpoint, tmp_path / "run", steps=24)
    config.learning_rate = 1.0
    with pytest.raises(ConfigError, match=r"learning_rate was 0\.32 and is now 1\.0"):
        finetune("segmentation", config, data, resume=True, progress=False)
    with pytest.raises(ConfigError, match="already holds a run: resume it"):
        finetune("segmentation", config, data, progress=False)


def test_a_run_with_other_labels_or_another_split_is_not_resumed(tmp_path, checkpoint):
    """The images are the same; what changes are a class and who is in the validation part."""
    names = [f"{number}.png" for number in range(6)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((32, 32, 3), 40 * number, np.uint8)).save(tmp_path / name)
    data = DataConfig(path=tmp_path / "list.csv", sensor="rgb-dn8", classes=("dark", "light"))

    def train(labels, parts, resume=True):
        lines = zip(names, labels, parts, strict=True)
        text = "".join(f"{name},{label},{part}\n" for name, label, part in lines)
        data.path.write_text("image,label,split\n" + text)
        config = settings(checkpoint, tmp_path / "run", steps=2, options={})
        finetune("classification", config, data, resume=resume, progress=False)

    labels, parts = ["dark"] * 3 + ["light"] * 3, ["train", "val", "test"] * 2
    train(labels, parts, resume=False)
    train(labels, parts)  # classes are a tuple here and a list in the run's file
    for other in ((labels[::-1], parts), (labels, parts[::-1])):
        with pytest.raises(ConfigError, match="cannot resume on other data"):
            train(*other)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_damaged_image_is_mended_and_the_run_goes_on(tmp_path, checkpoint, part, caplog):
    """Found in the middle of training, or of an evaluation: nothing is done twice, or left out."""
    data = write_images(tmp_path / "data")
    whole = finetune("segmentation", settings(checkpoint, tmp_path / "a"), data, progress=False)
    examples = open_data(data, "mask")
    split = split_data(examples, data)
    config = settings(checkpoint, tmp_path / "b")
    name = examples.names[split["validation"][0]]
    if part == "train":
        loader = make_loader(examples, split["train"], config, Ranks())
        first, *more = (set(loader.batch(step).names) for step in range(3))
        name = sorted(set.union(*more) - first)[0]
    image = data.path / name
    picture, damaged = np.asarray(Image.open(image)), bytearray(image.read_bytes())
    damaged[len(damaged) // 2] ^= 255  # header and end are whole
    image.write_bytes(damaged)
    with pytest.raises(SceneReadError, match="may be truncated or damaged"):
        finetune("segmentation", config, data, progress=False)
    assert RunFolder(config.out).latest_checkpoint() is not None
    Image.fromarray(picture).save(image, compress_level=1)
    resumed = finetune("segmentation", config, data, resume=True, progress=False)
    for file in ("model.safetensors", "task.safetensors"):
        a, b = (load_file(result.model_dir / file) for result in (whole, resumed))
        assert all(torch.equal(a[key], b[key]) for key in a)
    lines = [(run.run_dir / "validation.jsonl").read_text() for run in (whole, resumed)]
    assert lines[0] == lines[1]
    assert "files of the data have changed since the run began" in caplog.text


def test_a_run_of_a_version_that_knew_fewer_settings_is_resumed(tmp_path, checkpoint, data):
    """What its file lacks was as it is by default; a setting that is not so is another run's."""
    finetune("segmentation", settings(checkpoint, tmp_path / "run", steps=1), data, progress=False)
    path = tmp_path / "run" / "config.yaml"
    known = yaml.safe_load(path.read_text())
    del known["probe_first"], known["data"]["tile_size"]
    path.write_text(yaml.safe_dump(known))
    again = settings(checkpoint, tmp_path / "run", steps=1)
    finetune("segmentation", again, data, resume=True, progress=False)
    del known["learning_rate"]
    path.write_text(yaml.safe_dump(known))
    with pytest.raises(ConfigError, match="learning_rate was"):
        finetune("segmentation", again, data, resume=True, progress=False)


def test_only_the_first_rank_reads_the_best_weights(run, data, tmp_path):
    """The others' lines are those of the start: the weights that they name may be gone."""
    shutil.copytree(run.run_dir, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "best")
    model = load_task(run.model_dir)
    config = settings(run.model_dir, tmp_path / "run", steps=24)
    second = Trainer(Finetuning(model), config, Ranks(rank=1))
    second.steps_taken = 24
    loader = make_loader(open_data(data, "mask"), np.arange(2), config)
    validation = Validation(second, loader, RunFolder(tmp_path / "run"), every=8, patience=0)
    assert validation.best is not None
    assert validation.finish() is None


@pytest.mark.parametrize(
    ("scores", "patience", "ends_at"),
    [([0.5, 0.4, 0.4, 0.9], 2, 6), ([0.5, 0.4, 0.6, 0.5, 0.5], 2, 10), ([0.5, 0.4], 0, None)],
)
def test_patience(tmp_path, monkeypatch, checkpoint, data, scores, patience, ends_at):
    """It ends after so many evaluations in a row without a better one."""
    from ringmoe.tasks import validation

    told = iter(scores)
    monkeypatch.setattr(validation, "evaluate", lambda *_: {"miou": next(told)})
    steps = 2 * len(scores)
    config = settings(checkpoint, tmp_path / "run", steps=steps, patience=patience)
    result = finetune("segmentation", config, data, progress=False)
    lines = read_metrics(result.metrics_path)
    assert lines[-1]["step"] == (ends_at or steps)
    best = best_of(read_metrics(result.run_dir / "validation.jsonl"), Segmentation)
    assert best["miou"] == max(scores[: (ends_at or steps) // 2])


@pytest.mark.parametrize("adapt", ["frozen", "lora", "convpass"])
def test_what_learns(tmp_path, checkpoint, data, adapt):
    """The head always; the backbone's weights only by LoRA, where it has put updates."""
    config = settings(checkpoint, tmp_path / adapt, adapt=adapt, steps=2)
    result = finetune("segmentation", config, data, progress=False)
    before = load_model(checkpoint, ["optical"]).state_dict()
    after = load_model(result.model_dir).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    if adapt == "lora":
        places = ("qkv.weight", "proj.weight", "shared.fc1.weight", "shared.fc2.weight")
        assert changed == {name for name in before if name.endswith(places)}
    else:
        assert not changed
    bypasses = [name for name in load_file(result.model_dir / "task.safetensors") if "byp" in name]
    assert bool(bypasses) == (adapt == "convpass")
    assert load_task(result.model_dir).bypass == (8 if adapt == "convpass" else 0)


def test_merged_lora_computes_what_it_did_beside():
    """Random updates of every wrapped layer: the maps are the same before and after."""
    from tests.tasks.labelled import make_backbone
    from tests.tasks.test_task_model import RGB, draw

    backbone = make_backbone().double()
    names = set(backbone.state_dict())
    with torch.no_grad():
        plain = backbone([draw(RGB).to(dtype=torch.float64)])[0]
        add_lora(backbone, 4)
        for name, parameter in backbone.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
        beside = backbone([draw(RGB).to(dtype=torch.float64)])[0]
        merge_lora(backbone)
        merged = backbone([draw(RGB).to(dtype=torch.float64)])[0]
    assert set(backbone.state_dict()) == names
    for a, b, c in zip(plain, beside, merged, strict=True):
        assert (a - b).abs().max() > 1e-3
        torch.testing.assert_close(b, c, rtol=1e-5, atol=1e-5)  # updates are float32


def test_rates_fall_from_the_head_down():
    """Four blocks, a decay of 0.5: the last block at 0.5, the first at 1/16, the stem at 1/32."""
    from tests.tasks.labelled import make_backbone
    from tests.tasks.test_task_model import RGB

    model = TaskModel(make_backbone(), Segmentation(classes=("a", "b")), {"image": RGB}, bypass=2)
    objective = Finetuning(model, layer_decay=0.5, head_rate=3.0)
    found = {name: objective.rate(name) for name, _ in objective.named_parameters()}
    assert {rate for name, rate in found.items() if ".head." in name or "bypass" in name} == {3.0}
    blocks = {
        name.split(".")[3]: rate for name, rate in found.items() if ".backbone.stages." in name
    }
    assert blocks == {"0": 1 / 16, "1": 1 / 8, "2": 1 / 4, "3": 1 / 2}
    assert {rate for name, rate in found.items() if ".backbone.stems." in name} == {1 / 32}


def test_classes_are_weighed_by_what_there_is_of_them(data):
    """Half of the pixels each: 1 and 1; scikit-learn's "balanced" agrees on uneven ones."""
    import numpy as np
    from sklearn.utils.class_weight import compute_class_weight

    from ringmoe.tasks.building import class_weights

    class Uneven:
        classes = ("a", "b", "c")
        labels = np.array([0, 0, 0, 0, 1, 2, 2, -1])

        def __len__(self):
            return len(self.labels)

        def __getitem__(self, index):
            return type("E", (), {"label": self.labels[index]})

    found = class_weights(Uneven(), np.arange(8))
    expected = compute_class_weight(
        "balanced", classes=np.arange(3), y=Uneven.labels[Uneven.labels >= 0]
    )
    assert found == pytest.approx(tuple(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("task", "changes", "error", "message"),
    [
        ("dreaming", {}, ConfigError, "task: expected one of .*segmentation.* got 'dreaming'"),
        ("segmentation", {"options": {"chanels": 8}}, ConfigError, "unknown option chanels"),
        (
            "segmentation",
            {"options": {"channels": "abc"}},
            ConfigError,
            "a whole number, got 'abc'",
        ),
        ("segmentation", {"options": {"channels": 16.5}}, ConfigError, r"whole number, got 16\.5"),
        ("segmentation", {"options": {"dice": "much"}}, ConfigError, "dice must be a number, got"),
        ("segmentation", {"options": {"class_weights": 3}}, ConfigError, "a list, each a number"),
        (
            "segmentation",
            {"options": {"classes": ["x", "y"]}},
            ConfigError,
            r"options\.classes: the data have green, red, got x, y: name them in data\.classes",
        ),
        (
            "segmentation",
            {"options": {"classes": 3}},
            ConfigError,
            "classes must be a list, each a",
        ),
        ("change", {}, ConfigError, r"data\.sensors: change compares two dates: .*before: rgb-dn8"),
        ("segmentation", {"crop_size": 40}, ConfigError, "crop_size: expected a multiple of 32"),
        ("segmentation", {"crop_size": 0}, ConfigError, "crop_size: expected a multiple of 32"),
        ("segmentation", {"missing": 0.3}, ConfigError, "missing: expected several modalit"),
        (
            "segmentation",
            {"adapt": "convpass", "bypass": 400},
            ConfigError,
            r"bypass: expected a width that adds at most 7.5% .*, got \d",
        ),
        ("segmentation", {"checkpoint": "no/where/at/all"}, CheckpointError, "no/where/at/all"),
    ],
)
def test_what_cannot_be_meant(tmp_path, checkpoint, data, task, changes, error, message):
    config = settings(checkpoint, tmp_path / "run", **changes)
    with pytest.raises(error, match=message):
        finetune(task, config, data, progress=False)
    assert not (tmp_path / "run").exists()


def test_images_that_are_no_files(tmp_path, checkpoint, data):
    """Such as TorchGeo's: the same examples, handed over with a split, give the same model."""
    from ringmoe.datasets import open_data, split_data

    examples = open_data(data, "mask")
    split = split_data(examples, data)
    config = settings(checkpoint, tmp_path / "a", steps=2)
    files = finetune("segmentation", config, data, progress=False)
    config.out = tmp_path / "b"
    given = finetune("segmentation", config, examples, split=split, progress=False)
    a, b = (load_file(result.model_dir / "task.safetensors") for result in (files, given))
    assert all(torch.equal(a[name], b[name]) for name in a)
    with pytest.raises(ConfigError, match="were given in Python"):
        evaluate_run(given.run_dir)
    with pytest.raises(ConfigError, match="split: expected indices of the train part"):
        finetune("segmentation", config, examples, progress=False)
    with pytest.raises(ConfigError, match="expected labels of kind class, got mask"):
        finetune("classification", config, examples, split=split, progress=False)


def test_a_backbone_without_the_modality(tmp_path, data):
    from tests.tasks.labelled import make_backbone

    from ringmoe.models import save_model

    radar = save_model(make_backbone(modalities=("sar_amplitude",)), tmp_path / "radar")
    with pytest.raises(ConfigError, match="radar has no optical, only sar_amplitude"):
        finetune("segmentation", settings(radar, tmp_path / "run"), data, progress=False)


def test_values_in_another_unit_leave_no_run_behind(tmp_path, checkpoint):
    """Numbers of 16 bits where such of 8 were declared: the run is not begun, and can be anew."""
    data = write_images(tmp_path / "data")
    for image in (tmp_path / "data" / "images").glob("*.png"):
        values = np.moveaxis(np.asarray(Image.open(image)), 2, 0) * np.uint16(16)
        options = {"driver": "GTiff", "count": 3, "height": 32, "width": 32, "dtype": "uint16"}
        with rasterio.open(image.with_suffix(".tif"), "w", **options) as dataset:
            dataset.write(values)
        image.unlink()
    config = settings(checkpoint, tmp_path / "run")
    with pytest.raises(ValueRangeError, match=r"\.tif: .*expected digital numbers"):
        finetune("segmentation", config, data, progress=False)
    assert not config.out.exists()
