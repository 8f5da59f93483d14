"""Distillation against closed forms, and as a run that may be killed."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tests.models.samples import SMALL, small_model
from tests.pretraining.conftest import make_archive

from ringmoe.archive import Batch, TileLoader
from ringmoe.cli import main
from ringmoe.errors import ConfigError
from ringmoe.models import RingMoE, default_card, load_model, save_model
from ringmoe.observation import Observation
from ringmoe.pruning.distillation import DistilConfig, Distillation, Teacher, distil
from ringmoe.sensors import MODALITIES
from ringmoe.tasks import Segmentation, TaskModel, TaskSource, load_task, save_task
from ringmoe.training import Trainer, TrainingConfig, read_metrics

pytestmark = pytest.mark.slow  # each trains

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "distil"
PAIR = ("optical", "sar_amplitude")
DENSE = {"specialized_experts": 0, "collaborative_experts": 0}


def make_batch(modality, count, *, seed=0, valid=None):
    """Normal noise as a loader would give it."""
    channels = MODALITIES[modality].vocabulary
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, len(channels), 64, 64, generator=generator)
    names = tuple(f"file-{n}" for n in range(count))
    numbers = tuple(range(count))
    observation = Observation(images, modality, channels, valid)
    return Batch(observation, torch.ones(len(channels)), names, modality, numbers, numbers)


def model(seed=0, dtype=torch.float64, **changes):
    return small_model(seed, dtype, **({"modalities": PAIR} | changes))


def terms_of(objective, batches):
    inputs, counts = objective.prepare(batches)
    return objective.loss(objective(inputs), counts)


def test_a_student_that_equals_the_teacher_has_no_loss():
    teacher = model(dtype=torch.float32)
    objective = Distillation(copy.deepcopy(teacher), Teacher(teacher))
    terms = terms_of(objective, [make_batch("optical", 2), make_batch("sar_amplitude", 1)])
    assert terms["loss"].item() == 0


def test_a_student_that_says_each_channels_mean_explains_nothing():
    """The error is then the variance itself: the loss is 1, whatever the scale of the maps."""
    teacher = model()
    objective = Distillation(model(seed=1), Teacher(teacher))
    ((lesson,), counts) = objective.prepare([make_batch("optical", 3)])
    means = [target.mean((0, 2, 3), keepdim=True) for target in lesson.targets]
    maps = tuple(m.expand_as(t) for m, t in zip(means, lesson.targets, strict=True))
    objective.model.forward = lambda observations: [maps]
    terms = objective.loss(objective([lesson]), counts)
    assert terms["unexplained/optical"].item() == pytest.approx(1, rel=1e-9)
    assert terms["loss"].item() == pytest.approx(1, rel=1e-9)


def by_hand(teacher, student, batch) -> float:
    """The share left unexplained, in NumPy: for each stage, over every pixel that holds data, the
    squared difference of the tokens that it lies in over the squared deviation from their mean.
    """
    observation = batch.observation.to(dtype=torch.float64)
    valid = observation.valid
    known = np.ones((len(batch), 64, 64), bool) if valid is None else valid[:, 0].numpy()
    with torch.no_grad():
        pairs = zip(teacher([observation])[0], student([observation])[0], strict=True)
        pairs = [(t.numpy(), s.numpy()) for t, s in pairs]
    shares = []
    for target, found in pairs:
        stride = 64 // target.shape[-1]
        target, found = (m.repeat(stride, 2).repeat(stride, 3) for m in (target, found))
        t, s = (np.moveaxis(m, 1, -1)[known] for m in (target, found))  # (pixels, channels)
        shares.append(((s - t) ** 2).sum() / ((t - t.mean(0)) ** 2).sum())
    return float(np.mean(shares))


def test_the_loss_is_what_numpy_finds():
    """An image with a corner without data, one with none at all; then the mean of modalities."""
    teacher, student = model(), model(seed=1, **DENSE)
    valid = torch.ones(3, 1, 64, 64, dtype=torch.bool)
    valid[0, :, :37, 21:] = False
    valid[1] = False
    batches = [make_batch("optical", 3, valid=valid), make_batch("sar_amplitude", 2, seed=1)]
    terms = terms_of(Distillation(student, Teacher(teacher)), batches)
    due = [by_hand(teacher, student, batch) for batch in batches]
    for modality, share in zip(PAIR, due, strict=True):
        assert terms[f"unexplained/{modality}"].item() == pytest.approx(share, rel=1e-9)
    assert terms["loss"].item() == pytest.approx(sum(due) / 2, rel=1e-9)


def test_a_modality_without_data_has_no_part_in_the_mean():
    valid = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    objective = Distillation(model(seed=1), Teacher(model()))
    alone = terms_of(objective, [make_batch("sar_amplitude", 2)])
    both = terms_of(
        objective, [make_batch("optical", 2, valid=valid), make_batch("sar_amplitude", 2)]
    )
    assert both["loss"].item() == pytest.approx(alone["loss"].item(), rel=1e-12)
    assert both["unexplained/optical"].isnan()


@pytest.mark.parametrize("balance_weight", [0.0, 0.01])
def test_sums_of_parts_are_the_sum_of_the_whole(balance_weight):
    """What the engine asks: five images on one process, or on three, one of which has none."""
    objective = Distillation(model(seed=1), Teacher(model()), balance_weight=balance_weight)
    whole = [make_batch("optical", 3), make_batch("sar_amplitude", 2, seed=1)]
    images = whole[0].observation.images
    first, rest = (
        Batch(
            Observation(part, "optical", whole[0].observation.channels),
            whole[0].scale, ("",) * len(part), "optical", (0,) * len(part), (0,) * len(part),
        )
        for part in images.split([1, 2])
    )  # fmt: skip
    spread = [[first], [], [rest, whole[1]]]
    inputs, counts = objective.prepare(whole)
    sums = objective(inputs)
    parts = [objective.prepare(data) for data in spread]
    for name, due in counts.items():
        torch.testing.assert_close(sum(own[name] for _, own in parts), due, rtol=1e-10, atol=1e-9)
    found = [objective(inputs) for inputs, _ in parts]
    assert all(own.keys() == sums.keys() for own in found)
    for name, due in sums.items():
        torch.testing.assert_close(sum(own[name] for own in found), due, rtol=1e-9, atol=1e-9)


def test_micro_batches_take_the_step_that_one_batch_takes():
    """float64: weights after two steps to 1e-10."""
    batches = [make_batch("optical", 2), make_batch("sar_amplitude", 2, seed=1)]
    weights = []
    for pieces in ([batches], [[batches[0]], [batches[1]]]):
        objective = Distillation(model(seed=1), Teacher(model()))
        config = TrainingConfig(
            steps=2, batch_size=4, precision="float64", warmup_steps=0, accumulate=len(pieces)
        )
        trainer = Trainer(objective, config)
        for _ in range(2):
            trainer.step(pieces)
        weights.append(torch.cat([p.detach().flatten() for p in objective.parameters()]))
    first = torch.cat([p.detach().flatten() for p in model(seed=1).parameters()])
    assert (weights[0] - first).abs().max() > 1e-6
    torch.testing.assert_close(*weights, rtol=0, atol=1e-10)


def test_the_student_alone_learns():
    teacher = model()
    before = copy.deepcopy(teacher.state_dict())
    objective = Distillation(model(seed=1), Teacher(teacher))
    assert {name.partition(".")[0] for name in objective.state_dict()} == {"model"}
    assert len(list(objective.parameters())) == len(list(teacher.parameters()))
    config = TrainingConfig(steps=1, batch_size=2, precision="float64", warmup_steps=0)
    Trainer(objective, config).step([[make_batch("optical", 2), make_batch("sar_amplitude", 2)]])
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(before[name], t) for name, t in teacher.state_dict().items())
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
    moved = [b for b in objective.model.blocks() if b.ffn.router.weight.grad.abs().sum() > 0]
    assert len(moved) == len(objective.model.blocks())


def kept(config) -> tuple[tuple[int, ...], ...]:
    return tuple((block % 4,) if block % 3 else () for block in range(sum(config.depths)))


@pytest.mark.parametrize(
    "shape",
    [
        {"modalities": ("optical",)},
        {"modalities": ("optical",), "kept_experts": kept(SMALL)},
        {"modalities": ("optical",), **DENSE},
        {"modalities": ("optical",), **DENSE, "mlp_ratio": 2.0},
    ],
    ids=["sub-model", "expert-pruned", "dense", "dense, half as wide"],
)
def test_a_few_steps_lower_the_loss_of_any_student(shape):
    """On the same batch: at least a tenth less after eight steps."""
    student = RingMoE(SMALL.replace(**shape), torch.Generator().manual_seed(1))
    objective = Distillation(student, Teacher(model(dtype=torch.float32)), balance_weight=0.001)
    config = TrainingConfig(steps=8, batch_size=2, learning_rate=0.3, warmup_steps=1)
    trainer = Trainer(objective, config)
    losses = [trainer.step([[make_batch("optical", 2)]]).terms["loss"] for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"modalities": ("optical", "multispectral")}, "the teacher has no multispectral, only"),
        ({"embed_dim": 16}, r"widths \(16, 32, 64, 128\) .* the teacher's \(8, 16, 32, 64\)"),
    ],
)
def test_a_student_of_another_family_is_refused(student, message):
    with pytest.raises(ConfigError, match=message):
        Distillation(model(**student), Teacher(model()))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """An archive, a teacher of two modalities, and as student its dense copy."""
    folder = tmp_path_factory.mktemp("distil")
    archive = make_archive(folder)
    teacher = model(dtype=torch.float32)
    save_model(teacher, folder / "teacher")
    student = RingMoE(teacher.config.replace(**DENSE), torch.Generator().manual_seed(1))
    shared = {name: t for name, t in teacher.state_dict().items() if name in student.state_dict()}
    student.load_state_dict(shared)
    save_model(student, folder / "student")
    return folder, archive


def config_for(workshop, out, **changes):
    folder, archive = workshop
    values = {
        "teacher": folder / "teacher", "student": folder / "student", "archive": archive.path,
        "out": out, "steps": 6, "batch_size": 4, "crop_size": 64, "warmup_steps": 1,
        "log_every": 1, "checkpoint_every": 2, "tensorboard": False, "device": "cpu",
    }  # fmt: skip
    return DistilConfig(**(values | changes))


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(workshop, tmp_path, monkeypatch):
    """Stopped while the fifth step reads its tiles: checkpoints after 2 and 4 steps stand."""
    whole = distil(config_for(workshop, tmp_path / "whole", ema=0.5), progress=False)
    config = config_for(workshop, tmp_path / "stopped", ema=0.5)
    batches = TileLoader.batches

    def until_the_fifth(self, step):
        if step == 4:
            raise KeyboardInterrupt
        return batches(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(TileLoader, "batches", until_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            distil(config, progress=False)
    assert not (config.out / "model").exists()
    resumed = distil(config, resume=True, progress=False)
    names = ["model.safetensors", "config.json", "model-card.md"]
    for name in names:
        assert (resumed.model_dir / name).read_bytes() == (whole.model_dir / name).read_bytes()
    lines = [read_metrics(result.metrics_path) for result in (whole, resumed)]
    assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]]
    assert [line["step"] for line in lines[1]] == [1, 2, 3, 4, 5, 6]
    assert lines[0][-1]["unexplained/optical"] > 0
    assert load_model(resumed.model_dir).config == load_model(workshop[0] / "student").config
    files = {path.name for path in resumed.run_dir.iterdir()}
    assert files == {"config.yaml", "environment.json", "metrics.jsonl", "checkpoints", "model"}


def test_one_of_the_students_modalities(workshop, tmp_path):
    config = config_for(workshop, tmp_path / "run", modalities=["sar_amplitude"], steps=1)
    result = distil(config, progress=False)
    assert load_model(result.model_dir).config.modalities == ("sar_amplitude",)


def test_a_students_head_and_card_go_with_it(workshop, tmp_path):
    student = tmp_path / "student"
    task = TaskModel(load_model(workshop[0] / "student"), Segmentation(classes=("a", "b")),
                     {"image": TaskSource("rgb-dn8", ("red", "green", "blue"))})  # fmt: skip
    save_task(task, student, tile_size=64)
    card = default_card(task.backbone.config, license="cc-by-4.0", training_data="Two scenes.")
    (student / "model-card.md").write_text(card)
    result = distil(
        config_for(workshop, tmp_path / "run", student=student, steps=1), progress=False
    )
    assert load_task(result.model_dir).task == task.task
    card = (result.model_dir / "model-card.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "unlabelled images. Before that: Two scenes." in card


def test_the_command(workshop, tmp_path, capsys):
    folder, archive = workshop
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"teacher: {folder / 'teacher'}\nstudent: {folder / 'student'}\narchive: {archive.path}\n"
        "steps: 1\nbatch_size: 2\ncrop_size: 64\ntensorboard: false\ndevice: cpu\n"
    )
    out = tmp_path / "run"
    assert main(["distil", "--config", str(path), "--out", str(out)]) == 0
    assert f"model: {out / 'model'}" in capsys.readouterr().out
    assert main(["distil", "--config", str(path), "--out", str(out), "--steps", "2"]) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_another_teacher_is_other_data(workshop, tmp_path):
    config = config_for(workshop, tmp_path / "run", steps=1, teacher=tmp_path / "teacher")
    save_model(model(dtype=torch.float32), config.teacher)
    distil(config, progress=False)
    save_model(model(seed=3, dtype=torch.float32), config.teacher)
    with pytest.raises(ConfigError, match="cannot resume on other data"):
        distil(config, resume=True, progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_size": 65}, "crop_size: expected a multiple of 32, got 65"),
        ({"balance_weight": -1}, "balance_weight: expected not negative"),
        ({"modalities": ["sar_complex"]}, "student has no sar_complex, only optical"),
        ({"modalities": ["lidar"]}, "unknown modality 'lidar'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    workshop, tmp_path, changes, message
):
    with pytest.raises(ConfigError, match=message) as caught:
        distil(config_for(workshop, tmp_path / "run", **changes), progress=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_projects_recipes_are_read(path):
    config = DistilConfig(**yaml.safe_load(path.read_text()))
    config.check()
    paths = (config.teacher, config.student, config.archive, config.out)
    assert {part.parts[0] for part in paths} == {"runs"}
    assert len(set(paths)) == 4
