"""A task's model: what it takes, what it gives, and that a folder keeps it."""

import json
from dataclasses import replace

import pytest
import torch
from tests.tasks.labelled import make_backbone

from ringmoe.errors import CheckpointError, ConfigError, UnknownChannelError, WriteError
from ringmoe.models import load_model
from ringmoe.observation import Observation
from ringmoe.tasks import (
    Change,
    Classification,
    Height,
    Segmentation,
    TaskModel,
    TaskSource,
    load_task,
    read_task,
    save_task,
)

pytestmark = pytest.mark.slow  # some seconds in all

RGB = TaskSource("rgb-dn8", ("red", "green", "blue"))
SAR = TaskSource("sar-amplitude-dn8", ("VV", "VH"))
CLASSES = ("water", "land", "ice")


def draw(source, seed=0, batch=2, size=32):
    images = torch.randn(
        batch, len(source.keys), size, size, generator=torch.Generator().manual_seed(seed)
    )
    return Observation(images, source.modality, source.keys)


@pytest.mark.parametrize(
    ("task", "sources", "shape"),
    [
        (Classification(classes=CLASSES), {"image": RGB}, (2, 3)),
        (
            Segmentation(classes=CLASSES, channels=8),
            {"image": replace(SAR, encoding="decibel")},
            (2, 3, 32, 32),
        ),
        (Change(channels=8), {"before": RGB, "after": RGB}, (2, 2, 32, 32)),
        (Height(channels=8), {"optical": RGB, "sar_amplitude": SAR}, (2, 1, 32, 32)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_saved_model_gives_what_it_gave(tmp_path, task, sources, shape):
    model = TaskModel(make_backbone(), task, sources, bypass=4).eval()
    for parameter in model.bypasses.parameters():  # they begin without effect
        torch.nn.init.normal_(parameter, std=0.1)
    images = {name: draw(source, seed) for seed, (name, source) in enumerate(sources.items())}
    with torch.no_grad():
        expected = model(images)
        assert expected.shape == shape
        path = save_task(model, tmp_path / "model", tile_size=32)
        found = load_task(path)
        assert torch.equal(found(images), expected)
    assert (found.task, found.sources, found.may_lack) == (task, sources, False)
    assert read_task(path)["tile_size"] == 32
    backbone = load_model(path)
    assert all(
        torch.equal(value, model.backbone.state_dict()[name])
        for name, value in backbone.state_dict().items()
    )


def test_bypasses_begin_without_effect():
    backbone = make_backbone()
    image = draw(RGB)
    with torch.no_grad():
        before = backbone([image])[0]
        TaskModel(backbone, Segmentation(classes=CLASSES), {"image": RGB}, bypass=8)
        after = backbone([image])[0]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_bypasses_are_few():
    """At most 7.5 % of the backbone's parameters, at the sizes that are used."""
    from ringmoe.models import PRESETS, RingMoE
    from ringmoe.tasks.adaptation import attach_bypasses

    for name in ("nano", "tiny", "base"):
        with torch.device("meta"):
            backbone = RingMoE(PRESETS[name].replace(modalities=("optical",)))
            bypasses = attach_bypasses(backbone, 8)
        added = sum(p.numel() for p in bypasses.parameters())
        assert 0 < added <= 0.075 * sum(p.numel() for p in backbone.parameters()), name


class TestFusion:
    sources = {"optical": RGB, "sar_amplitude": SAR}  # noqa: RUF012
    task = Segmentation(classes=CLASSES, channels=8)

    def test_an_image_may_lack_only_if_the_model_was_trained_so(self):
        images = {"optical": draw(RGB)}
        with pytest.raises(ConfigError, match=r"sar_amplitude is missing.*train with missing"):
            TaskModel(make_backbone(), self.task, self.sources)(images)
        model = TaskModel(make_backbone(), self.task, self.sources, may_lack=True).eval()
        assert model(images).shape == (2, 3, 32, 32)

    def test_no_data_where_all_have_none(self):
        """Optical holds data on the left, SAR on the top: the last quarter has none."""
        left, top = torch.zeros(2, 1, 32, 32, dtype=torch.bool), None
        left[..., :16] = True
        top = left.transpose(2, 3).contiguous()
        model = TaskModel(make_backbone(), self.task, self.sources)
        seen = {}
        model.head.register_forward_pre_hook(lambda _, inputs: seen.update(valid=inputs[2]))
        images = {"optical": replace(draw(RGB), valid=left)}
        model(images | {"sar_amplitude": replace(draw(SAR), valid=top)})
        assert torch.equal(seen["valid"], left | top)
        model(images | {"sar_amplitude": draw(SAR)})
        assert seen["valid"] is None


@pytest.mark.parametrize(
    ("task", "sources"),
    [
        (Change(), {"image": RGB}),
        (Change(), {"before": RGB, "after": SAR}),
        (Classification(classes=CLASSES), {"optical": RGB, "radar": SAR}),
        (Classification(classes=CLASSES), {"sar_amplitude": RGB, "optical": SAR}),
    ],
)
def test_sources_that_do_not_fit_the_task(task, sources):
    with pytest.raises(ConfigError, match=f"task {task.name}: expected"):
        TaskModel(make_backbone(), task, sources)


def test_other_channels_are_refused():
    model = TaskModel(make_backbone(), Classification(classes=CLASSES), {"image": RGB})
    wrong = replace(draw(RGB), channels=("blue", "green", "red"))
    with pytest.raises(UnknownChannelError, match="expected channels red, green, blue, got blue"):
        model({"image": wrong})
    with pytest.raises(ConfigError, match="expected images image, got picture"):
        model({"picture": draw(RGB)})


class TestBadFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        model = TaskModel(make_backbone(), Segmentation(classes=CLASSES), {"image": RGB})
        return save_task(model, tmp_path / "model", tile_size=32)

    def test_another_task(self, folder):
        with pytest.raises(CheckpointError, match="a model for segmentation, expected one for cha"):
            load_task(folder, "change")

    def test_a_backbone_without_a_task(self, folder):
        (folder / "task.json").unlink()
        with pytest.raises(CheckpointError, match="`ringmoe finetune` makes one of a backbone"):
            load_task(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": 9}, "of format 9, this version reads 1"),
            ({"task": {"task": "dreaming"}}, "describes no task: task: expected one of"),
            ({"sources": {"image": {"sensor": "eye", "channels": []}}}, "unknown sensor .eye"),
        ],
    )
    def test_a_description_of_something_else(self, folder, change, message):
        facts = json.loads((folder / "task.json").read_text())
        (folder / "task.json").write_text(json.dumps(facts | change))
        with pytest.raises(CheckpointError, match=message):
            load_task(folder)

    def test_weights_cut_short(self, folder):
        weights = (folder / "task.safetensors").read_bytes()
        (folder / "task.safetensors").write_bytes(weights[: len(weights) // 2])
        with pytest.raises(CheckpointError, match=r"task\.safetensors: cannot be read"):
            load_task(folder)

    def test_a_folder_of_other_things_is_not_overwritten(self, folder):
        (folder / "thesis.txt").write_text("words")
        model = load_task(folder)
        with pytest.raises(WriteError, match=r"thesis\.txt"):
            save_task(model, folder, tile_size=32)
