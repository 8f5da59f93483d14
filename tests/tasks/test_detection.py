"""Detectors of objects: what must hold for every head, and what each leaves out."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.tasks.labelled import settings, write_backbone
from tests.tasks.objects import (
    CLASSES,
    Drawn,
    draw_images,
    labels_of,
    make_model,
    no_objects,
    observe,
)
from torch.testing import assert_close

from ringmoe.boxes import ObjectBatch
from ringmoe.errors import ConfigError, ValueRangeError
from ringmoe.tasks import (
    Detection,
    OrientedDetection,
    evaluate_run,
    finetune,
    load_task,
    save_task,
)
from ringmoe.tasks.heads.detections import covered
from ringmoe.tasks.heads.fpn import STRIDES

SMALL = {"classes": CLASSES, "channels": 16}
SIZES = (8.0, 16.0, 24.0, 32.0)
TASKS = {
    "faster": Detection(**SMALL, anchor_sizes=SIZES),
    "rcnn": OrientedDetection(**SMALL, method="rcnn", anchor_sizes=SIZES),
    "fcos": OrientedDetection(**SMALL),
}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


def with_ignored(labels: ObjectBatch, ignored: bool = True) -> ObjectBatch:
    return replace(labels, ignored=torch.full_like(labels.ignored, ignored))


@pytest.fixture(scope="module", params=TASKS.values(), ids=TASKS.keys())
def given(request):
    """A task, its model, and what the head gives for three images, the last without an object."""
    model = make_model(request.param)
    return request.param, model, model(observe(draw_images()))


@every_task
def test_a_model_of_no_numbers_is_told_and_not_that_nothing_is_there(task):
    for part in ("head", "backbone"):
        model = make_model(task)
        for values in getattr(model, part).parameters():
            values.data.fill_(torch.nan)
        with pytest.raises(ValueRangeError, match="gives NaN or infinite numbers"):
            task.decode(model(observe(draw_images())))


def test_the_loss_reaches_all_that_learns(given):
    """Every parameter of the head, and the backbone's stem; modalities that are not seen do not."""
    task, model, output = given
    labels = labels_of(task.rotated)
    model.zero_grad()
    loss = task.loss(task.sums(output, labels), task.counts(labels))["loss"]
    loss.backward(retain_graph=True)
    assert loss.isfinite() and loss > 0
    for name, parameter in model.head.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    reached = [
        n for n, p in model.backbone.named_parameters() if p.grad is not None and p.grad.any()
    ]
    assert any("stem" in name for name in reached)


def test_what_is_drawn_follows_from_name_and_visit(given):
    """The same labels give the same losses to the last bit, and nothing else is drawn."""
    task, _, output = given
    labels = labels_of(task.rotated)
    torch.manual_seed(5)
    first, state = output.losses(labels), torch.get_rng_state()
    torch.rand(3)
    second = output.losses(labels)
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    for changes in ({"names": ("four", "five", "six")}, {"draws": (4, 5, 6)}):
        other = output.losses(replace(labels, **changes))
        drawn = any(not torch.equal(first[name], other[name]) for name in first)
        assert drawn == (task.unit == "images")


