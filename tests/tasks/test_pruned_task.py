"""A task's model can be pruned as any checkpoint, and is a task's model still."""

import pytest
import torch
from tests.tasks.labelled import make_backbone
from tests.tasks.test_task_model import CLASSES, RGB, SAR, draw

from ringmoe.errors import CheckpointError
from ringmoe.pruning import Averaging, SubModel, prune, quantise
from ringmoe.tasks import Segmentation, TaskModel, load_task, save_task

TASK = Segmentation(classes=CLASSES, channels=8)


@pytest.fixture
def folder(tmp_path):
    """Of a backbone for several modalities, with a head for optical images."""
    model = TaskModel(make_backbone(), TASK, {"image": RGB}, bypass=4)
    for parameter in model.bypasses.parameters():  # they begin without effect
        torch.nn.init.normal_(parameter, std=0.1)
    return save_task(model, tmp_path / "whole", tile_size=32)


@torch.no_grad()
def scores(folder):
    return load_task(folder)({"image": draw(RGB)})


def test_a_submodel_gives_the_same_map(folder, tmp_path):
    """The features of a sub-model are those of the whole (1e-6), so the head's scores are too."""
    small = prune(folder, tmp_path / "small", SubModel(), ["optical"])
    torch.testing.assert_close(scores(small), scores(folder), rtol=1e-6, atol=1e-6)


def test_eight_bits_keep_the_head(folder, tmp_path):
    """A weight is at most half a step of 1/127 off, so the scores move, and stay close."""
    expected, found = scores(folder), scores(quantise(folder, tmp_path / "int8"))
    error = (found - expected).norm() / expected.norm()
    assert 0 < error < 0.1


def test_a_head_without_its_modality_is_left_out(tmp_path, caplog):
    both = TaskModel(make_backbone(), TASK, {"optical": RGB, "sar_amplitude": SAR})
    whole = save_task(both, tmp_path / "whole", tile_size=32)
    small = prune(whole, tmp_path / "small", SubModel(), ["optical"])
    assert "its head is left out: it takes sar_amplitude" in caplog.text
    with pytest.raises(CheckpointError, match="expected a task's checkpoint"):
        load_task(small)


def test_a_dense_backbone_keeps_the_head(folder, tmp_path):
    """One FFN a block gives other scores, of the same shape."""
    dense = prune(folder, tmp_path / "dense", Averaging(), ["optical"])
    assert scores(dense).shape == scores(folder).shape
    assert not torch.equal(scores(dense), scores(folder))
