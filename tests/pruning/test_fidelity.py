"""Fidelity against NumPy in float64, and what it must be for a model and itself."""

import numpy as np
import pytest
import torch
from tests.pruning.samples import make_model

from ringmoe.errors import StatisticsError
from ringmoe.observation import Observation
from ringmoe.pruning import Averaging, Reference, SubModel, prune_model
from ringmoe.pruning.fidelity import explained

MODALITY = "sar_amplitude"


@pytest.fixture(scope="module")
def model():
    return prune_model(make_model(), SubModel(), [MODALITY])


def observations(valid=None):
    """Six images in two batches, channels of two sensors."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(6, 2, 32, 32, generator=generator).double()
    valids = (None, None) if valid is None else valid.split((4, 2))
    return [
        Observation(images[:4], MODALITY, ("VV", "VH"), valids[0]),
        Observation(images[4:], MODALITY, ("HH", "HV"), valids[1]),
    ]


def test_a_model_is_itself(model):
    found = Reference(model, observations()).fidelity(model)
    assert (found.features, found.last_map) == (1, 1)


@pytest.mark.parametrize("gaps", [False, True])
def test_the_same_with_numpy(model, gaps):
    """1 - sum (found - due)^2 / sum (due - mean)^2: maps' tokens weighted by their share of data,
    features (weighted means, then deviations, of each stage) averaged over the two stages."""
    pruned = prune_model(model, Averaging())
    valid = torch.ones(6, 1, 32, 32, dtype=torch.bool)
    if gaps:
        valid[:, :, :12, :20] = False
    images = observations(valid if gaps else None)
    found = Reference(model, images).fidelity(pruned)

    def answers(which):
        with torch.no_grad():
            pyramids = [which([image])[0] for image in images]
        return [np.concatenate([p[stage].numpy() for p in pyramids]) for stage in (0, 1)]

    def share(due, mine, weights):
        mean = (weights * due).sum(0) / weights.sum()
        return 1 - (weights * (due - mine) ** 2).sum() / (weights * (due - mean) ** 2).sum()

    features = []
    for due, mine in zip(answers(model), answers(pruned), strict=True):
        size = 32 // due.shape[2]
        data = valid.numpy().reshape(6, 1, due.shape[2], size, due.shape[3], size)
        data = data.mean((3, 5), dtype=np.float64)
        pooled = []
        for maps in (due, mine):
            mean = (data * maps).sum((2, 3), keepdims=True) / data.sum((2, 3), keepdims=True)
            variance = (data * (maps - mean) ** 2).sum((2, 3)) / data.sum((2, 3))
            pooled.append(np.concatenate([mean[:, :, 0, 0], np.sqrt(variance)], axis=1))
        features.append(share(*pooled, np.ones((6, 1))))
        tokens = [maps.transpose(0, 2, 3, 1).reshape(-1, maps.shape[1]) for maps in (due, mine)]
        last = share(*tokens, data.reshape(-1, 1))
    assert found.features == pytest.approx(np.mean(features), rel=1e-4)  # pooled in float32
    assert found.last_map == pytest.approx(last, rel=1e-4)
    assert found.last_map < 0.9  # so that the comparison is of something


def test_the_mean_explains_nothing():
    due = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).double()
    assert explained(due.mean(0).expand(7, 3), due) == pytest.approx(0)


def test_images_that_are_all_alike_and_none(model):
    image = observations()[0]
    alike = Observation(image.images[:1].expand(3, 2, 32, 32), MODALITY, image.channels)
    with pytest.raises(StatisticsError, match="at least two different tiles"):
        Reference(model, [alike]).fidelity(prune_model(model, Averaging()))
    with pytest.raises(StatisticsError, match="there are none"):
        Reference(model, [])