def test_sums_of_images_add_up(given):
    """Image by image, and none: single precision of losses of order one."""
    task, model, output = given
    whole = output.losses(labels_of(task.rotated))
    parts = [
        model(observe(draw_images()[i : i + 1])).losses(labels_of(task.rotated, slice(i, i + 1)))
        for i in range(3)
    ]
    widths = model.backbone.config.widths
    nothing = [torch.zeros(0, c, 64 // s, 64 // s) for c, s in zip(widths, STRIDES, strict=True)]
    parts.append(model.head([nothing], (64, 64)).losses(no_objects(0, task.rotated)))
    assert all(set(part) == set(whole) for part in parts)
    assert not any(value.any() for value in parts[-1].values())
    for name, value in whole.items():
        assert value.shape == () and value > 0
        assert_close(sum(part[name] for part in parts), value, atol=1e-4, rtol=1e-4)


def test_without_an_object_only_the_background_is_learnt(given):
    """Boxes have a loss of 0, scores have one; nothing is NaN; counts have the same keys."""
    task, _, output = given
    empty = no_objects(3, task.rotated)
    sums = output.losses(empty)
    learnt = {name for name, value in sums.items() if value > 0}
    assert learnt == ({"score"} if task.unit == "objects" else {"objectness", "class"})
    assert set(task.counts(empty)) == set(task.counts(labels_of(task.rotated)))
    assert task.loss(sums, task.counts(empty))["loss"].isfinite()


@pytest.mark.parametrize("name", ["faster", "rcnn"])
def test_where_nothing_is_likely_nothing_is_looked_at(name):
    """No candidate at all: no object, and the labels are learnt all the same."""
    task = TASKS[name]
    model = make_model(task)
    scores = model.head.rpn.head.cls_logits if name == "faster" else model.head.objectness
    torch.nn.init.constant_(scores.bias, -50.0)
    output = model(observe(draw_images()))
    assert [len(objects) for objects in output.objects()] == [0, 0, 0]
    assert all(value > 0 for value in output.losses(labels_of(task.rotated)).values())


def test_an_image_that_is_ignored_as_a_whole_teaches_nothing(given):
    task, _, output = given
    box = [32.0, 32, 90, 90, 0.0] if task.rotated else [-13.0, -13, 77, 77]
    labels = replace(
        no_objects(3, task.rotated),
        boxes=torch.tensor([box] * 3),
        classes=torch.zeros(3, dtype=torch.int64),
        ignored=torch.ones(3, dtype=torch.bool),
        images=torch.arange(3),
        ids=torch.full((3,), -1),
    )
    sums = output.losses(labels)
    # Anchors that lie outside the image for the most part are still background.
    assert all(value == 0 for name, value in sums.items() if name != "objectness")


def test_objects_are_those_of_the_selection(given):
    """By falling score, over the threshold, of the form of the task, in float64."""
    task, _, output = given
    for found in output.objects():
        assert found.rotated == task.rotated and len(found) <= task.most
        assert found.boxes.dtype == "float64" and found.scores.dtype == "float64"
        assert (found.scores[:-1] >= found.scores[1:]).all()
        assert (found.scores >= task.score_threshold).all()
        assert set(found.classes) <= {0, 1}


def test_ignored_objects_are_left_out_of_two_stages():
    """Half in an ignored object: neither. Much in it but an object's own: still positive.

    Of 10 x 10 anchors, the second lies by 60 % in the ignored box, the third by 40 %.
    """
    head = make_model(TASKS["faster"]).head
    anchors = torch.tensor(
        [[0.0, 0, 10, 10], [36, 20, 46, 30], [34, 20, 44, 30], [50, 50, 60, 60], [41, 1, 50, 9]]
    )
    boxes = torch.tensor([[0.0, 0, 10, 10], [40, 0, 64, 40], [41, 1, 50, 9]])
    target = {"boxes": boxes, "labels": torch.tensor([2, -1, 1])}
    (labels,), _ = head.rpn.assign_targets_to_anchors([anchors], [target])
    assert labels.tolist() == [1, -1, 0, 0, 1]
    (matched,), (kinds,) = head.second.assign_targets_to_proposals(
        [anchors], [boxes], [target["labels"]]
    )
    assert kinds.tolist() == [2, -1, 0, 0, 1] and matched[[0, 4]].tolist() == [0, 2]


@pytest.mark.slow
@pytest.mark.parametrize("name, steps", [("faster", 50), ("rcnn", 60), ("fcos", 50)])
def test_it_learns_three_images_by_heart(name, steps):
    """mAP50 of 1: every object found, before anything that is none."""
    task = TASKS[name]
    model = make_model(task).train()
    images, labels = draw_images(), labels_of(task.rotated)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(steps):
        loss = task.loss(task.sums(model(observe(images)), labels), task.counts(labels))["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    metrics = task.metrics()
    metrics.update(model.eval()(observe(images)), labels)
    figures = metrics.compute()
    assert figures["map50"] == 1 and figures["ap50_dark"] == 1


@pytest.mark.slow
@every_task
def test_a_saved_detector_finds_the_same(tmp_path, task):
    model = make_model(task)
    again = load_task(save_task(model, tmp_path / "model", tile_size=64), task.name)
    assert again.task == task
    with torch.no_grad():
        pairs = [task.decode(m.eval()(observe(draw_images()))) for m in (model, again)]
    for one, other in zip(*pairs, strict=True):
        assert one.boxes.tolist() == other.boxes.tolist()
        assert one.scores.tolist() == other.scores.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["faster", "fcos"])
def test_a_resumed_run_ends_with_the_same_model(tmp_path, name):
    """Killed after step 2 of 4 and resumed: the same weights, bit for bit."""
    task = TASKS[name]
    start, data = write_backbone(tmp_path / "start"), Drawn(task.rotated)
    split = {"train": [0, 1, 2, 4], "validation": [3, 5]}

    def run(folder, resume=False):
        config = settings(
            start, tmp_path / folder, steps=4, batch_size=2, crop_size=64, learning_rate=0.1
        )
        return finetune(task.name, config, data, split=split, resume=resume, progress=False)

    through = run("a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for rest in ("model", "checkpoints/step-000004"):
        shutil.rmtree(tmp_path / "b" / rest)
    resumed = run("b", resume=True)
    for file in ("model.safetensors", "task.safetensors"):
        a, b = (load_file(result.model_dir / file) for result in (through, resumed))
        assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(ConfigError, match="were given in Python"):
        evaluate_run(through.run_dir)


@pytest.mark.slow
def test_the_pages_example_runs():
    """A ship's loss is finite, and what is found has the form that the page says."""
    page = (Path(__file__).parents[2] / "docs" / "detection.md").read_text()
    scope: dict = {}
    exec(re.search(r"<!-- objects -->\n```python\n(.*?)```", page, re.S)[1], scope)
    assert scope["loss"].isfinite() and scope["objects"].rotated


def test_classes_of_objects_are_not_weighed(tmp_path):
    config = settings("nano", tmp_path / "run", balance_classes=True)
    with pytest.raises(ConfigError, match="balance_classes: expected false, task detection"):
        finetune("detection", config, Drawn(False), split={"train": [0, 1]}, progress=False)


def test_images_of_objects_are_not_resized(tmp_path):
    config = settings("nano", tmp_path / "run", resize=True)
    with pytest.raises(ConfigError, match="resize: expected false, detection sees images in their"):
        finetune("detection", config, Drawn(False), split={"train": [0, 1]}, progress=False)


@every_task
def test_a_model_in_double_precision_comes_back_so(tmp_path, task):
    model = make_model(task).double()
    path = save_task(model, tmp_path / "model", tile_size=64)
    again = load_task(path)
    assert {weight.dtype for weight in again.parameters()} == {torch.float64}
    images = {name: one.to("cpu", torch.float64) for name, one in observe(draw_images()).items()}
    found = [task.decode(one(images)) for one in (model.eval(), again)]
    for own, loaded in zip(*found, strict=True):
        assert (own.boxes == loaded.boxes).all() and (own.scores == loaded.scores).all()


def test_a_detector_is_not_exported(tmp_path):
    from ringmoe.deployment import export_model

    with pytest.raises(ConfigError, match="a model for detection cannot be exported") as caught:
        export_model(make_model(TASKS["faster"]), tmp_path / "model.onnx", image_size=64)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_figures_of_classes_are_a_table(capsys):
    from ringmoe.cli._figures import print_figures

    print_figures("detection", {"map50": 0.625, "ap50_ship": 0.5, "ap50_small boat": None})
    first, second = capsys.readouterr().out.split("class")
    assert "map50" in first and "0.6250" in first and "ship" not in first
    assert "AP50" in second and "0.5000" in second and "small boat" in second and "none" in second


def test_half_covered_is_covered():
    """Integer boxes of which an ignored one has exactly the upper half, whatever rounding says."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.randint(-50, 50, (400, 2), generator=generator).float()
    size = torch.randint(1, 60, (400, 2), generator=generator).float() * torch.tensor([1, 2.0])
    found = torch.cat([corner, corner + size], dim=1)
    ignored = torch.cat([corner, corner + size * torch.tensor([1, 0.5])], dim=1)
    each = [
        covered(one[None], other[None]).item() for one, other in zip(found, ignored, strict=True)
    ]
    assert all(each)
    less = ignored - torch.tensor([0, 0, 0, 0.01])
    assert not any(
        covered(one[None], other[None]).item() for one, other in zip(found, less, strict=True)
    )
